"""Compare `mlcourse.conv.summary` with torchinfo, fvcore, ptflops and thop on hard cases.

    python benchmarks/conv_summary.py --install      # once: the others, in a venv of their own
    python benchmarks/conv_summary.py [--out book/results/conv_summary.json]

The truth is torch's: the parameters' own sizes, and half of what torch.utils.flop_counter counts
in a forward pass (two operations a multiply-accumulate). Where the model is one layer without
padding, this count is checked by brute force: with ones for weights and inputs, the sum of the
outputs is the number of products that were added up.

What the tools mean to count is not quite the same. All count the multiply-accumulates of
convolutions and dense layers; fvcore calls one a flop; torchinfo and ptflops add biases, ptflops
pooling and activations, fvcore and thop norms or some of these. So the cases have no biases and no
norms, and where one pools, an answer counts as right with the pooling's operations or without.
The last case has a batch norm and asks something else: whether a model in training mode is the same
after it was summed up.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import sys
import sysconfig
import venv
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mlcourse import conv
from mlcourse.convnets import course_cnn

ROOT = Path(__file__).resolve().parents[1]
PEERS_VENV = ROOT / "_build" / "summaries"
PACKAGES = ("torchinfo", "fvcore", "ptflops", "thop")


class OwnWeight(nn.Module):
    """A layer that calls the function of a convolution with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))

    def forward(self, X: Tensor) -> Tensor:
        return F.conv2d(X, self.weight)


class Mixer(nn.Module):
    """A matrix product with a parameter, between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 32, bias=False), nn.Linear(32, 4, bias=False)
        self.mix = nn.Parameter(torch.randn(32, 32))

    def forward(self, X: Tensor) -> Tensor:
        return self.last(self.first(X) @ self.mix)


class FunctionalPooling(nn.Module):
    """Pooling and flattening are functions, as in many a first network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, bias=False)
        self.conv2 = nn.Conv2d(6, 16, 5, bias=False)
        self.fc = nn.Linear(400, 10, bias=False)

    def forward(self, X: Tensor) -> Tensor:
        X = F.max_pool2d(self.conv1(X), 2)
        return self.fc(F.max_pool2d(self.conv2(X), 2).flatten(1))


class CalledTwice(nn.Module):
    """One layer, called twice: its parameters are there once, its products are made twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)

    def forward(self, X: Tensor) -> Tensor:
        return self.layer(self.layer(X))


def tied() -> nn.Module:
    first, second = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
    second.weight = first.weight
    return nn.Sequential(first, second)


def one(layer: type[nn.Module], *settings: Any, **named: Any) -> Callable[[], nn.Module]:
    """Return what makes a model of one layer without bias."""
    return lambda: nn.Sequential(layer(*settings, bias=False, **named))


@dataclass(frozen=True)
class Case:
    """A model, its input's size, and how many other operations a tool may add to the truth."""

    name: str
    make: Callable[[], nn.Module]
    size: tuple[int, ...]
    others: int = 0
    countable: bool = False  # one layer without padding: the products can be counted by brute force
    training: bool = False  # then ask too whether the model is left as it was


CEILED = (nn.Conv2d(3, 8, 3, bias=False), nn.MaxPool2d(2, ceil_mode=True),
          nn.Conv2d(8, 8, 3, bias=False))  # fmt: skip
