"""The functions in C++ of the fast form: built when first needed, and done without otherwise.

The build takes about 20 seconds, once a machine: it stays in torch's cache of extensions, which is
$TORCH_EXTENSIONS_DIR or the user's cache. It needs a C++ compiler and ninja.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import torch
from torch import Tensor

_SOURCES = [Path(__file__).with_name(name) for name in ("fast_depthwise.cpp", "fast_products.cpp")]
_DTYPES = (torch.float32, torch.float64)
_allowed = True


def compiled(x: Tensor) -> Any:
    """Return the compiled functions if they can take tensors of x's kind, else None.

    Where they cannot be built, a line on stderr says once why.
    """
    return _build() if _allowed and x.dtype in _DTYPES and x.is_cpu else None


@contextmanager
def pytorch_only() -> Iterator[None]:
    """Do without the extension in this context, as where there is no compiler."""
    global _allowed
    before, _allowed = _allowed, False
    try:
        yield
    finally:
        _allowed = before


@cache
def _build() -> Any:
    # The module says when there is no CUDA, which is not used here.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    try:
        from torch.utils.cpp_extension import load

        flags, sources = ["-O3", "-march=native"], [str(path) for path in _SOURCES]
        load(f"mlcourse_nas_{_key()}", sources, extra_cflags=flags, is_python_module=False)
    except (OSError, RuntimeError, ImportError, SubprocessError) as error:
        reason = textwrap.shorten(str(error), 80)
        print(
            f"the C++ extension was not built ({reason}): using PyTorch alone, which is slower",
            file=sys.stderr,
        )
        return None
    return torch.ops.mlcourse_nas


def _key() -> str:
    """What a build is for: these sources, torch and processor, as a home may serve several."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    parts = [path.read_text(encoding="utf-8") for path in _SOURCES]
    parts += [torch.__version__, platform.machine(), features]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
