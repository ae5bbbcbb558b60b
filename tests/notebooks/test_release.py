"""What `mlcourse release` makes of a solution file, and what it refuses."""

import json

import nbformat
import pytest

from mlcourse import exercises
from mlcourse.checks import Exercise, Question
from mlcourse.release import Refused, as_text, notebooks

EXERCISE = Exercise(
    name="small",
    title="Small",
    questions=(
        Question(name="n_h", title="Units", points=1, kind="value", reference=4),
        Question(
            name="best",
            title="Best",
            points=1,
            kind="value",
            reference="a",
            choices={"a": "this", "b": "that"},
        ),
        Question(name="norm", title="Norm", points=2, reference=abs),
        Question(name="why", title="Why", points=3, kind="text"),
    ),
)

SOLUTION = '''\
# %% [markdown]
# # Small
# A title.

# %% [markdown]
# How many?

# %% question="n_h"
### BEGIN SOLUTION
n_h = 4
### END SOLUTION

# %% [markdown]
# Which one?

# %% question="best"
### BEGIN SOLUTION
best = "a"
### END SOLUTION

# %% question="norm"
import math


def norm(x):
    """Return the length of x."""
    ### BEGIN SOLUTION
    squares = [v * v for v in x]
    total = sum(squares)
    length = math.sqrt(total)
    return length
    ### END SOLUTION


# %% [markdown] question="why"
# Say why.
#
# <!-- ### BEGIN SOLUTION -->
# Because it is so.
# <!-- ### END SOLUTION -->

# %%
print("the end")
'''


def made(text=SOLUTION):
    return notebooks(text, EXERCISE)


def cell(notebook, grade_id):
    marked = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id")]
    return next(c for c in marked if c.metadata.nbgrader.grade_id == grade_id)


def test_students_get_stubs_and_the_source_keeps_the_solutions():
    source, released = made()
    assert cell(released, "n_h").source == "n_h = ..."
    assert cell(released, "best").source == "best = ..."
    assert cell(released, "norm").source.endswith(
        '"""Return the length of x."""\n    raise NotImplementedError()  # your code here'
    )
    assert cell(released, "why").source == "Say why.\n\n*Write your answer here.*"
    assert "math.sqrt(total)" in cell(source, "norm").source
    assert "Because it is so." in cell(source, "why").source
    for word in ("SOLUTION", "squares", "sqrt", "Because", '"a"'):
        assert word not in as_text(released).replace('\\"', '"')


def test_check_cells_come_from_the_declaration():
    _, released = made()
    check = cell(released, "norm_check")
    assert check.source == 'check("small.norm", norm)  # 2 points'
    mark = check.metadata.nbgrader
    assert (mark.grade, mark.solution, mark.locked, mark.points) == (True, False, True, 2)
    assert (check.metadata.deletable, check.metadata.editable) == (False, False)
    answer = cell(released, "norm").metadata.nbgrader
    assert (answer.grade, answer.solution, answer.locked) == (False, True, False)
    free = cell(released, "why").metadata.nbgrader
    assert (free.grade, free.solution, free.points) == (True, True, 3)
    text = [c.source for c in released.cells]
    assert text.index("Which one?\n\n- **a**: this\n- **b**: that") == text.index("best = ...") - 1
    assert sum("check(" in c.source for c in released.cells if c.metadata.get("nbgrader")) == 3


def test_set_up_is_the_second_cell_and_pip_runs_on_colab_only():
    _, released = made()
    setup = released.cells[1].source
    assert "from mlcourse import check, hint" in setup
    assert '\nif "google.colab" in sys.modules:\n    %pip install' in setup
    assert released.cells[0].source.startswith("# Small")


