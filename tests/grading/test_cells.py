"""Cells that only IPython understands become Python that does the rest."""

from __future__ import annotations

import pytest

from mlcourse.grading.cells import namespace, python_of


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("x = 1", "x = 1"),
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("%%time\nx = 2", "pass\nx = 2"),
        ("%time x = 3", "x = 3"),
        ("%timeit -n 10 -r 3 f(2)", "f(2)"),
        ("for i in (1, 2):\n    !ls {i}\n    y = i", "for i in (1, 2):\n    pass\n    y = i"),
        ("files = !ls\nz = 1", "files = None\nz = 1"),
        ("torch.ones?\nz = 1", "pass\nz = 1"),
        ("!pip install torch\nimport torch", "pass\nimport torch"),
        ("%%bash\nrm -rf everything", ""),
        ("%%writefile a.py\nx = (", ""),
        ("text = '''\n%not a magic\n'''", "text = '''\n%not a magic\n'''"),
        ("rest = (7\n        % 4)", "rest = (7\n        % 4)"),
        ("def f(:", "def f(:"),
    ],
)
def test_magics(cell, python):
    assert python_of(cell) == python


def test_lines_keep_their_numbers():
    cell = "%load_ext x\n\n!ls\n1 / 0"
    assert python_of(cell).count("\n") == cell.count("\n")


def test_stand_ins_do_nothing():
    names = namespace()
    exec(
        "display(1, x=2)\nget_ipython().run_line_magic('matplotlib', 'inline')\n"
        "assert get_ipython() is get_ipython()\nassert __name__ == '__main__'",
        names,
    )
