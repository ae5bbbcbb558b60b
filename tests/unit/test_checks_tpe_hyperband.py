"""`tpe_hyperband`: its references are the library's, and what it says is true."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction

import numpy as np
import pytest

from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.hpo import comparison, densities, halving, hyperband, tpe
from mlcourse.hpo.bohb import BOHB
from mlcourse.hpo.halving import SuccessiveHalving
from mlcourse.hpo.method import Trial
from mlcourse.hpo.space import Space

EXERCISE = load("tpe_hyperband")
SEED = 20260101
LINE = Space({"x": (0.0, 1.0)})


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def wrong(name: str, mistake: str):
    return next(known.answer for known in EXERCISE[name].mistakes if known.name == mistake)


def says(name: str, answer) -> str | None:
    return Judge(EXERCISE[name], [SEED])(answer).mistake


@pytest.fixture
def density(monkeypatch):
    """Make a density of the library whose kernels have a given width."""

    def make(points, width, space=LINE):
        monkeypatch.setattr(densities, "bandwidth", lambda *args: width)
        return densities.Density(space, np.array(points).reshape(-1, len(space.parameters)))

    return make


# --- TPE ------------------------------------------------------------------------------------------


def test_the_parts_are_the_librarys():
    for losses, gamma in cases("split"):
        good, bad = tpe.split(losses, gamma)
        assert value("split")(losses, gamma) == (good.tolist(), bad.tolist())


def test_a_kernel_has_the_mass_one():
    for _, centre, width in cases("log_kernel"):
        places = np.linspace(0, 1, 20001)
        heights = [math.exp(value("log_kernel")(x, centre, width)) for x in places]
        assert np.trapezoid(heights, places) == pytest.approx(1, abs=1e-6)


def test_densities_are_the_librarys(density):
    rng = np.random.default_rng(SEED)
    cube = Space(dict.fromkeys("abc", (0.0, 1.0)))
    for n, width in ((1, 0.1), (5, 0.05), (9, 0.4)):
        points, places = rng.random((n, 3)), rng.random((20, 3))
        found = [
            value("log_density")(
                [
                    [value("log_kernel")(x, c, width) for x, c in zip(at, point, strict=True)]
                    for point in points
                ]
            )
            for at in places
        ]
        assert found == pytest.approx(density(points, width, cube).log(places))


def test_probabilities_are_the_librarys():
    for seen, k in cases("choice_probabilities"):
        space = Space({"kind": [str(i) for i in range(k)]})
        places = (np.arange(k)[:, None] + 0.5) / k
        n = len(seen)
        whole = np.exp(densities.Density(space, places[seen]).log(places)) * (n + 1)
        expected = (whole - 1) / (n * k) if n else whole / k  # without the uniform kernel
        assert value("choice_probabilities")(seen, k) == pytest.approx(expected)


def test_the_improvement_is_the_librarys():
    for l, g, gamma in cases("improvement"):
        expected = tpe.expected_improvement(l / g, gamma)
        assert value("improvement")(l, g, gamma) == pytest.approx(float(expected))


def drawn(n: int, count: int, seed: int) -> list[tuple[float, float]]:
    """The numbers that the library draws for a sample."""
    rng = np.random.default_rng(seed)
    u, kernels = rng.random((count, 1))[:, 0], rng.integers(n + 1, size=count)
    return [((k + 0.5) / (n + 1), one) for k, one in zip(kernels.tolist(), u.tolist(), strict=True)]


def test_draws_are_the_librarys(density):
    for points, width, _, _ in cases("sample"):
        found = [value("sample")(points, width, *draw) for draw in drawn(len(points), 30, SEED)]
        expected = density(points, width).sample(30, np.random.default_rng(SEED))
        assert found == pytest.approx(expected[:, 0].tolist())


def test_suggestions_are_the_librarys(density, monkeypatch):
    for xs, losses, gamma, width, _ in cases("suggest"):
        monkeypatch.setattr(densities, "bandwidth", lambda *args, width=width: width)
        model = tpe.Model(LINE, 24, gamma)
        trials = [Trial(number, {"x": x}) for number, x in enumerate(xs)]
        for trial in trials:
            model.add(trial)
        results = [tpe.Result(trial, loss) for trial, loss in zip(trials, losses, strict=True)]
        draws = drawn(len(tpe.split(losses, gamma)[0]), 24, SEED)
        found = model.suggest(results, (), np.random.default_rng(SEED))
        assert value("suggest")(xs, losses, gamma, width, draws) == pytest.approx(found["x"])


def test_the_highest_ratio_has_the_highest_improvement():
    rng = random.Random(SEED)
    pairs = [(rng.random(), rng.random()) for _ in range(50)]
    for gamma in (0.05, 0.15, 0.6):
        by_ratio = max(pairs, key=lambda pair: pair[0] / pair[1])
        by_improvement = max(pairs, key=lambda pair: value("improvement")(*pair, gamma))
        assert by_ratio == by_improvement


def test_only_the_order_of_the_losses_counts():
    for losses, gamma in cases("split"):
        if math.inf not in losses:
            worse = [2000.0 if loss == max(losses) else loss for loss in losses]
            assert value("split")(worse, gamma) == value("split")(losses, gamma)
    assert "same" in EXERCISE["worst_loss"].choices[value("worst_loss")]


# --- Hyperband ------------------------------------------------------------------------------------


def test_budgets_are_the_librarys():
    for case in [*cases("budgets"), (10, 40, 3), (1, 81, 3)]:
        assert value("budgets")(*case) == pytest.approx(halving.budgets(*case))


def test_the_table_is_the_librarys():
    for s_max, top, eta in [*cases("brackets"), (4, 81, 3), (5, 243, 3)]:
        table = hyperband.brackets(top / eta**s_max, top, eta)
        found = value("brackets")(s_max, top, eta)
        assert [[n for n, _ in row] for row in found] == [[n for n, _ in row] for row in table]
        budgets = [budget for row in found for _, budget in row]
        assert budgets == pytest.approx([budget for row in table for _, budget in row])


def test_the_minimum_of_ten_is_never_run():
    steps = value("budgets")(10, 40, 3)
    assert steps == pytest.approx([40 / 3, 40])
    assert EXERCISE["never_run"].choices[value("never_run")] == "13.3 and 40"


def test_the_sources_epochs():
    pair = value("brackets")(1, 40, 3)
    assert [[n for n, _ in row] for row in pair] == [[3, 1], [2]]
    fresh = sum(n * budget for row in pair for n, budget in row)
    assert 10 * fresh == pytest.approx(value("source_epochs"))
    saved = pair[0][1][0] * pair[0][0][1]
    assert 10 * (fresh - saved) == pytest.approx(wrong("source_epochs", "checkpoints"))


def test_the_last_bracket_is_random_search():
    assert value("brackets")(4, 81, 3)[-1] == [(5, 81)]
    assert "Random search" in EXERCISE["last_bracket"].choices[value("last_bracket")]


def run_halving(losses, rungs, eta):
    """The library's own run: each trial's loss depends on its number and its rung."""
    lowest, highest = rungs[0][1], rungs[-1][1]
    method = SuccessiveHalving(LINE, rungs[0][0], lowest, highest, eta)
    first: dict[int, int] = {}
    promoted: list[list[int]] = [[] for _ in rungs]
    while not method.finished:
        trial = method.ask()
        rung = trial.note["rung"]
        number = trial.number if trial.parent is None else first[trial.parent]
        first[trial.number] = number
        promoted[rung].append(number)
        method.tell(trial, losses(number, rung))
    return first[method.best.trial.number], promoted


def test_the_promoted_are_the_librarys():
    for losses, eta in cases("promoted"):
        if len(losses) < eta:
            continue
        rungs = [(len(losses), 1), (len(losses) // eta, eta)]
        _, promoted = run_halving(lambda i, rung, losses=losses: losses[i], rungs, eta)
        assert value("promoted")(losses, eta) == promoted[1]


def test_halving_is_the_librarys():
    seen = 0
    for curves, rungs in cases("halving"):
        eta = rungs[1][1] // rungs[0][1]
        plan = halving.rungs(rungs[0][0], rungs[0][1], rungs[-1][1], eta)
        if [(n, round(budget)) for n, budget in plan] != rungs:
            continue
        best, _ = run_halving(lambda i, rung, c=curves, r=rungs: c[i][r[rung][1] - 1], rungs, eta)
        assert value("halving")(curves, rungs)[0] == best
        seen += 1
    assert seen >= 3


def test_epochs_are_counted_run_by_run():
    for curves, rungs in cases("halving"):
        _, fresh, resumed = value("halving")(curves, rungs)
        last = [max(b for n, b in rungs if i < n) for i in range(len(curves))]
        assert fresh == sum(b for n, b in rungs for _ in range(n))
        assert resumed == sum(last)


@pytest.mark.parametrize("parameters", [1, 3])
def test_the_modelled_budget_is_bohbs(parameters):
    method = BOHB({f"x{i}": (0.0, 1.0) for i in range(parameters)}, 1, 27)
    results, budgets = [], set()
    for _ in range(90):
        trial = method.ask()
        method.tell(trial, sum(trial.config.values()))
        results.append((trial.budget, 0.5))
        expected = method.modelled_budget
        assert value("modelled_budget")(results, parameters) == expected
        budgets.add(expected)
    assert len(budgets) == 5


# --- Comparing ------------------------------------------------------------------------------------


def test_differences_are_the_librarys():
    for a, b in cases("paired"):
        mean, error = value("paired")(a, b)
        assert mean == pytest.approx(comparison.paired_test(a, b).difference)
        assert error == pytest.approx(np.std(np.subtract(a, b), ddof=1) / math.sqrt(len(a)))
        assert error < wrong("paired", "unpaired")(a, b)[1] / 2


def test_the_p_value_is_the_librarys():
    for (differences,) in cases("sign_flip_p"):
        test = comparison.paired_test(differences, [0.0] * len(differences))
        assert value("sign_flip_p")(differences) == pytest.approx(test.p_value)


def test_pairs_are_the_librarys():
    for difference, sd, power, level in cases("pairs_needed"):
        expected = comparison.pairs_needed(difference, sd, power, level)
        assert value("pairs_needed")(difference, sd, power, level) == expected


def test_the_fewest_pairs():
    def best(n: int) -> float:
        return value("sign_flip_p")([1.0] * n)

    n = value("fewest_pairs")
    assert best(n) <= 0.05 < best(n - 1)
    assert best(n) == float(Fraction(2, 2**n))


def test_pairs_where_each_run_has_its_own_noise():
    assert value("runs_of_both") == comparison.pairs_needed(0.2, 0.6 * math.sqrt(2))
    assert wrong("runs_of_both", "noise_of_one") == comparison.pairs_needed(0.2, 0.6)
    assert wrong("runs_of_both", "doubled_sd") == comparison.pairs_needed(0.2, 1.2)
    assert wrong("runs_of_both", "halved") == comparison.pairs_needed(0.2, 0.6 / math.sqrt(2))
    one_sided = comparison.pairs_needed(0.2, 0.6 * math.sqrt(2), level=0.1)
    assert wrong("runs_of_both", "one_sided") == one_sided
    z = statistics.NormalDist().inv_cdf(0.975)
    assert wrong("runs_of_both", "half_power") == math.ceil((z * 3 * math.sqrt(2)) ** 2)


def test_the_best_of_many_equals_is_too_high():
    rng = random.Random(SEED)
    bests = [max(rng.gauss(66.0, 0.6) for _ in range(100)) for _ in range(200)]
    assert min(bests) > 66.0
    assert "too high" in EXERCISE["selected_best"].choices[value("selected_best")]


# --- What students write --------------------------------------------------------------------------


def test_answers_written_in_other_ways_are_recognised():
    def floored(min_budget, max_budget, eta):
        s_max = int(math.log(max_budget / min_budget, eta))
        return [max_budget / eta**s for s in range(s_max, -1, -1)]

    def hpbandster(s_max, max_budget, eta):
        table = []
        for s in reversed(range(s_max + 1)):
            n = int((s_max + 1) / (s + 1)) * eta**s
            table.append([(int(n / eta**i), max_budget / eta ** (s - i)) for i in range(s + 1)])
        return table

    def by_argsort(losses, gamma):
        order = np.argsort(losses, kind="stable")
        cut = int(np.ceil(gamma * len(losses)))
        return order[:cut], order[cut:]

    def plainly_sorted(losses, eta):
        return sorted(range(len(losses)), key=losses.__getitem__)[: len(losses) // eta]

    def two_samples(a, b):
        variances = np.var(a, ddof=1) / len(a) + np.var(b, ddof=1) / len(b)
        return np.mean(a) - np.mean(b), np.sqrt(variances)

    def up_to_now(curves, rungs):
        alive, done, fresh, resumed = list(range(len(curves))), 0, 0, 0
        for n, budget in rungs:
            alive = sorted(alive[:n], key=lambda i: min(curves[i][:budget]))
            fresh, resumed = fresh + n * budget, resumed + n * (budget - done)
            done = budget
        return alive[0], fresh, resumed

    assert says("budgets", floored) == "floating_logarithm"
    assert says("brackets", hpbandster) == "rounded_before"
    assert says("split", by_argsort) == "failed_are_good"
    assert says("promoted", plainly_sorted) == "nan_sorted"
    assert says("paired", two_samples) == "unpaired"
    assert says("halving", up_to_now) == "best_so_far"


#: The slips that the course promises to name.
PROMISED = [
    ("split", "highest"),
    ("split", "gamma_of_the_bad"),
    ("log_kernel", "not_truncated"),
    ("log_kernel", "not_normalised"),
    ("log_density", "overflow"),
    ("log_density", "product_of_means"),
    ("improvement", "upside_down"),
    ("sample", "clipped"),
    ("suggest", "upside_down"),
    ("suggest", "good_alone"),
    ("modelled", "a"),
    ("budgets", "floating_logarithm"),
    ("budgets", "from_the_smallest"),
    ("budgets", "min_budget_added"),
    ("never_run", "a"),
    ("brackets", "rounded_down"),
    ("brackets", "power_forgotten"),
    ("brackets", "smallest_for_all"),
    ("brackets", "from_zero"),
    ("source_epochs", "full_runs"),
    ("promoted", "worst"),
    ("promoted", "nan_sorted"),
    ("halving", "best_so_far"),
    ("halving", "budgets_mixed"),
    ("modelled_budget", "budgets_mixed"),
    ("paired", "unpaired"),
    ("runs_of_both", "noise_of_one"),
    ("ranking", "a"),
    ("selected_best", "a"),
]


@pytest.mark.parametrize(("question", "mistake"), PROMISED)
def test_the_promised_mistakes_are_declared(question, mistake):
    assert mistake in [known.name for known in EXERCISE[question].mistakes]