CASES = (
    Case("convolution", one(nn.Conv2d, 3, 8, 3), (3, 12, 12), countable=True),
    Case("depthwise, dilated", one(nn.Conv2d, 8, 8, 3, dilation=2, groups=8), (8, 12, 12),
         countable=True),
    Case("padding same", one(nn.Conv2d, 3, 8, 4, padding="same"), (3, 12, 12)),
    Case("one dimension", one(nn.Conv1d, 3, 8, 5, stride=2), (3, 33), countable=True),
    Case("three dimensions", one(nn.Conv3d, 3, 8, (1, 2, 3)), (3, 6, 7, 8), countable=True),
    Case("transposed, stride 2", one(nn.ConvTranspose2d, 8, 4, 4, stride=2), (8, 6, 6),
         countable=True),
    Case("transposed, 4 groups", one(nn.ConvTranspose2d, 8, 4, 3, groups=4), (8, 6, 6),
         countable=True),
    Case("unshared", lambda: conv.UnsharedConv2d((3, 12, 12), 8, 3, bias=False), (3, 12, 12),
         countable=True),
    Case("dense on (length, features)", one(nn.Linear, 16, 4), (10, 16), countable=True),
    Case("ceil_mode", lambda: nn.Sequential(*CEILED), (3, 13, 13), 8 * 2 * 11 * 11),
    Case("functional pooling", FunctionalPooling, (3, 32, 32),
         6 * (28 * 28 + 14 * 14) + 16 * (10 * 10 + 5 * 5)),
    Case("functional convolution", OwnWeight, (3, 12, 12), countable=True),
    Case("matrix product in forward", Mixer, (16,)),
    Case("layer called twice", CalledTwice, (4, 12, 12)),
    Case("weights tied", tied, (64,)),
    Case("batch norm, in training mode", lambda: course_cnn("seed", batch_norm=True).train(),
         (3, 32, 32), 300_000, training=True),
)  # fmt: skip


def ours(model: nn.Module, size: tuple[int, ...]) -> tuple[int, int]:
    table = conv.summary(model, size)
    return table.total_parameters, table.total_macs


def torchinfo(model: nn.Module, size: tuple[int, ...]) -> tuple[int, int]:
    from torchinfo import summary

    table = summary(model, input_size=(1, *size), verbose=0, device="cpu")
    return table.total_params, table.total_mult_adds


def fvcore(model: nn.Module, size: tuple[int, ...]) -> tuple[int, int]:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    analysis = FlopCountAnalysis(model, torch.zeros(BATCH, *size))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return parameter_count(model)[""], int(analysis.total()) // BATCH


def ptflops(model: nn.Module, size: tuple[int, ...], backend: str = "pytorch") -> tuple[int, int]:
    from ptflops import get_model_complexity_info

    macs, parameters = get_model_complexity_info(
        model, size, as_strings=False, print_per_layer_stat=False, verbose=False, backend=backend
    )
    return parameters, int(macs)


def thop(model: nn.Module, size: tuple[int, ...]) -> tuple[int, int]:
    from thop import profile

    macs, parameters = profile(model, inputs=(torch.zeros(BATCH, *size),), verbose=False)
    return int(parameters), int(macs) // BATCH


BATCH = 2  # one example a batch would stop a batch norm in training mode
PEERS = {"torchinfo": torchinfo, "fvcore": fvcore, "ptflops": ptflops,
         "ptflops, aten": partial(ptflops, backend="aten"), "thop": thop}  # fmt: skip


def truth(case: Case) -> tuple[int, int]:
    """Return the parameters and the multiply-accumulates of one example, as torch has them."""
    model = case.make().eval()
    with FlopCounterMode(display=False) as flops:
        model(torch.zeros(1, *case.size))
    macs = flops.get_total_flops() // 2
    parameters = sum(p.numel() for p in model.parameters())
    if case.countable and products(model, case.size) != macs:
        sys.exit(f"no measurement: torch's counter is wrong on {case.name}")
    return parameters, macs


def products(model: nn.Module, size: tuple[int, ...]) -> int:
    """Count what a linear layer without padding adds up: ones times ones."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1)
        return int(model.double()(torch.ones(1, *size, dtype=torch.float64)).sum())


def answer(tool: Callable[..., tuple[int, int]], case: Case) -> dict[str, Any]:
    """Return a tool's counts and what it changed in the model, or its error."""
    model = case.make()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    try:
        parameters, macs = tool(model, case.size)
    except ImportError as problem:
        sys.exit(f"no measurement: {problem}; use --install")
    except Exception as problem:  # whatever a peer raises is its answer
        return {"error": f"{type(problem).__name__}: {problem}".splitlines()[0][:120]}
    after = model.state_dict()
    changed = []
    if any(k not in after or not torch.equal(v, after[k]) for k, v in state.items()):
        changed.append("statistics changed")
    if len(after) > len(state):
        changed.append("buffers added")
    if [module.training for module in model.modules()] != modes:
        changed.append("left in evaluation mode")
    return {"parameters": parameters, "macs": macs, "changed": changed}


