"""`diagnose_collapse` through the real grader: records, products that live there, names."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("diagnose_collapse")

STRENGTHS = """
def strengths_by_epoch(alphas):
    p = torch.nn.functional.softmax(alphas, dim=-1)
    total = 0
    for e in range(alphas.shape[1]):
        total = total + p[:, e]
    return total / alphas.shape[1]
"""

COUNTS = """
def weight_free_counts(record):
    names = record["operations"]
    counts = []
    for alpha in record["normal"]:
        p = torch.softmax(alpha, dim=1).clone()
        p[:, names.index("none")] = -1
        best, which = p.max(dim=1)
        count, start, size = 0, 0, 2
        while start < len(p):
            for edge in best[start:start + size].topk(2).indices:
                name = names[which[start + edge]]
                if name in ("max_pool_3x3", "avg_pool_3x3", "skip_connect"):
                    count += 1
            start, size = start + size, size + 1
        counts.append(count)
    return counts
"""

STOP = """
def stop_by_count(counts, limit, start):
    for t, count in enumerate(counts):
        if t >= start and count >= limit:
            return t
"""

LARGEST = """
def largest_eigenvalue(product, v, steps):
    def power(product):
        u = v / v.norm()
        for _ in range(steps):
            u = product(u)
            u = u / torch.sqrt((u * u).sum())
        return (u * product(u)).sum()
    mu = power(product)
    if mu < 0:
        mu = mu + power(lambda u: product(u) - mu * u)
    return mu
"""

EIGENVALUE_STOP = """
def eigenvalue_stop(values, window, lag, ratio):
    h = (window - 1) // 2
    for t in range(len(values)):
        c = t - h
        if c - lag - h < 0:
            continue
        now = sum(values[c - h:c + h + 1]) / window
        then = sum(values[c - lag - h:c - lag + h + 1]) / window
        if then < ratio * now:
            return t, c - lag
    return len(values) - 1, len(values) - 1
"""

MARGINS = """
def margins(alpha, none):
    p = alpha.softmax(dim=1)
    keep = [k for k in range(p.shape[1]) if k != none]
    s = p[:, keep].sort(dim=1).values
    return s[:, -1] - s[:, -2]
"""

RELIED_ON = """
def relied_on(before, longer, at_once, retrained):
    now = [before - x for x in at_once]
    later = [longer - x for x in retrained]
    gone = [now[k] - later[k] for k in range(len(now))]
    return now, later, max(range(len(gone)), key=lambda k: gone[k])
"""

RANKS = """
def rank_correlation(a, b):
    def ranks(x):
        ordered = sorted(x)
        found = []
        for value in x:
            places = [i + 1 for i, other in enumerate(ordered) if other == value]
            found.append(sum(places) / len(places))
        return torch.tensor(found, dtype=torch.float64)
    table = torch.stack([ranks(a), ranks(b)])
    return torch.corrcoef(table)[0, 1]
"""

LOOK_AHEAD = """
def look_ahead(near, far):
    a, b = near.flatten(), far.flatten()
    cosine = a @ b / (a.norm() * b.norm())
    return float(cosine), float(a.norm() / b.norm())
"""

NAME = """
def name_the_limit(record):
    counts = record["weight_free"]
    m = len(counts) // 3
    end = sum(counts[-m:]) / m
    if record["cosine"] < 0.5:
        return "short_horizon"
    if end > record["genes"] / 2:
        return "weight_free"
    if record["at_once"] > 0.05 and record["retrained"] / record["at_once"] < 0.5:
        return "co_adaptation"
    if record["relaxed"] - record["discrete"] > 0.1 and record["ranks"] < 0.5:
        return "gap"
    return "healthy"
"""

REGRETS = """
def regrets(table, cells):
    best = max(sum(runs) / len(runs) for runs in table.values())
    return [best - sum(table[cell]) / len(table[cell]) for cell in cells]
"""

INTERVAL = """
def paired_interval(first, second, t):
    d = torch.tensor(first, dtype=torch.float64) - torch.tensor(second, dtype=torch.float64)
    error = d.std() / math.sqrt(len(d))
    mean = d.mean()
    return mean, mean - t * error, mean + t * error
