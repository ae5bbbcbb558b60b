"""Figures: contrast on both themes, no colour alone, labels, and the data that were given."""

import re
from itertools import chain
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import same_color, to_rgb

from mlcourse import plotting
from mlcourse.data import circles
from mlcourse.gradcheck import BANDS

CSS = Path(__file__).parents[2] / "book" / "_static" / "course.css"


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        mpl.use("agg")
        plotting.use_style()
        yield
        plt.close("all")


def circle_probabilities(X: torch.Tensor) -> torch.Tensor:
    outside = torch.sigmoid(20 * (X.norm(dim=1) - 0.75))
    return torch.stack([1 - outside, outside], dim=1)


def test_contrast_is_that_of_the_standard():
    assert plotting.contrast("#ffffff", "#000000") == pytest.approx(21)
    assert plotting.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert plotting.contrast("#ffffff", "#777777") == plotting.contrast("#777777", "#ffffff")


def brightened(colour: str) -> tuple[float, ...]:
    """What the style sheet makes of a colour on the dark page."""
    return tuple(min(1.0, part * plotting.BRIGHTER) for part in to_rgb(colour))


def test_text_and_colours_can_be_read_on_both_themes():
    assert plotting.contrast(plotting.INK, plotting.LIGHT) >= 4.5
    assert plotting.contrast(brightened(plotting.INK), plotting.DARK) >= 4.5
    for colour in plotting.COLOURS[:4]:
        assert plotting.contrast(colour, plotting.LIGHT) >= 3
        assert plotting.contrast(brightened(colour), plotting.DARK) >= 3


def test_the_style_sheet_brightens_figures_as_was_tested():
    for rule in re.findall(r"\{[^}]*\}", CSS.read_text()):
        if "filter:" in rule:
            assert f"filter: brightness({plotting.BRIGHTER});" in rule
            assert "background-color: transparent;" in rule
            break
    else:
        pytest.fail("course.css has no filter for figures")


def every_figure() -> dict[str, plt.Figure]:
    split = circles(60, 60)
    X, Y = split.X_train, split.Y_train
    history = {"train_loss": [0.7, 0.5], "val_loss": [0.7, 0.6], "val_accuracy": [0.5, 0.8]}
    matrix = torch.diag(torch.tensor([1.0, 8.0]))
    made = {
        "decision_boundaries": plotting.decision_boundaries({"a": circle_probabilities}, X, Y),
        "curves": plotting.curves(history),
        "activations": plotting.activations(),
        "images": plotting.images(torch.rand(3, 64), ["0", "1", "2"]),
        "network": plotting.network().figure,
    }
    for name, draw in {
        "points": lambda ax: plotting.points(X, Y, ax),
        "decision_boundary": lambda ax: plotting.decision_boundary(circle_probabilities, X, Y, ax),
        "gradient_errors": lambda ax: plotting.gradient_errors({"Wh": 1e-9}, ax),
        "bars": lambda ax: plotting.bars({"a": 1.0, "b": 2.0}, "time (s)", ax=ax),
        "trajectories": lambda ax: plotting.trajectories(matrix, {"eta": torch.ones(3, 2)}, ax),
    }.items():
        fig, ax = plotting.figure()
        assert draw(ax) is ax
        made[name] = fig
    return made


def test_every_figure_is_transparent_and_its_text_is_grey():
    for name, fig in every_figure().items():
        fig.canvas.draw()
        assert np.asarray(fig.canvas.buffer_rgba())[0, 0, 3] == 0, name
        texts = [text for text in fig.findobj(mpl.text.Text) if text.get_text()]
        assert texts, name
        assert all(same_color(text.get_color(), plotting.INK) for text in texts), name


def test_every_axis_with_ticks_has_a_label():
    for name, fig in every_figure().items():
        for ax in fig.axes:
            if ax.axison:
                assert ax.get_xlabel(), name
                numbers = any(re.search(r"\d", text.get_text()) for text in ax.get_yticklabels())
                assert ax.get_ylabel() or not numbers, name