def test_the_file_is_the_same_each_time_and_valid():
    first, second = (as_text(made()[1]) for _ in range(2))
    assert first == second
    notebook = nbformat.reads(first, as_version=4)
    nbformat.validate(notebook)
    assert len({c.id for c in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    assert all(not c.get("outputs") for c in notebook.cells)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("### BEGIN SOLUTION\nn_h", "### BEGIN SOLUTON\nn_h", "marker '### BEGIN SOLUTON'"),
        ("### BEGIN SOLUTION\nn_h", "## BEGIN SOLUTION\nn_h", "marker '## BEGIN SOLUTION'"),
        ("### BEGIN SOLUTION\nn_h", "### begin solution\nn_h", "marker '### begin solution'"),
        ("### BEGIN SOLUTION\nn_h", "n_h", "in pairs"),
        ("    return length\n    ### END SOLUTION", "    return length", "in pairs"),
        (
            "    return length\n    ### END SOLUTION",
            "    ### END SOLUTION\n    return length",
            "would show students 'return length'",
        ),
        ("    squares =", "    pass\n    ### END SOLUTION\n    squares =", "in pairs"),
        ("n_h = 4", "", "nothing between"),
        ("n_h = 4\n### END SOLUTION", "n_h = 4\n### END SOLUTION\nn_h = 4", "show students"),
        ('question="n_h"', 'question="n_y"', "does not declare: did you mean 'n_h'"),
        ('question="n_h"', 'qestion="n_h"', "has 'qestion'"),
        ('question="n_h"', "", "a solution but no question"),
        ('question="best"', 'question="n_h"', "two cells answer 'n_h'"),
        ("# %% [markdown]\n# Which one?\n", "", "put the question's text in a cell before it"),
        (
            '# %% question="n_h"\n### BEGIN SOLUTION\nn_h = 4\n### END SOLUTION',
            "",
            "no cell answers",
        ),
        (
            "# %% [markdown]\n# # Small",
            "# %%\n\n# %% [markdown]\n# # Small",
            "first cell is no text",
        ),
        ("def norm(x)", "def length(x)", "no function 'norm'"),
        ('[markdown] question="why"', 'question="why"', "marker '# <!-- ### BEGIN SOLUTION -->'"),
        (
            '# %% question="n_h"\n### BEGIN SOLUTION\nn_h = 4\n### END SOLUTION',
            '# %% [markdown] question="n_h"\n# Four.',
            "'n_h' needs code",
        ),
        (
            'print("the end")',
            "squares = [v * v for  v in x]  # a comment\n\ntotal = sum(squares)\n"
            "    length = math.sqrt(total)",
            "the solution of 'norm' stands in another cell",
        ),
    ],
)
def test_a_slip_that_would_show_a_solution_is_refused(old, new, sentence):
    assert SOLUTION.count(old) == 1
    with pytest.raises(Refused) as refusal:
        made(SOLUTION.replace(old, new))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_prose_about_solutions_is_not_a_marker():
    made(SOLUTION.replace("# A title.", "# At the end you compare your solution with ours."))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with one solution file, whose declaration is EXERCISE."""
    monkeypatch.setattr("mlcourse.checks.EXERCISES", ("small",))
    monkeypatch.setattr("mlcourse.checks.load", lambda name: EXERCISE)
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "small.py").write_text(SOLUTION)
    return tmp_path


def test_release_writes_then_agrees_with_itself(repository, capsys):
    assert exercises.release(root=repository) == 0
    written = repository / "exercises" / "small" / "small.ipynb"
    assert json.loads((repository / "source" / "small" / "small.ipynb").read_text())
    before = written.stat().st_mtime_ns
    assert exercises.release(root=repository) == 0
    assert written.stat().st_mtime_ns == before
    assert exercises.release(check=True, root=repository) == 0
    assert capsys.readouterr().err == ""


def test_release_check_only_compares_and_says_what_differs(repository, capsys):
    assert exercises.release(check=True, root=repository) == 1
    assert not (repository / "exercises").exists()
    exercises.release(root=repository)
    notebook = repository / "exercises" / "small" / "small.ipynb"
    edited = notebook.read_text().replace("How many?", "How much?")
    notebook.write_text(edited)
    capsys.readouterr()
    assert exercises.release(check=True, root=repository) == 1
    assert "exercises/small/small.ipynb differs" in capsys.readouterr().out
    assert notebook.read_text() == edited


def test_release_refuses_with_one_sentence(repository, capsys):
    solution = repository / "solutions" / "small.py"
    solution.write_text(SOLUTION.replace('# %% question="n_h"\n### BEGIN', "# %%\n### BEGIN"))
    assert exercises.release(root=repository) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert not (repository / "exercises").exists()


def test_an_exercise_without_its_solution_file_is_named(repository, capsys):
    exercises.release(root=repository)
    old = repository / "exercises" / "old" / "old.ipynb"
    old.parent.mkdir()
    old.write_text("{}")
    assert exercises.release(check=True, root=repository) == 1
    assert "exercises/old/old.ipynb" in capsys.readouterr().out
    assert exercises.release(root=repository) == 1
    assert old.exists()


def test_release_outside_the_repository_says_where_to_run_it(tmp_path, capsys):
    assert exercises.release(root=tmp_path) == 1
    assert "in the repository" in capsys.readouterr().err


def test_start_copies_and_never_overwrites(repository, monkeypatch):
    exercises.release(root=repository)
    monkeypatch.setattr(exercises, "folder", lambda: repository / "exercises")
    assert exercises.titles() == {"small": "Small"}
    copy = exercises.start("small", repository)
    original = repository / "exercises" / "small" / "small.ipynb"
    assert copy == repository / "small.ipynb"
    assert copy.read_bytes() == original.read_bytes()
    copy.write_text("my work")
    with pytest.raises(FileExistsError, match="left as it is"):
        exercises.start("small", repository)
    assert copy.read_text() == "my work"
    with pytest.raises(ValueError, match="no exercise 'smal'; there is 'small'"):
        exercises.start("smal", repository)
