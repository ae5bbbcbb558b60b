"""`tpe_hyperband` through the real grader: lists of lists, infinities and None cross it."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("tpe_hyperband")

SPLIT = """
def split(losses, gamma):
    import numpy as np
    order = np.argsort(losses, kind="stable")
    cut = int(np.ceil(gamma * len(losses)))
    cut = min(cut, int(np.isfinite(losses).sum()))
    return order[:cut], order[cut:]
"""

LOG_KERNEL = """
def log_kernel(x, centre, width):
    z = (x - centre) / width
    inside = below((1 - centre) / width) - below((0 - centre) / width)
    return -z * z / 2 - math.log(width) - math.log(2 * math.pi) / 2 - math.log(inside)
"""

LOG_DENSITY = """
def log_density(logs):
    kernels = torch.tensor(logs, dtype=torch.float64).sum(dim=1)
    kernels = torch.cat([kernels, torch.zeros(1).double()])
    return torch.logsumexp(kernels, dim=0) - math.log(len(kernels))
"""

CHOICE = """
def choice_probabilities(seen, k):
    counts = [1] * k
    for value in seen:
        counts[value] += 1
    return [count / sum(counts) for count in counts]
"""

IMPROVEMENT = """
def improvement(l, g, gamma):
    ratio = l / g
    return ratio / (gamma * ratio + (1 - gamma))
"""

SAMPLE = """
def sample(points, width, which, u):
    n = len(points)
    i = math.floor(which * (n + 1))
    if i == n:
        return u
    kernel = NormalDist(points[i], width)
    start, end = kernel.cdf(0), kernel.cdf(1)
    return kernel.inv_cdf(start + (end - start) * u)
"""

SUGGEST = """
def suggest(xs, losses, gamma, width, draws):
    good, bad = split(losses, gamma)
    good = [xs[i] for i in good]
    bad = [xs[i] for i in bad]
    best, highest = None, -math.inf
    for which, u in draws:
        x = sample(good, width, which, u)
        l = log_density([[log_kernel(x, c, width)] for c in good])
        g = log_density([[log_kernel(x, c, width)] for c in bad])
        if l - g > highest:
            best, highest = x, l - g
    return best
"""

BUDGETS = """
def budgets(min_budget, max_budget, eta):
    s_max = math.floor(math.log(max_budget / min_budget) / math.log(eta) + 1e-9)
    return [max_budget / eta**s for s in range(s_max, -1, -1)]
