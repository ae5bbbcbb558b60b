"""What can come of a question; the notebook, the grader and its pages use the same words."""

from typing import Literal, get_args

Status = Literal[
    "passed",
    "failed",
    "not attempted",
    "error",
    "timeout",
    "memory",
    "forbidden",
    "ungraded",
    "manual",
]
STATUSES: tuple[Status, ...] = get_args(Status)
