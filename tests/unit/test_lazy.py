"""Names that a package loads when they are first asked for."""

import sys

import pytest


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "lazy_sample").mkdir()
    (tmp_path / "lazy_sample" / "__init__.py").write_text(
        "from mlcourse.lazy import lazily\n\n"
        '__getattr__, __dir__ = lazily(__name__, {"answer": "inside"})\n'
    )
    (tmp_path / "lazy_sample" / "inside.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    import lazy_sample

    yield lazy_sample
    for name in [name for name in sys.modules if name.startswith("lazy_sample")]:
        del sys.modules[name]


def test_a_name_loads_its_module_when_it_is_asked_for(package):
    assert "lazy_sample.inside" not in sys.modules
    assert package.answer == 42
    assert "lazy_sample.inside" in sys.modules


def test_names_are_listed_before_they_are_loaded(package):
    assert "answer" in dir(package)
    assert "lazy_sample.inside" not in sys.modules


def test_an_unknown_name_is_refused_with_the_package(package):
    with pytest.raises(AttributeError, match="module 'lazy_sample' has no attribute 'anser'"):
        _ = package.anser