"""

BRACKETS = """
def brackets(s_max, max_budget, eta):
    table = []
    for s in reversed(range(s_max + 1)):
        n = math.ceil((s_max + 1) * eta**s / (s + 1))
        row = []
        for i in range(s + 1):
            row.append([n // eta**i, max_budget / eta**(s - i)])
        table.append(row)
    return table
"""

PROMOTED = """
def promoted(losses, eta):
    losses = [math.inf if math.isnan(x) else x for x in losses]
    ranked = sorted((loss, i) for i, loss in enumerate(losses))
    return [i for _, i in ranked[: len(losses) // eta]]
"""

HALVING = """
def halving(curves, rungs):
    alive = list(range(len(curves)))
    before = fresh = resumed = 0
    for n, budget in rungs:
        alive = alive[:n]
        alive.sort(key=lambda i: curves[i][budget - 1])
        fresh += n * budget
        resumed += n * (budget - before)
        before = budget
    return alive[0], fresh, resumed
"""

MODELLED = """
def modelled_budget(results, parameters):
    counts = {}
    for budget, loss in results:
        counts[budget] = counts.get(budget, 0) + 1
    enough = [budget for budget in counts if counts[budget] >= parameters + 3]
    return max(enough) if enough else None
"""

PAIRED = """
def paired(a, b):
    d = [x - y for x, y in zip(a, b)]
    return statistics.fmean(d), statistics.stdev(d) / len(d) ** 0.5
"""

SIGN_FLIP = """
def sign_flip_p(differences):
    n = len(differences)
    seen = abs(sum(differences))
    count = 0
    for bits in range(2**n):
        total = sum(d if bits >> i & 1 else -d for i, d in enumerate(differences))
        if abs(total) >= seen - 1e-9:
            count += 1
    return count / 2**n
"""

PAIRS = """
def pairs_needed(difference, sd, power, level):
    z = place(1 - level / 2) + place(power)
    return math.ceil((z * sd / difference) ** 2)
"""

RIGHT = {
    "split": SPLIT,
    "log_kernel": LOG_KERNEL,
    "log_density": LOG_DENSITY,
    "choice_probabilities": CHOICE,
    "improvement": IMPROVEMENT,
    "sample": SAMPLE,
    "suggest": SUGGEST,
    "budgets": BUDGETS,
    "brackets": BRACKETS,
    "promoted": PROMOTED,
    "halving": HALVING,
    "modelled_budget": MODELLED,
    "paired": PAIRED,
    "sign_flip_p": SIGN_FLIP,
    "pairs_needed": PAIRS,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("split", "np.ceil(gamma", "np.floor(gamma", "rounded_down"),
    ("split", "gamma * len", "(1 - gamma) * len", "gamma_of_the_bad"),
    ("split", "    cut = min(cut, int(np.isfinite(losses).sum()))\n", "", "failed_are_good"),
    ("split", "order[:cut], order[cut:]", "order[cut:], order[:cut]", "bad_first"),
    ("log_kernel", " - math.log(inside)", "", "not_truncated"),
    ("log_kernel", " - math.log(width)", "", "no_width"),
    ("log_kernel", "-z * z / 2", "-z * z", "no_half"),
    ("log_density", "torch.zeros(1)", "torch.zeros(0)", "no_uniform"),
    ("log_density", " - math.log(len(kernels))", "", "summed"),
    ("choice_probabilities", "[1] * k", "[0] * k", "frequencies"),
    ("choice_probabilities", "sum(counts)", "(len(seen) + 1)", "one_more_below"),
    ("improvement", "l / g", "g / l", "upside_down"),
    ("improvement", "return ratio / (gamma * ratio + (1 - gamma))", "return ratio", "ratio"),
    ("sample", "start, end = kernel.cdf(0), kernel.cdf(1)", "start, end = 0, 1", "not_truncated"),
    ("sample", "which * (n + 1)", "which * n", "uniform_left_out"),
    ("suggest", "x = sample(good", "x = sample(bad", "candidates_of_the_bad"),
    ("suggest", "l - g", "g - l", "upside_down"),
    ("suggest", "l - g", "l", "good_alone"),
    ("suggest", "l - g", "l / g", "quotient_of_logs"),
    ("suggest", "good, bad = split", "bad, good = split", "parts_exchanged"),
    ("budgets", " + 1e-9", "", "floating_logarithm"),
    ("budgets", "math.floor(", "round(", "rounded"),
    (
        "budgets",
        "max_budget / eta**s for s in range(s_max, -1, -1)",
        "min_budget * eta**s for s in range(s_max + 1)",
        "from_the_smallest",
    ),
    ("brackets", "math.ceil(", "math.floor(", "rounded_down"),
    ("brackets", "(s_max + 1) * eta**s / (s + 1)", "(s_max + 1) / (s + 1)", "power_forgotten"),
    ("brackets", "eta**(s - i)", "eta**(s_max - i)", "smallest_for_all"),
    ("brackets", "reversed(range(s_max + 1))", "range(s_max + 1)", "from_zero"),
    ("promoted", "(loss, i) for", "(-loss, i) for", "worst"),
    ("promoted", "math.inf if", "-math.inf if", "nan_first"),
    ("promoted", "len(losses) // eta", "-(-len(losses) // eta)", "rounded_up"),
    ("halving", "curves[i][budget - 1]", "min(curves[i][:budget])", "best_so_far"),
    ("halving", "        before = budget\n", "", "always_fresh"),
    ("halving", "fresh, resumed\n", "resumed, fresh\n", "exchanged"),
    ("modelled_budget", "max(enough)", "min(enough)", "smallest"),
    ("modelled_budget", "parameters + 3", "1", "largest_of_all"),
    ("paired", "x - y for", "y - x for", "other_way"),
    ("paired", "statistics.stdev", "statistics.pstdev", "population"),
    ("sign_flip_p", "abs(total)", "total", "one_sided"),
    ("sign_flip_p", ">= seen - 1e-9", "> seen", "strictly_farther"),
    ("pairs_needed", "1 - level / 2", "1 - level", "one_sided"),
    ("pairs_needed", " ** 2", "", "not_squared"),
]


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_search": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


def test_a_wrong_piece_leaves_the_suggestion_ungraded(engine, untouched):
    answers = {
        **{name: RIGHT[name] for name in ("log_kernel", "log_density", "sample", "suggest")},
        "split": RIGHT["split"].replace("np.ceil(gamma", "np.floor(gamma"),
    }
    row = graded(engine, untouched, answers)["suggest"]
    assert (row.status, row.points) == ("ungraded", 0)
    assert "split" in row.message


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("split", "def split(losses, gamma):\n    return 3", "it should be a"),
        ("modelled_budget", "def modelled_budget(results, parameters):\n    pass", "None"),
        (
            "brackets",
            "from mlcourse.hpo.hyperband import brackets\n",
            "only mlcourse.data and mlcourse.plotting",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
