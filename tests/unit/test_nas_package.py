"""The package's names are there, and none is loaded before it is asked for."""

import subprocess
import sys
from importlib import import_module

import pytest

from mlcourse import nas


def test_every_name_can_be_had():
    assert set(nas.__all__) == set(nas._MODULES) <= set(dir(nas))
    for name, module in nas._MODULES.items():
        assert getattr(nas, name) is getattr(import_module(f"mlcourse.nas.{module}"), name)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'DART'"):
        _ = nas.DART


def test_the_import_alone_loads_no_torch():
    code = "import sys, mlcourse.nas; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