def test_classes_and_curves_differ_in_more_than_colour():
    X, Y = circles(60, 60)[:2]
    ax = plotting.points(X, Y)
    shapes = [drawn.get_paths()[0].vertices.tolist() for drawn in ax.collections]
    assert len(shapes) == 2
    assert shapes[0] != shapes[1]
    for lines in (plotting.activations().axes[0].lines, plotting.curves(
        {"train_loss": [1, 2], "val_loss": [2, 3]}
    ).axes[0].lines):  # fmt: skip
        looks = [(line.get_marker(), line._dash_pattern) for line in lines]
        assert len({marker for marker, _ in looks}) == len(looks)
        assert len({str(dashes) for _, dashes in looks}) == len(looks)


def test_the_first_places_of_every_list_of_looks_match():
    assert len(plotting.COLOURS) == len(plotting.MARKERS) == len(plotting.LINES)
    assert len(set(plotting.COLOURS)) == len(plotting.COLOURS)


def test_the_boundary_is_where_the_probabilities_are_equal():
    X, Y = circles(60, 60)[:2]
    ax = plotting.decision_boundary(circle_probabilities, X, Y, plotting.figure()[1])
    contours = [drawn for drawn in ax.collections if isinstance(drawn, mpl.contour.ContourSet)]
    radius = np.linalg.norm(np.concatenate([c.get_paths()[0].vertices for c in contours]), axis=1)
    np.testing.assert_allclose(radius, 0.75, atol=0.02)


def test_the_tint_has_the_colour_of_the_likelier_class():
    X, Y = circles(60, 60)[:2]
    ax = plotting.decision_boundary(circle_probabilities, X, Y, plotting.figure()[1])
    image = ax.images[0].get_array()
    assert same_color(image[75, 75, :3], plotting.COLOURS[0])
    assert same_color(image[0, 0, :3], plotting.COLOURS[1])
    assert image[75, 75, 3] > 0.35


@pytest.mark.filterwarnings("error")
def test_a_boundary_of_a_network_that_always_says_the_same_has_no_line():
    X, Y = circles(60, 60)[:2]
    ax = plotting.decision_boundary(
        lambda X: torch.tensor([[0.9, 0.1]]).expand(len(X), 2), X, Y, plotting.figure()[1]
    )
    assert not [drawn for drawn in ax.collections if isinstance(drawn, mpl.contour.ContourSet)]


def test_three_classes_get_their_boundaries():
    X = torch.rand(30, 2) * 2 - 1
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [0.0, 1.0]])

    def nearest(points):
        return torch.softmax(-5 * torch.cdist(points, corners), dim=1)

    Y = torch.nn.functional.one_hot(nearest(X).argmax(dim=1), 3)
    ax = plotting.decision_boundary(nearest, X, Y, plotting.figure()[1])
    contours = [drawn for drawn in ax.collections if isinstance(drawn, mpl.contour.ContourSet)]
    assert len(contours) == 3


def test_predictions_are_asked_for_in_the_points_dtype():
    X, Y = circles(60, 60, dtype=torch.float64)[:2]

    def predict(points):
        assert points.dtype == torch.float64
        return circle_probabilities(points)

    plotting.decision_boundary(predict, X, Y)


