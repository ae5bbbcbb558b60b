"""A journal says which search it is, holds exactly what happened, and belongs to one writer."""

import json
import math
import re

import numpy as np
import pytest

from mlcourse.hpo.history import Outcome
from mlcourse.hpo.journal import Journal, describe
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.random import Random

SPACE = {"x": (0.0, 1.0), "n": (1, 4), "clip": [1, 1.0, math.inf, None, True]}


class Stepwise(Random):
    """A method with arguments."""

    def __init__(self, space, step=0.1, decay=(1, 2), seed=0):
        super().__init__(space, seed)
        self.step, self.decay = step, decay


class Forgetful(Random):
    """A method that does not keep its argument."""

    def __init__(self, space, step=0.1, seed=0):
        super().__init__(space, seed)


def trials(count: int, method: Method | None = None) -> list[Trial]:
    method = method or Random(SPACE)
    return [method.ask() for _ in range(count)]


def write(path, method=None, events=()):
    with Journal(path, method or Random(SPACE)) as journal:
        for trial, outcome in events:
            if outcome is None:
                journal.asked(trial)
            else:
                journal.told(trial, outcome)


def read(path, method=None):
    with Journal(path, method or Random(SPACE)) as journal:
        return journal.events


def example() -> list[tuple[Trial, Outcome | None]]:
    first, second, third = trials(3)
    third = Trial(2, third.config, 40 / 3, 0, {"v": [0.1, -math.inf], "deep": {"best": math.nan}})
    return [
        (first, None),
        (second, None),
        (second, Outcome(math.inf, 0.25, 'KeyError: "é\n"')),
        (third, None),
        (first, Outcome(0.1 + 0.2, math.nan)),
        (third, Outcome(-math.inf, 1e-300)),
    ]


def test_what_was_written_is_read_again_in_its_order_and_to_the_last_bit(tmp_path):
    write(tmp_path / "j", events=example())
    assert repr(read(tmp_path / "j")) == repr(example())


def test_it_can_be_written_on_and_on(tmp_path):
    for event in example():
        write(tmp_path / "j", events=[event])
    assert repr(read(tmp_path / "j")) == repr(example())


def test_types_survive(tmp_path):
    cells = [1, 1.0, True, None, "1", math.inf]
    pairs = [(Trial(i, {"x": 0.5, "n": 1, "clip": cell}), None) for i, cell in enumerate(cells)]
    write(tmp_path / "j", events=pairs)
    found = [trial.config["clip"] for trial, _ in read(tmp_path / "j")]
    assert [(type(cell), cell) for cell in found] == [(type(cell), cell) for cell in cells]


def test_numbers_of_numpy_are_numbers(tmp_path):
    note = {"a": np.float64(0.1), "b": np.int64(3), "c": np.float32(0.5), "d": np.bool_(True)}
    write(tmp_path / "j", events=[(Trial(0, {"x": 0.5, "n": 1, "clip": 1}, note=note), None)])
    (trial, _), *_ = read(tmp_path / "j")
    assert trial.note == {"a": 0.1, "b": 3, "c": 0.5, "d": True}
    assert type(trial.note["b"]) is int


def test_what_json_cannot_hold_is_refused_and_nothing_is_written(tmp_path):
    trial = Trial(0, {"x": 0.5, "n": 1, "clip": 1}, note={"array": np.zeros(2)})
    with pytest.raises(
        ValueError, match=r"^a journal cannot hold array\(\[0., 0.\]\): use numbers"
    ):
        write(tmp_path / "j", events=[(trial, None)])
    assert read(tmp_path / "j") == []


def test_every_line_is_strict_json(tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    write(tmp_path / "j", events=example())
    text = (tmp_path / "j").read_bytes()
    assert text.isascii()
    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert lines[0]["method"] == "mlcourse.hpo.random.Random"
    assert lines[0]["seed"] == 0
    assert lines[0]["space"]["n"] == {"low": 1, "high": 4, "log": False}
    kinds = ["asked", "asked", "told", "asked", "told", "told"]
    assert [next(iter(line)) for line in lines[1:]] == kinds


def test_each_line_is_on_the_disk_at_once(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append((tmp_path / "j").read_bytes()))
    write(tmp_path / "j", events=example())
    text = (tmp_path / "j").read_bytes()
    ends = [match.end() for match in re.finditer(b"\n", text)]
    assert synced == [text[:end] for end in ends]


def test_half_a_line_is_dropped_wherever_it_was_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda file: None)
    path = tmp_path / "j"
    write(path, events=example())
    text = path.read_bytes()
    for cut in range(0, len(text), 7):
        path.write_bytes(text[:cut])
        whole = max(text.count(b"\n", 0, cut) - 1, 0)
        assert repr(read(path)) == repr(example()[:whole])
        write(path, events=example()[whole:])
        assert path.read_bytes() == text


