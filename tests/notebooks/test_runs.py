"""What runs chapters again and records it: time, machine, result; on a GPU only where one is."""

import json
from pathlib import Path

import pytest
import torch

from mlcourse.book import gpu, runs, twins

CHAPTER = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A small chapter

```{code-cell} ipython3
# NBVAL_CHECK_OUTPUT
1 + 1
```

```{code-cell} ipython3
2 + 2
```
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of one small chapter, its twin made."""
    path = tmp_path / "1_part" / "1_small.md"
    path.parent.mkdir()
    path.write_text(CHAPTER, encoding="utf-8")
    assert twins.main([str(path)]) == 0
    monkeypatch.setattr(runs, "BOOK", tmp_path)
    monkeypatch.setattr(runs, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(runs, "chapters", lambda: [path])
    return tmp_path


def test_a_run_is_recorded(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.record("sample", "make sample", runs.machine()) == 0
    record = json.loads((book / "results" / "sample.json").read_text(encoding="utf-8"))
    assert set(record) == {"date", "command", "machine", "chapters"}
    [chapter] = record["chapters"]
    assert chapter.pop("seconds") > 0
    assert chapter == {
        "chapter": "1_part/1_small",
        "title": "A small chapter",
        "cells": 2,
        "compared": 1,
        "result": "passed",
    }
    assert "results/sample.json" in capsys.readouterr().out


@pytest.mark.parametrize(("source", "code"), [("1 + 1", 1), ("2 + 2", 0)])
def test_only_marked_outputs_are_compared(book: Path, source: str, code: int) -> None:
    twin = book / "1_part" / "1_small.ipynb"
    changed = twin.read_text(encoding="utf-8").replace(source, source + " + 1")
    twin.write_text(changed, encoding="utf-8")
    assert runs.record("sample", "make sample", {}) == code
    record = json.loads((book / "results" / "sample.json").read_text(encoding="utf-8"))
    assert record["chapters"][0]["result"] == ("failed" if code else "passed")


def test_without_a_gpu_one_sentence_and_no_record(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (book / "results").exists()
