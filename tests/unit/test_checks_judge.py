"""Judging answers: statuses, mistakes by name, and answers that misbehave."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from mlcourse.checks import Forbidden, Mistake, Question
from mlcourse.checks.judge import AnswerError, ForbiddenUse, Judge, Stopped, judge, one_line


def mean_and_sum(x):
    return x.mean(0), {"sum": x.sum(0)}


def draw(generator):
    return [(torch.randn(n, 3, generator=generator, dtype=torch.float64),) for n in (1, 4, 5)]


QUESTION = Question(
    name="moments",
    title="Mean and sum",
    points=1,
    reference=mean_and_sum,
    cases=draw,
    parts=("mean", "sums"),
    mistakes=(
        Mistake("swapped", lambda x: (x.sum(0), {"sum": x.mean(0)}), "they are exchanged"),
        Mistake("sum_only", lambda x: (x.sum(0), {"sum": x.sum(0)}), "divide by N"),
        Mistake("raises", lambda x: x @ x, "you multiply x by itself"),
    ),
    forbidden=(Forbidden("mean", "no ready-made mean", traps=("torch.mean",)),),
)

VALUE = Question(
    name="layers",
    title="Layers",
    points=1,
    kind="value",
    reference="b",
    choices={"a": "one", "b": "two", "c": "three"},
    mistakes=(Mistake("one", "a", "the hidden layer counts too"),),
)


def status(answer, question=QUESTION):
    return judge(question, answer, [0, 1])


def test_the_reference_passes():
    assert status(mean_and_sum).status == "passed"


def test_a_mistake_is_named_with_its_sentence():
    verdict = status(lambda x: (x.sum(0), {"sum": x.sum(0)}))
    assert (verdict.status, verdict.mistake) == ("failed", "sum_only")
    assert verdict.message == "divide by N"


def test_a_mistake_in_one_part_only_is_named_too():
    verdict = status(lambda x: (x.mean(0), {"sum": x.mean(0)}))
    assert verdict.mistake == "swapped"


def test_the_mistake_that_explains_most_is_named():
    """Both first mistakes give a sum for the mean; only one of them is right elsewhere."""
    assert status(lambda x: (x.sum(0), {"sum": x.sum(0)})).mistake == "sum_only"
    assert status(lambda x: (x.sum(0), {"sum": x.mean(0)})).mistake == "swapped"


def test_of_two_mistakes_in_two_parts_the_first_is_named():
    verdict = status(lambda x: (x.sum(0), {"sum": x.sum(0) + 1}))
    assert verdict.mistake == "sum_only"
    verdict = status(lambda x: (x.sum(0) + 1, {"sum": x.mean(0)}))
    assert verdict.mistake == "swapped"


def test_a_mistake_that_only_some_cases_let_through_is_named():
    """Where x is square its square is a wrong value, of another shape than the right one."""
    verdict = status(lambda x: (x @ x, {}))
    assert (verdict.status, verdict.mistake) == ("error", "raises")


def test_an_exception_is_an_error_and_can_be_a_mistake():
    verdict = status(lambda x: torch.matmul(x, x))
    assert (verdict.status, verdict.mistake) == ("error", "raises")

    def fails(x):
        raise KeyError("W at 0x7f00deadbeef in /home/someone/thesis/file.py\nmore")

    verdict = status(fails)
    assert verdict.status == "error"
    assert verdict.mistake is None
    assert "KeyError" in verdict.message
    assert "0x" not in verdict.message
    assert "/home" not in verdict.message
    assert "\n" not in verdict.message


def test_what_no_mistake_explains_is_measured():
    verdict = status(lambda x: (-x.mean(0), {"sum": x.sum(0)}))
    assert verdict.message == "mean has the wrong sign everywhere"
    assert verdict.mistake is None


def test_not_attempted_is_not_wrong():
    def stub(x):
        raise NotImplementedError

    assert status(stub).status == "not attempted"
    assert status(...).status == "not attempted"
    assert status(..., VALUE).status == "not attempted"


def test_an_operation_that_torch_lacks_can_be_a_mistake():
    """torch raises NotImplementedError for a mean of bytes: that answer was attempted."""

    def mean_of_bytes(x):
        return x.byte().mean()

    mistake = Mistake("bytes", mean_of_bytes, "make it a float")
    judged = status(mean_of_bytes, replace(QUESTION, mistakes=(mistake,)))
    assert (judged.status, judged.message) == ("error", "make it a float")


def test_changing_an_argument_is_seen():
    def in_place(x):
        result = mean_and_sum(x.clone())
        x += 1
        return result

    verdict = status(in_place)
    assert verdict.status == "failed"
    assert "caller's x" in verdict.message


def test_a_choice_is_a_letter_in_either_case():
    assert status(" B ", VALUE).status == "passed"
    assert status("a", VALUE).message == "the hidden layer counts too"
    assert "letters a, b, c" in status("two", VALUE).message
    assert "letters a, b, c" in status(2, VALUE).message
    assert "b" not in status("c", VALUE).message.removeprefix("layers").split(":")[0]


def test_what_stops_an_answer_becomes_its_status():
    def stops(x):
        raise Stopped("timeout", "stopped after 10 s")

    def trips(x):
        raise ForbiddenUse("torch.mean")

    def remote(x):
        raise AnswerError("ValueError", "no")

    assert status(stops).status == "timeout"
    assert status(stops).message == "stopped after 10 s"
    assert status(trips).status == "forbidden"
    assert status(trips).message == "no ready-made mean"
    assert status(remote).message == "moments raised ValueError: no"


class EqualToAll:
    def __eq__(self, other):
        return True

    def __getattr__(self, name):
        return self

    def __call__(self, *args):
        return self

    def __iter__(self):
        return iter([self, self])

    __hash__ = None


class BadText(Exception):
    def __str__(self):
        raise RuntimeError


class BadMeta(type):
    @property
    def __name__(cls):
        raise RuntimeError


class Nameless(metaclass=BadMeta):
    pass


def recursion(x):
    return recursion(x)


def raises_bad_text(x):
    raise BadText


def leaves_python(x):
    sys.exit(0)


def endless(x):
    while True:
        yield x


@pytest.mark.parametrize(
    "answer",
    [
        None,
        3,
        "text",
        EqualToAll(),
        Nameless(),
        recursion,
        raises_bad_text,
        leaves_python,
        endless,
        lambda: None,
        lambda x: None,
        lambda x: EqualToAll(),
        lambda x: (EqualToAll(), {"sum": EqualToAll()}),
        lambda x: Nameless(),
        lambda x: x,
        lambda x: (x, x, x),
        lambda x: {"sum": {}},
        lambda x: (x.mean(0), {}),
        lambda x: (x.mean(0), []),
        lambda x: (x.mean(0), {"sum": ()}),
        lambda x: (x.mean(0).to_sparse(), {"sum": x.sum(0)}),
        lambda x: (x.mean(0) + 0j, {"sum": x.sum(0)}),
        lambda x: x.clear(),
        lambda x: {x: 1},
    ],
)
def test_an_odd_answer_gets_a_verdict_and_no_marks(answer):
    verdict = status(answer)
    assert verdict.status in ("failed", "error")
    assert verdict.message
    assert "\n" not in verdict.message


def test_inputs_are_fresh_for_every_answer():
    judged = Judge(QUESTION, [3])

    def spoils(x):
        x.zero_()
        return mean_and_sum(x)

    assert judged(spoils).status == "failed"
    assert judged(mean_and_sum).status == "passed"


def test_full_marks_never_come_from_the_absence_of_cases():
    empty = Question(name="q", title="", points=1, reference=len, cases=lambda generator: [])
    with pytest.raises(ValueError, match="draws no case"):
        judge(empty, len, [0])


def test_a_failing_reference_is_the_authors_error():
    broken = Question(name="q", title="", points=1, reference=lambda: 1 / 0)
    with pytest.raises(ValueError, match="reference of 'q' fails"):
        judge(broken, len, [0])


def test_free_text_is_for_a_person():
    text = Question(name="q", title="", points=1, kind="text")
    assert judge(text, "anything", [0]).status == "manual"


def test_one_line_keeps_arithmetic_and_drops_paths():
    assert one_line("shapes 3/4 and 1/N") == "shapes 3/4 and 1/N"
    assert one_line("no /usr/lib/python3/x.py here") == "no x.py here"
    assert len(one_line("a" * 1000)) == 200