def test_after_clear_the_search_has_not_begun(tmp_path):
    write(tmp_path / "new")
    with Journal(tmp_path / "j", Random(SPACE)) as journal:
        for trial in trials(2):
            journal.asked(trial)
        journal.clear()
    assert (tmp_path / "j").read_bytes() == (tmp_path / "new").read_bytes()


@pytest.mark.parametrize("text", [b"", b"{", b'{"journal"', b'{"journal": 1, "met'])
def test_a_journal_that_ends_in_its_first_line_is_new(tmp_path, text):
    (tmp_path / "j").write_bytes(text)
    assert read(tmp_path / "j") == []


@pytest.mark.parametrize("text", [b"my notes", b"my notes\n", b"{}\n", b"\n", b"\x00\xff"])
def test_another_file_is_refused_and_left_as_it_is(tmp_path, text):
    (tmp_path / "j").write_bytes(text)
    with pytest.raises(ValueError, match=r"/j is no journal of a search: give another path$"):
        read(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == text


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"\x00\x00",
        b'{"told": 7, "value": 1.0, "seconds": 1.0, "error": null}',
        b'{"told": 0, "value": "high", "seconds": 1.0, "error": null}',
        b'{"told": 0, "value": 1.0}',
        b'{"asked": {"number": 5}}',
        b'{"asked": {"number": 5, "config": {}, "colour": 3}}',
        b'{"asked": 3}',
        b"{}",
    ],
)
def test_a_damaged_line_is_named(tmp_path, line):
    write(tmp_path / "j", events=example())
    lines = (tmp_path / "j").read_bytes().splitlines()
    lines[3] = line
    text = b"\n".join(lines) + b"\n"
    (tmp_path / "j").write_bytes(text)
    with pytest.raises(ValueError, match=r"^line 4 of the journal .*/j is damaged: give another"):
        read(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == text


@pytest.mark.parametrize(
    ("method", "difference"),
    [
        (Random(SPACE), "the method .*Stepwise. and not .*Random."),
        (Stepwise(SPACE, seed=2), "the seed 1 and not 2"),
        (Stepwise(SPACE, step=0.2, seed=1), "the argument step 0.1 and not 0.2"),
        (
            Stepwise(SPACE, decay=(1, 2.0), seed=1),
            r"the argument decay \[1, 2\] and not \[1, 2.0\]",
        ),
        (
            Stepwise({"x": (0.0, 1.0)}, seed=1),
            'the parameter n {"low": 1, "high": 4, .*} and not miss',
        ),
        (Stepwise(SPACE | {"new": [1]}, seed=1), "the parameter new missing and not {.*}"),
        (
            Stepwise(SPACE | {"x": (0.0, 2.0)}, seed=1),
            'the parameter x .*1.0,.* and not {.*"high": 2.0',
        ),
        (
            Stepwise(dict(reversed(SPACE.items())), seed=1),
            "its parameters in the order x, n, clip and not clip, n, x",
        ),
        (
            Stepwise(SPACE | {"clip": [1, 1.0, math.inf, None, False]}, seed=1),
            "the parameter clip .*true.* and not .*false",
        ),
    ],
)
def test_a_journal_of_another_search_is_refused(tmp_path, method, difference):
    write(tmp_path / "j", Stepwise(SPACE, seed=1))
    text = (tmp_path / "j").read_bytes()
    sentence = f"^the journal .*/j is that of another search, with {difference}.*: give another"
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path / "j", method)
    assert (tmp_path / "j").read_bytes() == text


def test_a_newer_version_of_the_course_may_go_on_and_a_newer_format_not(tmp_path):
    write(tmp_path / "j")
    header = json.loads((tmp_path / "j").read_text())
    (tmp_path / "j").write_text(json.dumps(header | {"version": "99"}) + "\n")
    assert read(tmp_path / "j") == []
    (tmp_path / "j").write_text(json.dumps(header | {"journal": 99}) + "\n")
    with pytest.raises(ValueError, match="with the format 99 and not 1"):
        read(tmp_path / "j")


def test_two_searches_cannot_write_one_journal(tmp_path):
    with (
        Journal(tmp_path / "j", Random(SPACE)),
        pytest.raises(
            ValueError, match=r"^another search is writing the journal .*/j: wait for it"
        ),
    ):
        read(tmp_path / "j")
    assert read(tmp_path / "j") == []


def test_a_refused_journal_is_not_kept_locked(tmp_path):
    write(tmp_path / "j", Random(SPACE, seed=1))
    with pytest.raises(ValueError, match="seed"):
        read(tmp_path / "j", Random(SPACE))
    assert read(tmp_path / "j", Random(SPACE, seed=1)) == []


def test_a_method_must_keep_its_arguments():
    described = describe(Stepwise(SPACE, step=math.inf))
    assert described["arguments"] == {"step": {"$float": "inf"}, "decay": [1, 2]}
    with pytest.raises(ValueError, match=r"^Forgetful does not keep its argument step: a journal"):
        describe(Forgetful(SPACE))
