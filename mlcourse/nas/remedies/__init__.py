"""Remedies for what goes wrong in a search: small switches that `search` takes and combines.

    from mlcourse.nas import Supernet, search
    from mlcourse.nas.remedies import EdgeNormalization, PartialChannels, SkipStop
    found = search(Supernet(16, 8, 10), train, val, epochs=50,
                   remedies=[PartialChannels(4), EdgeNormalization(), SkipStop(2)])

Too many skip connections: `SkipDropout`, `SkipStop`, `EigenvalueStop`. Operations that compete or
rely on each other: `FairGates`, `DirichletSampling`; `drop_one` and `retrain_one` measure it. The
gap between the supernet and the derived network: `Shrinking`, `select_by_perturbation`. Time and
memory: `PartialChannels` with `EdgeNormalization`. Each name is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcourse.lazy import lazily

if TYPE_CHECKING:
    from mlcourse.nas.remedies.dropout import SkipDropout
    from mlcourse.nas.remedies.partial_channels import PartialChannels
    from mlcourse.nas.remedies.perturbation import select_by_perturbation
    from mlcourse.nas.remedies.relaxations import DirichletSampling, EdgeNormalization, FairGates
    from mlcourse.nas.remedies.remedy import Remedy
    from mlcourse.nas.remedies.removal import drop_one, retrain_one
    from mlcourse.nas.remedies.shrinking import Shrinking
    from mlcourse.nas.remedies.stopping import EigenvalueStop, SkipStop, alpha_eigenvalue

_MODULES = {
    "DirichletSampling": "relaxations",
    "EdgeNormalization": "relaxations",
    "EigenvalueStop": "stopping",
    "FairGates": "relaxations",
    "PartialChannels": "partial_channels",
    "Remedy": "remedy",
    "Shrinking": "shrinking",
    "SkipDropout": "dropout",
    "SkipStop": "stopping",
    "alpha_eigenvalue": "stopping",
    "drop_one": "removal",
    "retrain_one": "removal",
    "select_by_perturbation": "perturbation",
}

__all__ = [
    "DirichletSampling",
    "EdgeNormalization",
    "EigenvalueStop",
    "FairGates",
    "PartialChannels",
    "Remedy",
    "Shrinking",
    "SkipDropout",
    "SkipStop",
    "alpha_eigenvalue",
    "drop_one",
    "retrain_one",
    "select_by_perturbation",
]

__getattr__, __dir__ = lazily(__name__, _MODULES)
