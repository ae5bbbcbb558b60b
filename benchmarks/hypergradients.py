"""Time, memory and error of hypergradients: ours, hypertorch's and torchopt's.

    python benchmarks/hypergradients.py [--out book/results/hypergradients.json]

Ridge regression with 250 weights and 50 log-penalties, one for 5 weights each, 500 examples,
float64, on one thread of the CPU. Methods that unroll start at zero and take T = 200 steps of
gradient descent, which count into their time; the others are given the minimum, and K = 50
products with the Hessian. Times are the processor's, which on one thread leave out what other
programs take. All methods take turns within each repeat, so that a machine that slows down slows
all; a ratio is the median over repeats of our time over that of a peer's same method in the same
repeat. The error is the distance from the exact hypergradient, divided by its norm. The memory is
the peak of what the tensors made in one call hold at the same time, which a profiler counts
exactly; the graph's own nodes are not in it.

Peers are torchopt (`pip install torchopt`) and hypertorch, which is installed from its repository
prolearner/hypertorch and imported as hypergrad (the package index has another project of its
name); one that is not there is left out. "recomputed" and hypertorch's reverse keep the weights of
each step and do it again on the way back; the others that go back through T steps keep each graph.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from mlcourse.book.runs import machine
from mlcourse.hypergrad import hypergradient

#: Gradient descent: below 2 / (largest eigenvalue of the Hessian), about 3.0.
LR = 0.6


class Ridge:
    """The problem: inner and outer losses, the start and the minimum, the exact hypergradient."""

    def __init__(self, seed: int = 0, n: int = 250, penalties: int = 50) -> None:
        generator = torch.Generator().manual_seed(seed)
        normal = partial(torch.randn, generator=generator, dtype=torch.float64)
        teacher = normal(n)
        self.X, self.X_val = normal(2 * n, n), normal(2 * n, n)
        self.y = self.X @ teacher + 5 * normal(2 * n)
        self.y_val = self.X_val @ teacher + 5 * normal(2 * n)
        self.group = torch.arange(n) % penalties
        self.hyper = normal(penalties) / 2 - 3.5
        self.start = torch.zeros_like(teacher)
        hyper = self.hyper.clone().requires_grad_()
        self.minimum = self._minimum(hyper).detach()
        (self.exact,) = torch.autograd.grad(self.outer(self._minimum(hyper), hyper), hyper)

    def inner(self, w: Tensor, hyper: Tensor) -> Tensor:
        """Half the mean squared error, and the penalties."""
        error = (self.X @ w - self.y).square().mean() / 2
        return error + (hyper.exp()[self.group] * w.square()).sum()

    def outer(self, w: Tensor, hyper: Tensor) -> Tensor:
        """Half the mean squared error on the validation examples."""
        return (self.X_val @ w - self.y_val).square().mean() / 2

    def _minimum(self, hyper: Tensor) -> Tensor:
        H = self.X.T @ self.X / len(self.X) + 2 * torch.diag(hyper.exp()[self.group])
        return torch.linalg.solve(H, self.X.T @ self.y / len(self.X))


Call = Callable[[Ridge, int], Tensor]


@dataclass(frozen=True)
class Entrant:
    """A way to a hypergradient: a call with the problem and its number of steps or products.

    `rival_of` is our method that does the same, None for ours; `needs` a package. With `grows`
    the memory is measured for other numbers of steps too.
    """

    call: Call
    count: int = 1
    rival_of: str | None = None
    needs: str | None = None
    grows: bool = False


def ours(method: str, count_name: str | None = None, start: bool = True, **options: Any) -> Call:
    """Return a call of our method; `count_name` is the option that the number is given as."""

    def call(ridge: Ridge, count: int) -> Tensor:
        w = ridge.start if start else ridge.minimum
        counted = {count_name: count} if count_name else {}
        return hypergradient(ridge.inner, ridge.outer, w, ridge.hyper, method, **counted, **options)

    return call


def truncated(ridge: Ridge, count: int) -> Tensor:
    """Our truncated reverse, through the last 20 steps."""
    return ours("truncated", "steps", lr=LR, keep=min(20, count))(ridge, count)


def hypertorch_unrolled(ridge: Ridge, count: int) -> Tensor:
    """Its backpropagation through a graph of all steps."""
    import hypergrad as hg

    hyper = [ridge.hyper.clone().requires_grad_()]
    step = hg.GradientDescent(_on_lists(ridge.inner), LR)
    w = [ridge.start.clone().requires_grad_()]
    for _ in range(count):
        w = step(w, hyper)
    return hg.reverse_unroll(w, hyper, _on_lists(ridge.outer), set_grad=False)[0]


def hypertorch_reverse(ridge: Ridge, count: int) -> Tensor:
    """Its reverse mode, which does each step again."""
    import hypergrad as hg

    hyper = [ridge.hyper.clone().requires_grad_()]
    step = hg.GradientDescent(_on_lists(ridge.inner), LR)
    path = [[ridge.start.clone().requires_grad_()]]
    for _ in range(count):
        after = step(path[-1], hyper, create_graph=False)
        path.append([w.detach().requires_grad_() for w in after])
    return hg.reverse(path, hyper, [step] * count, _on_lists(ridge.outer), set_grad=False)[0]


def hypertorch_implicit(name: str, ridge: Ridge, count: int) -> Tensor:
    """Its CG or fixed_point, made to do all of its steps."""
    import hypergrad as hg

    hyper = [ridge.hyper.clone().requires_grad_()]
    step = hg.GradientDescent(_on_lists(ridge.inner), LR)
    solve = getattr(hg, name)
    outer = _on_lists(ridge.outer)
    return solve([ridge.minimum], hyper, count, step, outer, tol=0.0, set_grad=False)[0]


def _on_lists(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[list, list], Tensor]:
    return lambda w, hyper: loss(w[0], hyper[0])


def torchopt_unrolled(ridge: Ridge, count: int) -> Tensor:
    """Its differentiable SGD."""
    import torchopt

    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(ridge.start.clone())

    hyper = ridge.hyper.clone().requires_grad_()
    weights = Weights()
    optimizer = torchopt.MetaSGD(weights, lr=LR)
    for _ in range(count):
        optimizer.step(ridge.inner(weights.w, hyper))
    return torch.autograd.grad(ridge.outer(weights.w, hyper), hyper)[0]


def torchopt_implicit(solver: str, ridge: Ridge, count: int) -> Tensor:
    """Its implicit gradient of a minimum, with CG or a Neumann series as the solver."""
    import torchopt

    solve = {
        "cg": lambda: torchopt.linear_solve.solve_cg(maxiter=count, rtol=0.0, atol=0.0),
        # It does not count the first term.
        "neumann": lambda: torchopt.linear_solve.solve_inv(ns=True, maxiter=count - 1, alpha=LR),
    }[solver]()
    slope = torch.func.grad(ridge.inner)
    # It calls functions that torch has moved, and torch says so each time.
    warnings.filterwarnings("ignore", "We've integrated functorch", FutureWarning)
    rooted = torchopt.diff.implicit.custom_root(slope, argnums=1, solve=solve)

    @rooted
    def minimum(start: Tensor, hyper: Tensor) -> Tensor:
        return ridge.minimum.clone()

    hyper = ridge.hyper.clone().requires_grad_()
    return torch.autograd.grad(ridge.outer(minimum(ridge.start, hyper), hyper), hyper)[0]


HYPERTORCH, TORCHOPT = "hypergrad", "torchopt"
ENTRANTS = {
    "reverse, T=200": Entrant(ours("reverse", "steps", lr=LR), 200, grows=True),
    "reverse recomputed, T=200": Entrant(
        ours("reverse", "steps", lr=LR, recompute=True), 200, grows=True
    ),
    "forward, T=200": Entrant(ours("forward", "steps", lr=LR), 200, grows=True),
    "truncated, T=200, last 20": Entrant(truncated, 200, grows=True),
    "first_order": Entrant(ours("first_order")),
    "unrolled_step": Entrant(ours("unrolled_step", lr=LR)),
    "finite_difference": Entrant(ours("finite_difference", lr=LR)),
    "neumann, K=50": Entrant(ours("neumann", "terms", start=False, lr=LR), 50, grows=True),
    "cg, K=50": Entrant(ours("cg", "steps", start=False), 50, grows=True),
    "fixed_point, K=50": Entrant(ours("fixed_point", "steps", start=False, lr=LR), 50, grows=True),
    "exact": Entrant(ours("exact", start=False)),
    "hypertorch reverse_unroll, T=200": Entrant(
        hypertorch_unrolled, 200, "reverse, T=200", HYPERTORCH, True
    ),
    "hypertorch reverse, T=200": Entrant(
        hypertorch_reverse, 200, "reverse recomputed, T=200", HYPERTORCH, True
    ),
    "torchopt MetaSGD, T=200": Entrant(torchopt_unrolled, 200, "reverse, T=200", TORCHOPT, True),
    "hypertorch CG, K=50": Entrant(
        partial(hypertorch_implicit, "CG"), 50, "cg, K=50", HYPERTORCH, True
    ),
    "torchopt solve_cg, K=50": Entrant(
        partial(torchopt_implicit, "cg"), 50, "cg, K=50", TORCHOPT, True
    ),
    "hypertorch fixed_point, K=50": Entrant(
        partial(hypertorch_implicit, "fixed_point"), 50, "fixed_point, K=50", HYPERTORCH, True
    ),
    "torchopt Neumann, K=50": Entrant(
        partial(torchopt_implicit, "neumann"), 50, "neumann, K=50", TORCHOPT, True
    ),
}


def installed(entrants: dict[str, Entrant]) -> dict[str, Entrant]:
    """Return the entrants whose packages are there, and say in a line each which are not."""
    missing = {e.needs for e in entrants.values() if e.needs and find_spec(e.needs) is None}
    for package in sorted(missing):
        print(f"{package} is not installed: its methods are left out")
    return {name: e for name, e in entrants.items() if e.needs not in missing}


def interleaved(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return `repeats` processor times (ms) of each call, after one that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if repeat:
                times[name].append((time.process_time() - start) * 1e3)
    return times


def peak_memory(call: Callable[[], object]) -> float:
    """Return the most KiB that tensors made in the call held at the same time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    memory = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    held = peak = 0
    for event in memory:
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return round(peak / 1024, 1)


