"""`diagnose_collapse`: its references are the library's, and what it shows was measured."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from mlcourse.book.runs import RESULTS
from mlcourse.checks import load
from mlcourse.checks.diagnose_collapse_questions.naming import SIGNS
from mlcourse.checks.diagnose_collapse_questions.record import FREE
from mlcourse.checks.judge import Judge
from mlcourse.nas.genotype import derive_cell
from mlcourse.nas.remedies import EigenvalueStop, SkipStop
from mlcourse.nas.small_table import Table
from mlcourse.training import History

EXERCISE = load("diagnose_collapse")
SEED = 20260101
SCIPY = pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="scipy is not here")


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def says(name: str, answer) -> str | None:
    return Judge(EXERCISE[name], [SEED])(answer).mistake


# --- The references are the library's -------------------------------------------------------------


def test_strengths_add_up_to_one_in_each_epoch():
    for (alphas,) in cases("strengths_by_epoch"):
        found = value("strengths_by_epoch")(alphas)
        assert found.shape == (alphas.shape[0], alphas.shape[2])
        torch.testing.assert_close(found.sum(1), torch.ones(len(found), dtype=found.dtype))


def test_the_counts_are_those_of_the_librarys_cells():
    for (record,) in cases("weight_free_counts"):
        names = record["operations"]
        expected = [
            sum(name in FREE for name, _ in derive_cell(alpha.softmax(1), names))
            for alpha in record["normal"]
        ]
        assert value("weight_free_counts")(record) == expected
        assert len(set(expected)) > 2


def test_none_has_a_share_that_matters_in_the_cases():
    """It is the strongest of some edges, and of others not."""
    for (record,) in cases("weight_free_counts"):
        best = record["normal"].argmax(2) == record["operations"].index("none")
        assert best.any()
        assert not best.all()


def told(rule, columns: dict[str, list[float]]) -> tuple[int | None, History]:
    """Ask a rule at the end of each epoch, as a search does."""
    history = History()
    epochs = len(next(iter(columns.values())))
    for t in range(epochs):
        history.append(**{name: column[t] for name, column in columns.items()})
        if rule.stop(history):
            return t, history
    return None, history


def test_the_rule_that_counts_is_the_librarys_where_it_is_asked_from_the_start():
    for counts, limit, start in cases("stop_by_count"):
        last, _ = told(SkipStop(limit), {"normal_skips": counts[start:]})
        found = value("stop_by_count")(counts, limit, start)
        assert found == (None if last is None else start + last)
    assert SkipStop().limit == 2


def test_the_rule_on_eigenvalues_is_the_librarys():
    fired = []
    batch = (torch.zeros(1), torch.zeros(1, dtype=torch.long))
    for values, window, lag, ratio in cases("eigenvalue_stop"):
        rule = EigenvalueStop(batch, window, lag, ratio)
        last, history = told(rule, {"alpha_eigenvalue": values})
        expected = (len(values) - 1 if last is None else last, rule.chosen(history))
        assert value("eigenvalue_stop")(values, window, lag, ratio) == expected
        fired.append(last is not None)
    assert set(fired) == {True, False}
    usual = EigenvalueStop(batch)
    assert (usual.window, usual.lag, usual.ratio) == (5, 5, 0.75)


def test_the_largest_eigenvalue_is_that_of_the_matrix():
    signs = set()
    for H, v, steps in cases("largest_eigenvalue"):
        values = torch.linalg.eigvalsh(H)
        found = value("largest_eigenvalue")(lambda u, H=H: H @ u, v, steps)
        assert float(found) == pytest.approx(float(values[-1]), rel=1e-9)
        signs.add((bool(values[-1] > 0), bool(values[-1] > -values[0])))
    assert signs == {(True, True), (True, False), (False, False)}


@SCIPY
def test_rank_correlations_are_scipys():
    from scipy.stats import spearmanr

    for a, b in cases("rank_correlation"):
        expected = float(spearmanr(a, b).statistic)
        assert value("rank_correlation")(a, b) == pytest.approx(expected)


@SCIPY
def test_intervals_are_scipys_and_their_factor_is_students():
    from scipy.stats import t as student
    from scipy.stats import ttest_rel

    for first, second, t in cases("paired_interval"):
        assert t == pytest.approx(student.ppf(0.975, len(first) - 1), abs=1e-3)
        expected = ttest_rel(first, second).confidence_interval(0.95)
        mean, low, high = value("paired_interval")(first, second, t)
        assert mean == pytest.approx(np.mean(np.subtract(first, second)))
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_the_lucky_run_is_not_of_the_best_cell():
    for table, cells in cases("regrets"):
        best = max(table, key=lambda cell: fmean(table[cell]))
        assert max(table, key=lambda cell: max(table[cell])) != best
        assert best not in cells


def test_every_name_is_asked_for_and_several_signs_come_together():
    names = Counter(value("name_the_limit")(record) for (record,) in cases("name_the_limit"))
    assert set(names) == {*SIGNS, "healthy"}
    shown = [sum(sign(record) for sign in SIGNS.values()) for (record,) in cases("name_the_limit")]
    assert set(shown) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_the_limits_are_far_from_the_cases(factor):
    """All but half of the genes, which the text says in words."""
    for (record,) in cases("name_the_limit"):
        moved = {
            "short_horizon": record["cosine"] < 0.5 * factor,
            "weight_free": SIGNS["weight_free"](record),
            "co_adaptation": record["at_once"] > 0.05 * factor
            and record["retrained"] < record["at_once"] / 2 * factor,
            "gap": record["relaxed"] - record["discrete"] > 0.1 * factor
            and record["ranks"] < 0.5 * factor,
        }
        assert moved == {name: sign(record) for name, sign in SIGNS.items()}


# --- What the text shows is what was measured -----------------------------------------------------

SOURCE = (Path(__file__).resolve().parents[2] / "solutions" / "diagnose_collapse.py").read_text(
    encoding="utf-8"
)
LIMITS = json.loads((RESULTS / "darts_limits.json").read_text(encoding="utf-8"))
DARTS = [run for run in LIMITS["searches"] if run["way"] == "DARTS"]


def shown(name: str) -> list[str]:
    found = re.search(rf'^{name} = """\n(.*?)\n"""$', SOURCE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found.group(1).split()


def test_the_five_searches_are_the_measured_ones():
    words = shown("RECORDED")
    starts = [i for i, word in enumerate(words) if word == "search"]
    assert len(starts) == len(DARTS) == 5
    for start, end, run in zip(starts, [*starts[1:], len(words)], DARTS, strict=True):
        part = words[start:end]
        assert int(part[1]) == run["seed"]
        assert float(part[3]) == pytest.approx(run["relaxed"], abs=1e-4)
        assert float(part[5]) == pytest.approx(run["discrete"], abs=1e-4)
        values, cells = part[7:37], part[38:]
        assert cells == run["cells"]
        numbers = [float(word) for word in values]
        assert numbers == pytest.approx(run["alpha_eigenvalue"], rel=6e-3)
        rule = value("eigenvalue_stop")
        # Rounded as they are, they give the same epochs.
        assert rule(numbers, 5, 5, 0.75) == rule(run["alpha_eigenvalue"], 5, 5, 0.75)


def test_the_table_is_the_librarys_for_all_cells_that_occur():
    truth = Table.read(RESULTS / "nas_table.json")
    table: dict[str, list[float]] = {}
    for word in shown("TRAINED_ALONE"):
        if word.isalpha():
            column = table[word] = []
        else:
            column.append(float(word))
    assert set(table) == {truth.best, *(cell for run in DARTS for cell in run["cells"])}
    for run in DARTS:
        found = value("regrets")(table, run["cells"])
        assert found == pytest.approx([truth.regret(cell) for cell in run["cells"]], abs=1e-4)


def test_what_was_taken_out_is_as_measured_and_the_choice_is_right():
    measured = next(run for run in LIMITS["relied_on"] if (run["way"], run["seed"]) == ("DARTS", 0))
    words = shown("REMOVED")
    assert [float(words[1]), float(words[3])] == pytest.approx(
        [measured["before"][1], measured["trained_longer"][1]], abs=1e-4
    )
    rows = np.array(words[4:]).reshape(-1, 5)
    costs: dict[tuple[int, str], float] = {}
    strengths: dict[tuple[int, str], float] = {}
    for row, removal in zip(rows.tolist(), measured["removals"], strict=True):
        edge, name = int(row[0]), row[1]
        assert edge == removal["edge"]
        assert name in removal["operation"]
        expected = removal["strength"], removal["at_once"][1], removal["retrained"][1]
        assert [float(word) for word in row[2:]] == pytest.approx(expected, abs=1e-4)
        costs[edge, name] = measured["before"][1] - removal["at_once"][1]
        strengths[edge, name] = removal["strength"]
    assert value("what_strength_says") == "c"
    for edge in (1, 3):
        assert strengths[edge, "pool"] >= 0.5
        assert costs[edge, "pool"] < 0.02
    assert strengths[0, "pool"] > strengths[0, "conv"]
    assert costs[0, "conv"] > 5 * costs[0, "pool"]
    # So the strongest of an edge is not always missed most, though over all edges they correlate.
    assert strengths[0, "pool"] == max(strengths[0, k] for k in ("skip", "pool", "conv"))
    assert value("rank_correlation")(list(strengths.values()), list(costs.values())) > 0
    for edge in (2, 4, 5):
        assert strengths[edge, "conv"] == max(strengths[edge, k] for k in ("skip", "pool", "conv"))


def test_the_measures_of_three_searches_are_those_of_the_files():
    truth = Table.read(RESULTS / "nas_table.json")
    block = re.search(r"^MEASURED = \[\n(.*?)^\]$", SOURCE, re.DOTALL | re.MULTILINE)
    assert block is not None
    given = [json.loads(line.strip().rstrip(",")) for line in block.group(1).splitlines()]
    for run, measures in zip(DARTS[:3], given, strict=True):
        shared = run["shared"]
        alone = [fmean(truth.test_runs(cell)) for cell in shared]
        removed = next(
            r for r in LIMITS["relied_on"] if (r["way"], r["seed"]) == ("DARTS", run["seed"])
        )
        horizon = next(h for h in LIMITS["horizon"] if h["seed"] == run["seed"])
        assert horizon["steps"] == 100
        assert len(shared) == 60
        expected = {
            "ranks": value("rank_correlation")(list(shared.values()), alone),
            "at_once": fmean(removed["before"][1] - r["at_once"][1] for r in removed["removals"]),
            "retrained": fmean(
                removed["trained_longer"][1] - r["retrained"][1] for r in removed["removals"]
            ),
            "cosine": horizon["methods"]["one step"]["cosine"],
        }
        assert measures == pytest.approx(expected, abs=6e-4)


def test_a_clock_does_as_well_as_the_rule():
    """The right choice of `five_seeds`: the rule takes nearly the same epoch in all searches."""
    assert value("five_seeds") == "c"
    truth = Table.read(RESULTS / "nas_table.json")
    taken = [value("eigenvalue_stop")(run["alpha_eigenvalue"], 5, 5, 0.75)[1] for run in DARTS]
    assert max(taken) - min(taken) <= 1
    end, early = (
        [truth.regret(run["cells"][t]) for run, t in zip(DARTS, epochs, strict=True)]
        for epochs in ([-1] * 5, taken)
    )
    _, low, high = value("paired_interval")(end, early, 2.776)
    assert 0 < low < high


# --- Slips that a student makes -------------------------------------------------------------------


def test_a_mean_over_a_window_around_the_epoch_looks_ahead():
    def centred(values, window, lag, ratio):
        half = window // 2
        smooth = {
            t: sum(values[t - half : t + half + 1]) / window
            for t in range(half, len(values) - half)
        }
        for t in range(half + lag, len(values) - half):
            if smooth[t - lag] / smooth[t] < ratio:
                return t, t - lag
        return len(values) - 1, len(values) - 1

    assert says("eigenvalue_stop", centred) == "into_the_future"


def test_a_vector_that_grows_with_each_product_is_recognised():
    def unscaled(product, v, steps):
        for _ in range(steps):
            v = product(v)
        return v @ product(v)

    def answer(product, v, steps):
        mu = unscaled(product, v, steps)
        return mu if mu >= 0 else mu + unscaled(lambda u: product(u) - mu * u, v, steps)

    assert says("largest_eigenvalue", answer) == "not_normalised"


def test_ranks_by_sorting_twice_are_recognised():
    def ranks(x):
        return torch.tensor(x, dtype=torch.float64).argsort(stable=True).argsort().double()

    def answer(a, b):
        return float(torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1])

    assert says("rank_correlation", answer) == "first_come"


def test_a_table_of_names_in_another_order_is_recognised():
    def answer(record):
        for name in ("gap", "co_adaptation", "weight_free", "short_horizon"):
            if SIGNS[name](record):
                return name
        return "healthy"

    assert says("name_the_limit", answer) == "reversed"


def test_power_iteration_that_is_shifted_the_wrong_way_both_times_is_told_so():
    def power(product, v, steps):
        for _ in range(steps):
            v = product(v)
            v = v / v.norm()
        return v @ product(v)

    def answer(product, v, steps):
        mu = power(product, v, steps)
        return mu if mu >= 0 else power(lambda u: product(u) + mu * u, v, steps) - mu

    verdict = Judge(EXERCISE["largest_eigenvalue"], [SEED])(answer)
    assert verdict.mistake == "no_shift"
    assert "and not H + mu I" in verdict.message


def test_lists_made_tensors_in_single_precision_are_accepted():
    """`torch.tensor` of a list of numbers is float32."""

    def interval(first, second, t):
        d = torch.tensor(first) - torch.tensor(second)
        half = t * d.std() / len(d) ** 0.5
        return d.mean(), d.mean() - half, d.mean() + half

    assert Judge(EXERCISE["paired_interval"], [SEED])(interval).status == "passed"


def test_a_table_with_more_trainings_of_some_cells_is_among_the_cases():
    for table, _ in cases("regrets"):
        assert len({len(runs) for runs in table.values()}) > 1


def test_operations_that_the_supernet_is_better_without_are_among_the_cases():
    for case in cases("relied_on"):
        now, later, _ = value("relied_on")(*case)
        assert min(now) < 0
        assert min(later) < 0


def test_the_numbers_of_the_rule_are_not_always_the_papers():
    assert len({ratio for *_, ratio in cases("eigenvalue_stop")}) > 1
    assert len({record["genes"] for (record,) in cases("name_the_limit")}) > 1
