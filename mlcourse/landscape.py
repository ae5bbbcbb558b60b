"""The landscape of a loss: surfaces and paths, Hessians and their spectra, critical points.

The names to use; the modules that they come from hold the methods.
"""

from mlcourse.critical_points import CriticalPoint, find_critical_point
from mlcourse.curvature import flat_loss, hessian, hessian_vector_product, load_flat
from mlcourse.spectra import Ritz, lanczos, spectrum, top_eigenvalue
from mlcourse.surfaces import (
    Surface,
    beale,
    cliff,
    himmelblau,
    monkey_saddle,
    plateau,
    quadratic,
    rosenbrock,
    saddle,
    trajectory,
)

__all__ = [
    "CriticalPoint",
    "Ritz",
    "Surface",
    "beale",
    "cliff",
    "find_critical_point",
    "flat_loss",
    "hessian",
    "hessian_vector_product",
    "himmelblau",
    "lanczos",
    "load_flat",
    "monkey_saddle",
    "plateau",
    "quadratic",
    "rosenbrock",
    "saddle",
    "spectrum",
    "top_eigenvalue",
    "trajectory",
]