def method_rows(entrants: dict[str, Entrant], ridge: Ridge, times: dict) -> list[dict]:
    """Return a row for each entrant: median time and quartiles (ms), error, peak memory (KiB)."""
    rows = []
    for name, entrant in entrants.items():
        got = entrant.call(ridge, entrant.count)
        low, median, high = statistics.quantiles(times[name], n=4)
        rows.append(
            {
                "method": name,
                "ms": round(median, 2),
                "quartile1_ms": round(low, 2),
                "quartile3_ms": round(high, 2),
                "error": float(f"{(got - ridge.exact).norm() / ridge.exact.norm():.2g}"),
                "kib": peak_memory(partial(entrant.call, ridge, entrant.count)),
            }
        )
    return rows


def ratio_rows(entrants: dict[str, Entrant], times: dict[str, list[float]]) -> list[dict]:
    """Return for each peer's method the ratio of our time to its, with quartiles over repeats."""
    rows = []
    for name, entrant in entrants.items():
        if entrant.rival_of:
            pairs = zip(times[entrant.rival_of], times[name], strict=True)
            low, ratio, high = statistics.quantiles([mine / theirs for mine, theirs in pairs], n=4)
            rounded = {"ratio": ratio, "ratio_low": low, "ratio_high": high}
            rounded = {key: round(value, 2) for key, value in rounded.items()}
            rows.append({"ours": entrant.rival_of, "peer": name, **rounded})
    return rows


