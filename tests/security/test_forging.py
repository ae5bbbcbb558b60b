"""Submissions that try to be judged right instead of being right."""

from __future__ import annotations

import pytest

WRONG = "def double(x):\n    return x"

PATCHED = {
    "torch comparisons": """
import torch
for name in ("allclose", "equal", "isclose", "eq", "all"):
    setattr(torch, name, lambda *a, **k: True)
torch.testing.assert_close = lambda *a, **k: None
torch.Tensor.__eq__ = torch.Tensor.equal = torch.Tensor.allclose = lambda *a, **k: True
""",
    "numpy comparisons": """
import numpy as np
np.allclose = np.array_equal = np.isclose = lambda *a, **k: True
np.testing.assert_allclose = lambda *a, **k: None
""",
    "builtins": """
import builtins
builtins.abs = lambda x: 0
builtins.max = builtins.sum = lambda *a, **k: 0
builtins.all = builtins.any = lambda *a: True
""",
    "the worker's own modules": """
import sys, torch
for name, module in list(sys.modules.items()):
    if name.startswith("mlcourse"):
        for key in list(vars(module)):
            if callable(vars(module)[key]) and "check" in key:
                setattr(module, key, lambda *a, **k: True)
""",
    "a checker of its own": """
import sys, types
fake = types.ModuleType("mlcourse.checks.judge")
fake.judge = lambda *a, **k: "passed"
sys.modules["mlcourse.checks.judge"] = sys.modules["mlcourse.checks"] = fake
""",
    "asserts, by an ast transformer": """
import ast
class Strip(ast.NodeTransformer):
    def visit_Assert(self, node):
        return None
get_ipython().ast_transformers.append(Strip())
""",
    "asserts, by an input transformer": """
get_ipython().input_transformers_cleanup.append(lambda lines: [])
get_ipython().input_transformer_manager = None
""",
    "the import hook": """
import sys
sys.meta_path.clear()
sys.path.insert(0, "/")
""",
}


@pytest.mark.parametrize("attack", PATCHED.values(), ids=PATCHED.keys())
def test_patching_does_not_make_a_wrong_answer_right(grade, attack):
    assert grade(attack, WRONG).status in ("failed", "error")


LIARS = {
    "an object equal to everything": """
class Liar:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __getattr__(self, name): return Liar()
    def __call__(self, *a, **k): return Liar()
    def __iter__(self): return iter(())
    def __float__(self): return 0.0
    def __bool__(self): return True
def double(x):
    return Liar()
""",
    "a tensor subclass": """
import torch
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return torch.tensor(True)
    def __eq__(self, other): return torch.tensor(True)
    def numpy(self): return 2 * X
def double(x):
    return x.as_subclass(Liar)
""",
    "an array subclass": """
import numpy as np
class Liar(np.ndarray):
    __array_priority__ = 1e9
    def __eq__(self, other): return True
    def __array_ufunc__(self, *a, **k): return np.True_
    def __array_function__(self, *a, **k): return True
def double(x):
    return x.numpy().view(Liar)
""",
    "a float subclass": """
class Liar(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
def double(x):
    return Liar(7)
""",
    "a class that claims to be a tensor": """
import torch
class Liar:
    @property
    def __class__(self): return torch.Tensor
    def __getattr__(self, name): return lambda *a, **k: self
def double(x):
    return Liar()
""",
    "a dict that changes": """
class Liar(dict):
    def __getitem__(self, key): return 0
    def items(self): return []
    def __len__(self): return 0
    def __eq__(self, other): return True
def double(x):
    return Liar(a=x)
""",
    "not a number": "def double(x):\n    return x * float('nan')",
    "an answer that is not a function": "double = 3",
}


@pytest.mark.parametrize("attack", LIARS.values(), ids=LIARS.keys())
def test_an_object_that_lies_is_judged_by_its_data(grade, attack):
    assert grade("X = None", attack).status in ("failed", "error")


def test_subclasses_with_the_right_data_are_right(grade):
    assert grade("import torch\ndef double(x):\n    return torch.nn.Parameter(2 * x)") == grade(
        "def double(x):\n    return 2 * x"
    )


FROM_FRAMES = """
import gc, sys
def double(x):
    frame, found = sys._getframe(), []
    while frame:
        for scope in (frame.f_locals, frame.f_globals):
            found += [v for k, v in scope.items() if k in ("expected", "reference", "question")]
        frame = frame.f_back
    found += [o for o in gc.get_objects() if type(o).__name__ in ("Question", "Exercise", "Judge")]
    if found:
        return found[0]
    raise LookupError("nothing of the checks in this process")
"""


def test_no_frame_and_no_object_holds_the_reference(grade):
    verdict = grade(FROM_FRAMES)
    assert verdict.status == "error"
    assert "nothing of the checks in this process" in verdict.message


MODULES = """
import sys, importlib
loaded = [m for m in sys.modules if m.startswith("mlcourse") and "worker" not in m]
refused = []
for name in ("checks", "checks.by_hand", "checks.judge", "grading.engine", "mlp", "cli"):
    try:
        importlib.import_module("mlcourse." + name)
    except ImportError:
        refused.append(name)
def double(x):
    raise LookupError(f"{sorted(loaded)} {len(refused)}")
"""


def test_only_the_allowed_course_modules_can_be_imported(grade, worker):
    verdict = grade(MODULES)
    assert "['mlcourse', 'mlcourse.data'] 6" in verdict.message
    with worker.session(["import mlcourse.mlp", "from mlcourse import checks"]) as session:
        assert session.imported_forbidden == ["mlcourse.mlp", "mlcourse.checks"]
        assert [kind for _, kind, _ in session.cell_errors] == ["ImportError"] * 2