def test_small_multiples_have_a_title_each_and_one_legend():
    X, Y = circles(60, 60)[:2]
    predicts = {f"epoch {e}": circle_probabilities for e in (0, 1, 2, 5, 9)}
    fig = plotting.decision_boundaries(predicts, X, Y, columns=3)
    shown = [ax for ax in fig.axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == list(predicts)
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["class 0", "class 1"]
    assert all(ax.get_legend() is None for ax in shown)


def test_curves_show_each_column_from_epoch_1_in_one_look_a_data_set():
    history = {
        "train_loss": [0.7, 0.5, 0.4],
        "seconds": [1, 1, 1],
        "val_loss": [0.8, 0.6, 0.5],
        "val_accuracy": [0.5, 0.7, 0.9],
    }
    losses, accuracies = plotting.curves(history).axes
    drawn = {line.get_label(): line for line in chain(losses.lines, accuracies.lines)}
    assert list(drawn) == ["train loss", "val loss", "val accuracy"]
    assert drawn["val loss"].get_xydata().tolist() == [[1, 0.8], [2, 0.6], [3, 0.5]]
    assert drawn["val loss"].get_color() == drawn["val accuracy"].get_color()
    assert drawn["val loss"].get_color() != drawn["train loss"].get_color()
    assert (losses.get_ylabel(), accuracies.get_ylabel()) == (
        "loss (nats)",
        "accuracy (fraction)",
    )


def test_a_history_without_losses_or_accuracies_is_refused():
    with pytest.raises(ValueError, match="columns seconds:"):
        plotting.curves({"seconds": [1.0]})


def test_gradient_errors_lie_in_their_bands():
    errors = {"Wh": 3e-9, "bh": 3e-3, "zero": 0.0, "wrong": 2.0}
    ax = plotting.gradient_errors(errors)
    values = [float(line.get_xdata()[0]) for line in ax.lines]
    assert values == pytest.approx([3e-9, 3e-3, 1e-13, 2.0])
    assert [text.get_text() for text in ax.get_yticklabels()] == list(errors)
    spans = [patch.get_x() + patch.get_width() for patch in ax.patches]
    assert spans[:-1] == pytest.approx([top for top, _, _ in BANDS[:-1]])
    assert [text.get_text() for text in ax.texts] == [name for _, name, _ in BANDS]


def test_bars_say_their_numbers_and_ranges():
    ax = plotting.bars(
        {"by hand": 200.4, "autograd": 304.0},
        "time (µs)",
        {"by hand": (198, 207), "autograd": (300, 330)},
    )
    assert [patch.get_width() for patch in ax.patches] == [200.4, 304.0]
    assert [text.get_text() for text in ax.texts] == ["200", "304"]
    ends = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert np.allclose(ends, [[198, 207], [300, 330]])


@pytest.mark.parametrize("kind", [torch.linspace, np.linspace])
def test_a_line_has_about_eight_markers_whatever_it_is_given(kind):
    x = kind(0, 1, 80)
    _, ax = plt.subplots()
    plotting.line(ax, x, x**2, 0, "square")
    assert ax.lines[0].get_markevery() == 10
    plotting.line(ax, [0.0, 1.0], [0.0, 1.0], 1, "short")
    assert ax.lines[1].get_markevery() == 1


def test_trajectories_draw_the_paths_and_level_lines_of_the_quadratic():
    matrix = torch.tensor([[2.0, 0.5], [0.5, 6.0]])
    path = torch.tensor([[1.5, 1.0], [0.5, 0.2]])
    ax = plotting.trajectories(matrix, {"small": path, "large": -path})
    assert np.allclose(ax.lines[0].get_xydata(), path)
    level = ax.collections[0]
    for height, line in zip(level.levels[:3], level.get_paths()[:3], strict=True):
        w = torch.as_tensor(line.vertices)
        heights = ((w @ matrix.double()) * w).sum(dim=1) / 2
        assert np.allclose(heights, height, rtol=0.02)


def test_the_network_has_a_circle_a_unit_and_an_arrow_a_weight():
    ax = plotting.network((2, 4, 2))
    kinds = [type(patch).__name__ for patch in ax.patches]
    assert kinds.count("Circle") == 8
    assert kinds.count("FancyArrowPatch") == 2 * 4 + 4 * 2
    texts = [text.get_text() for text in ax.texts]
    assert "$h_{4}$" in texts
    assert any("n_h = 4" in text for text in texts)


def test_images_show_the_pixels_with_their_titles():
    X = torch.rand(3, 64, generator=torch.Generator().manual_seed(0))
    fig = plotting.images(X, ["7", "1", "3"], columns=2)
    assert [ax.get_title() for ax in fig.axes] == ["7", "1", "3", ""]
    assert np.allclose(fig.axes[1].images[0].get_array(), X[1].reshape(8, 8))


def test_images_in_colour_keep_their_colours():
    X = torch.randint(256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0)).byte()
    drawn = plotting.images(X, ["cat", "dog"], columns=2).axes[1].images[0].get_array()
    assert drawn.shape == (4, 5, 3)
    assert np.allclose(drawn, X[1].permute(1, 2, 0) / 255)


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4, 8, 8\): give"):
        plotting.images(torch.rand(2, 4, 8, 8), ["a", "b"])