def memory_rows(entrants: dict[str, Entrant], ridge: Ridge, counts: list[int]) -> list[dict]:
    """Return the peak memory (KiB) of the entrants that can take more steps, for some numbers."""
    return [
        {
            "method": name.split(",")[0],
            "counts": counts,
            "kib": [peak_memory(partial(entrant.call, ridge, count)) for count in counts],
        }
        for name, entrant in entrants.items()
        if entrant.grows
    ]


def table(rows: list[dict], title: str, columns: dict[str, str]) -> Table:
    """Some rows as a table for the terminal; `columns` are their headings by key."""
    made = Table(title=title)
    for i, heading in enumerate(columns.values()):
        made.add_column(heading, justify="left" if i == 0 else "right")
    for row in rows:
        made.add_row(*(str(row[key]) for key in columns))
    return made


def measure(entrants: dict[str, Entrant], repeats: int, counts: list[int], seed: int) -> dict:
    """Return all rows. Sets torch's number of threads to one, and puts it back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ridge = Ridge(seed)
        calls = {name: partial(e.call, ridge, e.count) for name, e in entrants.items()}
        times = interleaved(calls, repeats)
        return {
            "methods": method_rows(entrants, ridge, times),
            "ratios": ratio_rows(entrants, times),
            "memory": memory_rows(entrants, ridge, counts),
        }
    finally:
        torch.set_num_threads(before)


def show(rows: dict) -> None:
    """Print the tables."""
    console = Console(width=120)
    columns = {"method": "method", "ms": "ms", "error": "error", "kib": "KiB"}
    console.print(
        table(rows["methods"], "A hypergradient: median CPU time, error, memory", columns)
    )
    columns = {"ours": "ours", "peer": "peer", "ratio": "ours / peer"}
    columns |= {"ratio_low": "quartile", "ratio_high": "quartile "}
    console.print(table(rows["ratios"], "Ratios of times", columns))
    memory = [
        {"method": row["method"]} | dict(zip(map(str, row["counts"]), row["kib"], strict=True))
        for row in rows["memory"]
    ]
    counts = {str(count): str(count) for count in rows["memory"][0]["counts"]}
    title = "Peak memory (KiB) for numbers of steps or products"
    console.print(table(memory, title, {"method": "method"} | counts))


def versions(entrants: dict[str, Entrant]) -> dict[str, str]:
    """The versions of the peers that take part; hypertorch's copy may have none."""
    found = {}
    for package in sorted({e.needs for e in entrants.values() if e.needs}):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "a copy of its repository"
    return found


def main() -> None:
    """Measure, print the tables and, with --out, store the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file too")
    parser.add_argument("--quick", action="store_true", help="3 repeats, memory for 2 numbers")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    repeats, counts = (3, [5, 10]) if options.quick else (30, [25, 50, 100, 200, 400])
    load = round(os.getloadavg()[0], 1)
    if load > 1:
        print(f"other programs are running (load {load}): expect longer times")
    entrants = installed(ENTRANTS)
    rows = measure(entrants, repeats, counts, options.seed)
    show(rows)
    if options.out:
        record = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "command": "python benchmarks/hypergradients.py --out book/results/hypergradients.json",
            "seed": options.seed,
            "repeats": repeats,
            "machine": machine(),
            "load_at_start": load,
            "packages": versions(entrants),
            **rows,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
