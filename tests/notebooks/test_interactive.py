"""Interactive figures without a browser: their HTML, their text, their script and their picture."""

import base64
import io
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from mlcourse.book import babysitting_runs, interactive
from mlcourse.book.interactive import FIGURES, FOLDER, Control, game, script
from mlcourse.book.interactive_pictures import PICTURES, best_of, bowl, descend, noise, train

NAMES = sorted(FIGURES)


def test_an_unknown_figure_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"^there is no interactive figure 'nope': choose babysi"):
        interactive("nope")


@pytest.mark.parametrize("name", NAMES)
def test_markdown_and_plain_text_say_in_one_line_what_the_figure_shows(name: str) -> None:
    bundle = interactive(name)._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/markdown", "text/plain"}
    assert bundle["text/plain"] == bundle["text/markdown"] == repr(interactive(name))
    assert "\n" not in bundle["text/markdown"]
    assert FIGURES[name].shows in bundle["text/markdown"]
    assert FIGURES[name].first_settings() in bundle["text/markdown"]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_with_a_text_stands_before_the_one_script(name: str) -> None:
    made = interactive(name).html
    picture = re.search(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', made)
    assert picture is not None
    assert base64.b64decode(picture[1]) == (FOLDER / f"{name}.png").read_bytes()
    assert len(picture[2]) > 60
    assert picture.end() < made.index("<script>")
    assert made.count("<script") == made.count("</script>") == 1
    assert interactive(name).html == made


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_small_and_needs_nothing(name: str) -> None:
    code = script(name)
    assert code.startswith('(() => {\n"use strict";')
    assert code.endswith("})();")
    assert len(code.encode()) < 14_500
    assert not re.search(r"</script|\bimport\b|fetch\(|XMLHttpRequest|\bwindow\b|eval\(", code)
    assert set(re.findall(r"\w+://[^\"]+", code)) == {"http://www.w3.org/2000/svg"}  # a name
    assert not re.search(r"^ *//", code, re.MULTILINE)


def test_every_script_of_the_folder_is_part_of_a_figure() -> None:
    parts = {part for figure in FIGURES.values() for part in figure.parts}
    assert {path.stem for path in FOLDER.glob("*.js")} == parts
    assert {path.stem for path in FOLDER.glob("*.png")} == set(FIGURES) == set(PICTURES)


def test_a_slider_starts_on_one_of_its_steps() -> None:
    assert Control("lr", "rate", -3.0, 0.0, 0.01, -1.0, log=True).value == pytest.approx(0.1)
    assert Control("alpha", "momentum", 0.0, 1.0, 0.01, 0.7).value == 0.7
    for figure in FIGURES.values():
        for control in figure.controls:
            steps = (control.start - control.low) / control.step
            assert steps == pytest.approx(round(steps), abs=1e-9), control.name
            assert control.low <= control.start <= control.high, control.name


# --- The pictures ------------------------------------------------------------------------------


def _blocks(png: bytes) -> np.ndarray:
    """How much is drawn in each block of 10 by 10 pixels: another font hardly changes it."""
    drawn = np.asarray(Image.open(io.BytesIO(png)))[..., 3] / 255
    return drawn.reshape(drawn.shape[0] // 10, 10, drawn.shape[1] // 10, 10).mean(axis=(1, 3))


@pytest.mark.parametrize(
    ("name", "moved"), [*zip(NAMES, ("lr", "lr", "alpha", "drop"), strict=True)]
)
def test_a_picture_is_the_one_at_the_first_settings(name: str, moved: str) -> None:
    values = FIGURES[name].values()
    stored = _blocks((FOLDER / f"{name}.png").read_bytes())
    same = np.abs(stored - _blocks(PICTURES[name](values))).mean()
    other = np.abs(stored - _blocks(PICTURES[name](values | {moved: 1.2 * values[moved]}))).mean()
    assert same < other / 4, "draw it again: python -m mlcourse.book.interactive_pictures"
    assert plt.get_fignums() == []


def test_the_bowl_has_the_curvatures_one_and_kappa() -> None:
    assert np.linalg.eigvalsh(bowl(25.0)) == pytest.approx([1, 25])


def test_descent_multiplies_each_direction_by_its_factor() -> None:
    path = descend(bowl(5.0), lr=0.3, alpha=0.0, steps=7)
    values, vectors = np.linalg.eigh(bowl(5.0))
    assert path[7] @ vectors == pytest.approx((path[0] @ vectors) * (1 - 0.3 * values) ** 7)


def test_noise_has_mean_0_variance_1_and_no_memory() -> None:
    draws = noise(20_000)
    assert abs(draws.mean()) < 4 / np.sqrt(20_000)
    assert draws.var() == pytest.approx(1, abs=0.05)
    for lag in (1, 2, 10):
        assert abs((draws[lag:] * draws[:-lag]).mean()) < 4 / np.sqrt(20_000)
    assert (np.abs(draws) < 1).mean() == pytest.approx(0.683, abs=0.02)


def test_the_noisy_run_falls_to_the_floor_of_its_rate() -> None:
    rates, distances = train(lambda t: 0.1)
    assert rates.tolist() == [0.1] * 600
    assert distances[0] == 10
    curvatures = 10 ** (np.arange(10) / 9)
    shrink = (1 - 0.1 * curvatures) ** 2
    floor = np.sqrt((0.1**2 / (1 - shrink)).sum())  # v = shrink v + lr^2
    assert np.sqrt((distances[20:] ** 2).mean()) == pytest.approx(floor, rel=0.15)


# --- The game ----------------------------------------------------------------------------------


def test_a_slider_s_positions_are_its_values() -> None:
    lr, momentum = FIGURES["babysitting"].controls
    assert [lr.at(i) for i in (0, 4, 14)] == pytest.approx([1e-3, 1e-2, 10**0.5])
    assert [momentum.at(i) for i in (0, 5, 10, 11)] == [0.0, 0.45, 0.9, 0.99]
    assert (lr.positions, momentum.positions) == (15, 12)


def test_the_game_s_table_is_of_real_runs_and_worth_a_search() -> None:
    right = np.array(game()["right"])
    lr, momentum = FIGURES["babysitting"].controls
    assert right.shape == (lr.positions, momentum.positions, len(babysitting_runs.SEEDS))
    assert right.min() >= 0
    assert right.max() < game()["images"]
    mean = right.mean(axis=2)
    best = np.unravel_index(mean.argmax(), mean.shape)
    assert 0 < best[0] < lr.positions - 1
    assert 0 < best[1] < momentum.positions - 1
    # The smaller lr, the more momentum is best: the two work together.
    ridge = mean.argmax(axis=1)
    assert ridge[0] == ridge[4] == 11
    assert ridge[12] < ridge[10] < ridge[4]
    assert right.std(axis=2).mean() > 3  # seeds differ


def test_the_table_is_what_its_script_makes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two settings again: another machine's rounding changes a few answers and no more."""
    lr, momentum = FIGURES["babysitting"].controls
    rows, columns = [6, 9], [3, 10]
    again = babysitting_runs.train([lr.at(i) for i in rows], [momentum.at(j) for j in columns])
    stored = np.array(game()["right"])[np.ix_(rows, columns)]
    assert np.abs(np.array(again) - stored).max() <= 5
    monkeypatch.setattr(babysitting_runs, "train", lambda lrs, momenta: [lrs, momenta])
    babysitting_runs.write(tmp_path / "table.json")
    made = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    kept = json.loads((FOLDER / "babysitting.json").read_text(encoding="utf-8"))
    assert made.keys() == kept.keys()
    assert made["right"] == [
        [lr.at(i) for i in range(15)],
        [momentum.at(j) for j in range(12)],
    ]
    for name in made.keys() - {"right", "machine"}:
        assert made[name] == kept[name], name


def test_the_best_of_n_draws_has_the_quantiles_of_a_simulation() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 8))
    counts = np.array([1, 2, 5, 10])
    draws = rng.choice(values.ravel(), size=(20_000, 10))
    for share in (0.1, 0.5, 0.9):
        for n, quantile in zip(counts, best_of(values, counts, share), strict=True):
            best = draws[:, :n].max(axis=1)
            error = 5 * np.sqrt(share * (1 - share) / len(best))
            assert (best <= quantile).mean() > share - error
            assert (best < quantile).mean() < share + error
