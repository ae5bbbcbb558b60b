"""Gradescope's results.json."""

import json

from mlcourse.grading import gradescope
from mlcourse.grading.results import Record


def test_results_have_gradescopes_form():
    records = [
        Record("elm", "by_hand", "forward", 3, 3, "passed", title="The forward pass", seconds=0.5),
        Record("elm", "by_hand", "backward", 0, 4, "failed", "Divide <b>by</b> N.", seconds=0.25),
        Record("elm", "by_hand", "why", None, 2, "manual", title="Why"),
    ]
    results = json.loads(json.dumps(gradescope.results(records)))
    assert results["score"] == 3
    assert results["execution_time"] == 0.75
    assert "Why" in results["output"]
    assert [entry["name"] for entry in results["tests"]] == ["The forward pass", "backward"]
    forward, backward = results["tests"]
    assert (forward["score"], forward["max_score"], forward["status"]) == (3, 3, "passed")
    assert (backward["score"], backward["max_score"], backward["status"]) == (0, 4, "failed")
    assert backward["output"] == "Divide <b>by</b> N."
    formats = {value for key, value in [*results.items(), *backward.items()] if "format" in key}
    assert formats == {"text"}


def test_points_that_a_person_gave_count():
    given = Record("elm", "by_hand", "why", 1.5, 2, "manual")
    results = gradescope.results([given])
    assert results["score"] == 1.5
    assert results["tests"][0]["score"] == 1.5
