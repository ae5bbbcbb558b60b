"""Submissions that take over the channel which carries their answers."""

from __future__ import annotations

import pytest

FIND = """
import os, struct, pickle, json, time
def channel():
    return next(fd for fd in range(3, 256) if is_open(fd))
def is_open(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False
def say(data):
    fd = channel()
    while data:
        data = data[os.write(fd, data):]
def frame(body):
    return struct.pack("<Q", len(body)) + body
def message(tree, table=(), buffers=b"", length=None):
    header = json.dumps([tree, list(table)]).encode()
    return frame(struct.pack("<I", len(header) if length is None else length) + header + buffers)
class Bomb:
    def __reduce__(self):
        return (os.system, ("touch /tmp/mlcourse-was-here",))
def tensor(shape, data):
    say(message(reply(["b", 0]), [[len(data), "T", "float32", shape, False]], data))
def reply(value):
    fields = [["kind", "value"], ["value", value], ["printed", ""], ["refused", ["l", []]],
              ["after", False]]
    return ["d", fields]
"""

GARBAGE = {
    "random bytes": "say(os.urandom(100_000))",
    "a pickle bomb": "say(frame(pickle.dumps(Bomb())))",
    "a pickle bomb in a header": "say(message(pickle.dumps(Bomb()).hex()))",
    "an endless length": "say(struct.pack('<Q', 2**63))",
    "a length without end": "say(struct.pack('<Q', 1000)); time.sleep(100)",
    "four gigabytes": "say(struct.pack('<Q', 2**32))\n    while True: say(b'x' * 100_000)",
    "a large reply": "say(struct.pack('<Q', 5_000_000))\n    while True: say(b'x' * 100_000)",
    "one byte at a time": (
        "say(struct.pack('<Q', 100_000))\n    while True: say(b'x'); time.sleep(0.05)"
    ),
    "no header": "say(frame(b''))",
    "a header that is too long": "say(message(reply(1), length=2**31))",
    "deep nesting": "say(frame(struct.pack('<I', 900_000) + b'[' * 900_000))",
    "nested lists": "say(message(reply(eval('[\"l\", [' * 90 + ']]' * 90))))\n    os._exit(0)",
    "a wrong shape": "tensor([2**60], b'1234')",
    "a negative shape": "tensor([-1, -1], b'1234')",
    "a huge empty shape": "tensor([0, 2**39, 2**39], b'')",
    "an object array": "say(message(reply(['b', 0]), [[8, 'A', 'object', [1]]], b'12345678'))",
    "a forged generator": "say(message(reply(['b', 0]), [[5056, 'g']], b'\\xff' * 5056))",
    "an unknown row": "say(message(reply(['b', 7])))",
    "a dictionary with a list as key": "say(message(['d', [[['l', []], 1]]]))",
    "a reply without fields": "say(message(['d', []]))",
    "fields of wrong types": (
        "say(message(['d', [['kind', 1], ['printed', 2], ['refused', 3], ['after', 4]]]))"
    ),
    "an unknown kind": (
        "say(message(['d', [['kind', 'full marks'], ['printed', ''], ['refused', ['l', []]], "
        "['after', False]]]))"
    ),
    "a closed channel": "os.close(channel())",
    "a closed channel and a long life": "os.close(channel()); time.sleep(100)",
    "every descriptor closed": "os.closerange(0, 256); time.sleep(100)",
    "the channel turned into a file": (
        "os.dup2(os.open('x', os.O_RDWR | os.O_CREAT), channel()); time.sleep(100)"
    ),
    "a thousand replies": "[say(message(reply(['l', [0]]))) for _ in range(1000)]",
    "the value of a handle that is not there": "say(message(reply(['h', 10**9, 'function'])))",
}


@pytest.mark.parametrize("attack", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_broken_reply_scores_nothing_and_harms_no_one(grade, attack):
    verdict = grade(FIND, f"def double(x):\n    {attack}\n    return x", seconds=1.5)
    assert verdict.status in ("error", "failed", "timeout")


def test_a_forged_reply_is_only_an_answer(grade):
    """Whoever writes the right numbers by hand has computed them: nothing is gained by it."""
    right = (
        "def double(x):\n    data = (2 * x).numpy().tobytes()\n"
        "    say(message(reply(['b', 0]), [[len(data), 'T', 'float32', [3], False]], data))\n"
        "    os._exit(0)"
    )
    assert grade(FIND, right).status != "passed"
    for claim in ("passed", "full marks", True):
        forged = f"def double(x):\n    say(message(reply({claim!r})))\n    os._exit(0)"
        assert grade(FIND, forged).status in ("error", "failed")


def test_replies_sent_ahead_do_not_shift_later_answers(grade, worker):
    ahead = "def double(x):\n    for _ in range(3): say(message(reply(['l', [0]])))\n    return x"
    assert grade(FIND, ahead).status in ("error", "failed")


def test_strings_cannot_break_files_or_pages(worker):
    nasty = "nasty = '\\ud800 \\x00 \\x1b[31m'\ndef fail():\n    raise ValueError('\\ud800\\nx')"
    from mlcourse.checks.judge import AnswerError

    with worker.session([nasty]) as session:
        session.get("nasty").encode("utf-8")
        with pytest.raises(AnswerError) as error:
            session.get("fail")()
        assert "\n" not in error.value.text
        error.value.text.encode("utf-8")


def test_the_control_socket_is_closed_in_a_child(worker):
    with worker.session([FIND, "found = [fd for fd in range(3, 256) if is_open(fd)]"]) as session:
        assert len(session.get("found")) == 1