def answers(tools: dict[str, Callable]) -> dict[str, dict[str, Any]]:
    return {name: {c.name: answer(tool, c) for c in CASES} for name, tool in tools.items()}


def ask_peers() -> tuple[dict[str, Any], dict[str, str]]:
    """Run this script with the peers' Python; return their answers and versions."""
    command = [PEERS_VENV / "bin" / "python", __file__, "--as-peer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the others failed: {done.stderr[-2000:]}")
    reply = json.loads(done.stdout.splitlines()[-1])
    return reply["answers"], reply["versions"]


def as_peer() -> None:
    """Print the peers' answers as one line of JSON."""
    warnings.simplefilter("ignore")
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    print(json.dumps({"answers": answers(PEERS), "versions": versions}))


def install() -> None:
    """Make a venv with the peers in which torch and the course are importable too."""
    venv.create(PEERS_VENV, with_pip=True, clear=True)
    python = PEERS_VENV / "bin" / "python"
    extra = ("iopath", "yacs", "portalocker", "tabulate", "termcolor", "tqdm")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES, *extra]
    subprocess.run(install, check=True)
    query = [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    site = subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
    both = f"{sysconfig.get_paths()['purelib']}\n{ROOT}\n"
    (Path(site) / "zz_course.pth").write_text(both)


def verdict(case: dict[str, Any], tool: str) -> str:
    """Say in a word what a tool's answer is worth."""
    got, true = case["answers"][tool], case["truth"]
    if "error" in got:
        return "error"
    wrong = []
    if got["parameters"] != true["parameters"]:
        wrong.append(f"parameters {got['parameters']:,}")
    if not true["macs"] <= got["macs"] <= true["macs"] + case["others"]:
        wrong.append(f"MACs {got['macs']:,}")
    if case["training"]:
        wrong += got["changed"]
    return ", ".join(wrong) or "right"


def measure() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return each case with the truth, all answers and their verdicts."""
    found, versions = answers({"mlcourse": ours}), {"torch": torch.__version__}
    if PEERS_VENV.exists():
        peers, more = ask_peers()
        found |= peers
        versions |= more
    else:
        print("the others are left out: python benchmarks/conv_summary.py --install installs them")
    cases = []
    for case in CASES:
        parameters, macs = truth(case)
        record: dict[str, Any] = {
            "name": case.name,
            "truth": {"parameters": parameters, "macs": macs},
            "others": case.others,
            "training": case.training,
            "answers": {tool: found[tool][case.name] for tool in found},
        }
        record["verdicts"] = {tool: verdict(record, tool) for tool in found}
        cases.append(record)
    return cases, versions


def main() -> None:
    """Compare, print the table and, with --out, store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file too")
    parser.add_argument("--install", action="store_true", help="make the others' venv first")
    parser.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_peer:
        as_peer()
        return
    if options.install:
        install()
    cases, versions = measure()
    show(cases)
    if options.out:
        store(options.out, cases, versions)


def show(cases: list[dict[str, Any]]) -> None:
    """Print the verdicts, one line a case."""
    from rich.console import Console
    from rich.table import Table

    tools = list(cases[0]["verdicts"])
    table = Table(title="Parameters and multiply-accumulates: right, or what was said instead")
    for column in ("case", "parameters", "MACs", *tools):
        table.add_column(column)
    for case in cases:
        truth = (f"{case['truth'][what]:,}" for what in ("parameters", "macs"))
        table.add_row(case["name"], *truth, *case["verdicts"].values())
    Console(width=150).print(table)


def store(out: Path, cases: list[dict[str, Any]], versions: dict[str, str]) -> None:
    from mlcourse.book.runs import machine

    record = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": "python benchmarks/conv_summary.py --out book/results/conv_summary.json",
        "machine": machine(),
        "versions": versions,
        "cases": cases,
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