"""

RIGHT = {
    "strengths_by_epoch": STRENGTHS,
    "weight_free_counts": COUNTS,
    "stop_by_count": STOP,
    "largest_eigenvalue": LARGEST,
    "eigenvalue_stop": EIGENVALUE_STOP,
    "margins": MARGINS,
    "relied_on": RELIED_ON,
    "rank_correlation": RANKS,
    "look_ahead": LOOK_AHEAD,
    "name_the_limit": NAME,
    "regrets": REGRETS,
    "paired_interval": INTERVAL,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("strengths_by_epoch", "dim=-1", "dim=1", "over_edges"),
    ("strengths_by_epoch", "torch.nn.functional.softmax(alphas, dim=-1)", "alphas", "raw"),
    ("strengths_by_epoch", "total / alphas.shape[1]", "total", "summed"),
    ("weight_free_counts", "dim=1).clone()", "dim=0).clone()", "over_edges"),
    ("weight_free_counts", "torch.softmax(alpha, dim=1)", "(alpha + 50)", "raw"),
    ("weight_free_counts", '"max_pool_3x3", "avg_pool_3x3", "skip_connect"', '"skip_connect",',
     "skips_alone"),
    ("weight_free_counts", 'record["normal"]', 'record["reduce"]', "reduction_cell"),
    ("weight_free_counts", '        p[:, names.index("none")] = -1\n', "", "none_wins"),
    ("weight_free_counts", "p = torch.softmax(alpha, dim=1).clone()\n",
     'alpha = alpha.clone()\n        alpha[:, names.index("none")] = -1e9\n'
     "        p = torch.softmax(alpha, dim=1)\n", "none_outside"),
    ("weight_free_counts", ".topk(2)", ".topk(size)", "all_edges"),
    ("stop_by_count", "count >= limit", "count > limit", "more_than"),
    ("stop_by_count", "t >= start and ", "", "first_epochs"),
    ("stop_by_count", "return t", "return t + 1", "next"),
    ("largest_eigenvalue", "mu = mu + power(lambda u: product(u) - mu * u)", "pass", "no_shift"),
    ("largest_eigenvalue", "mu = mu + power", "mu = power", "not_undone"),
    ("largest_eigenvalue", "- mu * u", "+ mu * u", "shifted_down"),
    ("largest_eigenvalue", "    if mu < 0:\n        mu = mu", "    if True:\n        mu = mu",
     "always_shifted"),
    ("eigenvalue_stop", "return t, c - lag", "return t, t", "cell_at_the_stop"),
    ("eigenvalue_stop", "return t, c - lag", "return t, t - lag", "middle_forgotten"),
    ("eigenvalue_stop", "return t, c - lag", "return c, c - lag", "into_the_future"),
    ("eigenvalue_stop", "return t, c - lag", "return t + 1, c - lag", "next"),
    ("eigenvalue_stop", "then < ratio * now", "now < ratio * then", "upside_down"),
    ("margins", "dim=1)\n    keep", "dim=0)\n    keep", "over_edges"),
    ("margins", " if k != none", "", "none_counted"),
    ("margins", "alpha.softmax(dim=1)", "alpha", "raw"),
    ("relied_on", "longer - x", "before - x", "not_trained_longer"),
    ("relied_on", "gone = [now[k] - later[k]", "gone = [now[k]", "most_missed_at_once"),
    ("relied_on", "gone = [now[k] - later[k]", "gone = [later[k]", "most_needed"),
    ("rank_correlation", "sum(places) / len(places)", "places[0]", "lowest"),
    ("rank_correlation", "sum(places) / len(places)", "places[-1]", "highest"),
    ("rank_correlation", "sum(places) / len(places)", "value", "values"),
    ("look_ahead", "a.norm() / b.norm())\n", "b.norm() / a.norm())\n", "upside_down"),
    ("look_ahead", "/ (a.norm() * b.norm())", "", "product"),
    ("name_the_limit", 'record["cosine"] <', 'abs(record["cosine"]) <', "absolute_cosine"),
    ("name_the_limit", "sum(counts[-m:]) / m", "counts[-1]", "last_epoch"),
    ("name_the_limit", "end >", "end >=", "half_is_enough"),
    ("name_the_limit", ' and record["ranks"] < 0.5', "", "ranks_ignored"),
    ("name_the_limit", ' and record["retrained"] / record["at_once"] < 0.5', "",
     "retrained_ignored"),
    ("regrets", "max(sum(runs) / len(runs) for", "max(max(runs) for", "best_run"),
    ("regrets", "[best - sum(table[cell]) / len(table[cell]) for",
     "[(best - sum(table[cell]) / len(table[cell])) / best for", "relative"),
    ("regrets", "for runs in table.values())", "for runs in map(table.get, cells))", "best_found"),
    ("paired_interval", "d.std()", "d.std(correction=0)", "population"),
    ("paired_interval", " / math.sqrt(len(d))", "", "no_root_of_n"),
    ("paired_interval", "math.sqrt(len(d))", "len(d)", "divided_by_n"),
    ("paired_interval", "mean - t * error, mean + t * error",
     "mean - 1.96 * error, mean + 1.96 * error", "normal"),
]  # fmt: skip


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_collapse": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "largest_eigenvalue",
            "def largest_eigenvalue(product, v, steps):\n"
            "    H = torch.stack([product(unit) for unit in torch.eye(len(v), dtype=v.dtype)])\n"
            "    return torch.linalg.eigvalsh(H)[-1]",
            "by products alone",
        ),
        ("margins", "def margins(alpha, none):\n    return alpha", "should be"),
        (
            "eigenvalue_stop",
            "from mlcourse.nas.remedies import EigenvalueStop\n",
            "only mlcourse.data, mlcourse.plotting and mlcourse.witness",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {**RIGHT, name: text})[name]
    assert row.points == 0
    assert says in row.message
