"""Neural architecture search: a supernet trained with its own architecture, and its comparators.

A search in three lines, with batches (X, y) of images and labels in two lists or loaders:

    from mlcourse.nas import Supernet, search
    supernet = Supernet(16, 8, 10)
    found = search(supernet, train, val, epochs=50)

Each name is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcourse.lazy import lazily

if TYPE_CHECKING:
    from mlcourse.nas.architect import Architect
    from mlcourse.nas.black_box import LocalSearch, RegularizedEvolution, Reinforce
    from mlcourse.nas.darts import Search, search
    from mlcourse.nas.derived import DerivedNet
    from mlcourse.nas.drawing import draw
    from mlcourse.nas.fast import FastSupernet
    from mlcourse.nas.genotype import DARTS_V1, DARTS_V2, PC_DARTS, Genotype
    from mlcourse.nas.operations import OPERATIONS, WITHOUT_WEIGHTS
    from mlcourse.nas.small_supernet import SmallSupernet
    from mlcourse.nas.small_table import Table
    from mlcourse.nas.supernet import Supernet

_MODULES = {
    "Architect": "architect",
    "DARTS_V1": "genotype",
    "DARTS_V2": "genotype",
    "DerivedNet": "derived",
    "FastSupernet": "fast",
    "Genotype": "genotype",
    "LocalSearch": "black_box",
    "OPERATIONS": "operations",
    "PC_DARTS": "genotype",
    "RegularizedEvolution": "black_box",
    "Reinforce": "black_box",
    "Search": "darts",
    "SmallSupernet": "small_supernet",
    "Supernet": "supernet",
    "Table": "small_table",
    "WITHOUT_WEIGHTS": "operations",
    "draw": "drawing",
    "search": "darts",
}

__all__ = [
    "DARTS_V1",
    "DARTS_V2",
    "OPERATIONS",
    "PC_DARTS",
    "WITHOUT_WEIGHTS",
    "Architect",
    "DerivedNet",
    "FastSupernet",
    "Genotype",
    "LocalSearch",
    "RegularizedEvolution",
    "Reinforce",
    "Search",
    "SmallSupernet",
    "Supernet",
    "Table",
    "draw",
    "search",
]

__getattr__, __dir__ = lazily(__name__, _MODULES)
