"""Interactive figures in headless Chromium: their numbers, their keys, and the page around them.

The pages here are bare, as an output of JupyterLab or Colab is: no style sheet of the book.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from mlcourse import schedules
from mlcourse.book import interactive
from mlcourse.book.interactive import FIGURES, START, game
from mlcourse.book.interactive_pictures import CURVATURES, DISTANCE, best_of, bowl, train

CHROMIUM = Path("/usr/bin/chromium")
THEMES = {"light": ("#ffffff", "#222222"), "dark": ("#121212", "#dddddd")}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with every figure, momentum twice; its colours follow `data-theme`."""
    style = "".join(
        f'[data-theme="{theme}"] body {{ background: {paper}; color: {ink} }}'
        for theme, (paper, ink) in THEMES.items()
    )
    figures = "".join(interactive(name).html for name in [*FIGURES, "momentum"])
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(
        '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">'
        "<title>Page</title>"
        f'<meta name="viewport" content="width=device-width"><style>{style}</style>'
        f"<body>{figures}</body></html>",
        encoding="utf-8",
    )
    return path.as_uri()


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, open; every request and complaint of all tests together fails the module."""
    seen: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("request", lambda request: seen.append(request.url[:100]))
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.goto(address)
    yield page
    page.close()
    assert [what for what in seen if not what.startswith("data:")] == [address]


def _figure(page: Page, name: str, copy: int = 0) -> Locator:
    return page.locator(f'.mlcourse-interactive[data-figure="{name}"]').nth(copy)


def _move(figure: Locator, **positions: float) -> None:
    for name, position in positions.items():
        slider = figure.locator(f'[data-control="{name}"]')
        slider.evaluate(
            "(input, v) => { input.value = v; input.dispatchEvent(new Event('input')); }", position
        )
        assert float(slider.input_value()) == pytest.approx(position), "not a step of the slider"


def _numbers(figure: Locator) -> dict[str, float]:
    pairs = figure.locator("data").evaluate_all(
        "all => all.map(e => [e.dataset.number, e.getAttribute('value')])"
    )
    return {name: float(value) for name, value in pairs}


def _words(figure: Locator) -> str:
    return figure.locator(".words").inner_text()


def _drawn(figure: Locator, panel: int, line: int) -> np.ndarray:
    """The points of a line, as shares of the plot's width and height, (0, 0) at the lower left."""
    area = figure.locator(".panel > svg > svg").nth(panel)
    d = str(area.locator("path").nth(line).get_attribute("d"))
    width, height = (float(str(area.get_attribute(side))) for side in ("width", "height"))
    points = np.array([[float(v) for v in p.split()] for p in d[1:].split("L")])
    return np.stack([points[:, 0] / width, 1 - points[:, 1] / height], axis=1)


def _same(found: float, expected: float) -> bool:
    return found == pytest.approx(expected, rel=1e-6, abs=1e-20)


def _descend(
    kappa: float, lr: float, alpha: float, nesterov: bool, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The path and the losses of momentum on the bowl, in the coordinates of the plot."""
    hessian, w, v = bowl(kappa), np.array(START), np.zeros(2)
    path = [w]
    for _ in range(steps):
        v = alpha * v - lr * hessian @ (w + alpha * v * nesterov)
        w = w + v
        path.append(w)
    losses = [float(w @ hessian @ w) / 2 for w in path]
    return np.array(path), np.array(losses)


# --- The learning rate -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log_lr", "log_kappa", "verdict"),
    [
        (-0.8, 1.0, "Oscillates"),
        (-2.5, 0.3, "Converges slowly"),
        (0.6, 2.0, "Diverges"),
        (-1.69, 2.0, "Diverges"),
        (-1.71, 2.0, "Oscillates"),
        (0.0, 0.0, "Converges, without"),
        (-0.05, 0.0, "Converges, without"),
    ],
)
def test_learning_rate_numbers(page: Page, log_lr: float, log_kappa: float, verdict: str) -> None:
    figure = _figure(page, "learning_rate")
    _move(figure, lr=log_lr, kappa=log_kappa)
    lr, kappa = 10**log_lr, 10**log_kappa
    values = np.linalg.eigvalsh(bowl(kappa))
    factors = np.abs(1 - lr * values)
    _, losses = _descend(kappa, lr, 0.0, False, 40)
    found = _numbers(figure)
    assert _same(found["curvature_steep"], values[1])
    assert found["factor_flat"] == pytest.approx(factors[0], rel=1e-6, abs=1e-12)
    assert found["factor_steep"] == pytest.approx(factors[1], rel=1e-6, abs=1e-12)
    assert _same(found["limit"], 2 / values.max())
    assert _same(found["best"], 2 / values.sum())
    best = np.abs(1 - found["best"] * values)
    assert best == pytest.approx([found["best_factor"]] * 2, rel=1e-6, abs=1e-12)
    assert _same(found["loss"], losses[-1])
    if "steps_for_ten" in found and 0 < factors.max() < 1:
        n = found["steps_for_ten"]
        assert factors.max() ** n <= 0.1 * (1 + 1e-9)
        assert n == 1 or factors.max() ** (n - 1) > 0.1
    assert _words(figure).replace("\n", " ").startswith(verdict)


def test_the_slower_direction_is_named(page: Page) -> None:
    figure = _figure(page, "learning_rate")
    for log_lr, slower in ((-0.9, "flat direction"), (-0.71, "steep direction")):
        _move(figure, lr=log_lr, kappa=1.0)
        found = _numbers(figure)
        assert (found["factor_flat"] > found["factor_steep"]) == (slower == "flat direction")
        assert f"The {slower} is the slower one" in _words(figure)


def test_path_and_loss_are_drawn_where_they_are(page: Page) -> None:
    figure = _figure(page, "learning_rate")
    _move(figure, lr=-0.9, kappa=0.8)
    path, losses = _descend(10**0.8, 10**-0.9, 0.0, False, 40)
    drawn = _drawn(figure, panel=0, line=0)
    assert drawn[:, 1] == pytest.approx((path[:, 1] + 2) / 4, abs=1e-4)
    scale = np.polyfit(path[:, 0], drawn[:, 0], 1)
    assert drawn[:, 0] == pytest.approx(np.polyval(scale, path[:, 0]), abs=1e-4)
    curve = _drawn(figure, panel=1, line=1)
    assert curve[:, 0] == pytest.approx(np.arange(41) / 40, abs=1e-4)
    assert curve[:, 1] == pytest.approx((np.log10(losses) + 9) / 14, abs=1e-4)
    circle = figure.locator(".panel > svg > svg").nth(0).locator("ellipse").nth(0)
    rx, ry = (float(str(circle.get_attribute(name))) for name in ("rx", "ry"))
    assert rx / ry == pytest.approx(np.sqrt(10**0.8))


def test_a_run_that_diverges_is_drawn_to_the_edge_and_no_further(page: Page) -> None:
    figure = _figure(page, "learning_rate")
    _move(figure, lr=0.6, kappa=2.0)
    drawn = _drawn(figure, panel=0, line=0)
    assert 2 <= len(drawn) < 10
    assert np.isfinite(drawn).all()
    assert _numbers(figure)["loss"] > 1e200
    assert "NaN" not in figure.inner_html()


# --- Momentum ----------------------------------------------------------------------------------


def _radius(curvature: float, lr: float, alpha: float, nesterov: bool) -> float:
    """The spectral radius of one step as a map of (w, v)."""
    pull = lr * curvature
    keep = alpha * (1 - pull) if nesterov else alpha
    return float(np.abs(np.linalg.eigvals([[1 - pull, keep], [-pull, keep]])).max())


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(
    ("log_lr", "alpha", "log_kappa"),
    [(-1.5, 0.7, 1.5), (-1.5, 0.0, 1.0), (-3.0, 0.2, 0.5), (-0.6, 0.5, 1.0), (-2.0, 0.99, 2.0)],
)
def test_momentum_numbers(
    page: Page, log_lr: float, alpha: float, log_kappa: float, nesterov: bool
) -> None:
    figure = _figure(page, "momentum")
    _move(figure, lr=log_lr, alpha=alpha, kappa=log_kappa)
    figure.get_by_role("checkbox", name="Nesterov").set_checked(nesterov)
    lr, kappa = 10**log_lr, 10**log_kappa
    radii = [_radius(curvature, lr, alpha, nesterov) for curvature in (1, kappa)]
    found = _numbers(figure)
    assert found["radius_flat"] == pytest.approx(radii[0], rel=1e-6)
    assert found["radius_steep"] == pytest.approx(radii[1], rel=1e-6)
    assert _same(found["effective"], lr / (1 - alpha))
    assert _same(found["loss"], _descend(kappa, lr, alpha, nesterov, 80)[1][-1])
    words = _words(figure)
    assert words.startswith("Converges" if max(radii) < 1 else "Diverges")
    assert ("Nesterov" in words) == nesterov
    # At the limit the radius is 1, and a little below it is less.
    at_limit = [_radius(kappa, found["limit"] * share, alpha, nesterov) for share in (1, 0.999)]
    assert at_limit[0] == pytest.approx(1, abs=1e-7)
    assert at_limit[1] < 1


@pytest.mark.parametrize("nesterov", [False, True])
def test_no_pair_is_better_than_the_best_pair(page: Page, nesterov: bool) -> None:
    figure = _figure(page, "momentum")
    _move(figure, kappa=1.2)
    figure.get_by_role("checkbox", name="Nesterov").set_checked(nesterov)
    found, kappa = _numbers(figure), 10**1.2

    def worst(lr: float, alpha: float) -> float:
        return max(_radius(curvature, lr, alpha, nesterov) for curvature in (1, kappa))

    lr, alpha = found["best_lr"], found["best_alpha"]
    # A double root: its eigenvalues are known to the root of the rounding error.
    assert worst(lr, alpha) == pytest.approx(found["best_radius"], abs=1e-6)
    others = [
        worst(lr * factor, other)
        for factor in np.geomspace(0.3, 3, 40)
        for other in np.linspace(0, 0.99, 100)
    ]
    assert min(others) > found["best_radius"] - 1e-6
    if not nesterov:
        assert _same(alpha, ((kappa**0.5 - 1) / (kappa**0.5 + 1)) ** 2)
        assert _same(lr, (2 / (1 + kappa**0.5)) ** 2)


def test_the_motion_of_each_direction_is_named(page: Page) -> None:
    figure = _figure(page, "momentum")
    figure.get_by_role("checkbox").set_checked(False)
    for log_lr, alpha, flat, steep in (
        (-3.0, 0.0, "slides", "slides"),
        (-0.8, 0.0, "slides", "changes side"),
        (-1.0, 0.8, "swings", "swings"),
        (0.3, 0.1, "changes side", "grows"),
    ):
        _move(figure, lr=log_lr, alpha=alpha, kappa=1.0)
        told = figure.locator("td:last-child").all_inner_texts()
        assert told[0].startswith(flat)
        assert told[1].startswith(steep)
        b = [1 + alpha - 10**log_lr * curvature for curvature in (1, 10)]
        assert [one**2 < 4 * alpha for one in b] == [flat == "swings", steep == "swings"]


# --- Schedules ---------------------------------------------------------------------------------

SCHEDULES: dict[str, tuple[dict[str, float], Callable[[dict[str, float]], Any]]] = {
    "constant": ({"lr0": -1.5}, lambda p: schedules.constant(p["lr0"])),
    "time-based": ({"k": 0.2}, lambda p: schedules.time_based(p["lr0"], p["k"])),
    "step": (
        {"lr0": -0.9, "drop": 0.5, "epochs_drop": 8},
        lambda p: schedules.step(p["lr0"], p["drop"], p["epochs_drop"]),
    ),
    "exponential": ({"k": -0.7}, lambda p: schedules.exponential(p["lr0"], p["k"])),
    "cosine": ({"lr_min": -3.5}, lambda p: schedules.cosine(p["lr0"], 60, p["lr_min"])),
    "warm-up + cosine": (
        {"lr0": -2.0, "warmup": 7},
        lambda p: schedules.warmup(
            p["warmup"], schedules.cosine(p["lr0"], 60 - p["warmup"], p["lr_min"])
        ),
    ),
    "one cycle": (
        {"pct_start": 0.4},
        lambda p: (
            lambda t: schedules.one_cycle(p["lr0"], 600, pct_start=p["pct_start"])(round(10 * t))
        ),
    ),
}


@pytest.fixture
def chosen(page: Page) -> Locator:
    """The figure of schedules, with every slider at its start."""
    figure = _figure(page, "schedules")
    _move(figure, **{control.name: control.start for control in FIGURES["schedules"].controls})
    return figure


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_numbers(chosen: Locator, name: str) -> None:
    moved, make = SCHEDULES[name]
    chosen.get_by_role("radio", name=name, exact=True).check()
    _move(chosen, **moved)
    values = {}
    for control in FIGURES["schedules"].controls:
        position = moved.get(control.name, control.start)
        values[control.name] = 10**position if control.log else position
    found = _numbers(chosen)
    for prefix, rate in (("", make(values)), ("constant_", schedules.constant(values["lr0"]))):
        rates, distances = train(rate)
        curvatures = np.array(CURVATURES)
        shrink = (1 - rates[-1] * curvatures) ** 2
        expected = {
            "lr": rates[-1],
            "left": np.prod(1 - rates),
            "last": np.sqrt((distances[-10:] ** 2).mean()),
            "floor": np.sqrt((rates[-1] ** 2 / (1 - shrink)).sum()),
        }
        for key, number in expected.items():
            assert found[prefix + key] == pytest.approx(number, rel=1e-6), key
        line = 0 if prefix else 1
        drawn = _drawn(chosen, panel=0, line=line)
        assert drawn[:, 0] == pytest.approx(np.arange(600) / 600, abs=1e-4)
        assert drawn[:, 1] * 1.1 * values["lr0"] == pytest.approx(rates, abs=1e-4 * values["lr0"])
        curve = _drawn(chosen, panel=1, line=line + 1)
        height = (np.log10(distances) + 2) / (np.log10(20) + 2)
        assert curve[:, 1] == pytest.approx(height, abs=1e-4)


def test_only_the_sliders_of_the_chosen_schedule_show(chosen: Locator) -> None:
    for name, uses in {
        "constant": ["lr0"],
        "time-based": ["lr0", "k"],
        "step": ["lr0", "drop", "epochs_drop"],
        "warm-up + cosine": ["lr0", "lr_min", "warmup"],
    }.items():
        chosen.get_by_role("radio", name=name, exact=True).check()
        shown = chosen.locator("input[type=range]:visible").evaluate_all(
            "all => all.map(e => e.dataset.control)"
        )
        assert shown == uses


def test_the_formula_has_the_numbers_put_in(chosen: Locator) -> None:
    for name, formula in {
        "time-based": "lr(t) = 0.1 / (1 + 0.1 t)",
        "step": "lr(t) = 0.1 · 0.3⌊t / 15⌋",
        "exponential": "lr(t) = 0.1 · exp(−0.1 t)",
        "cosine": "lr(t) = 1.0·10⁻⁴ + (0.1 − 1.0·10⁻⁴) (1 + cos(π t / 60)) / 2",
    }.items():
        chosen.get_by_role("radio", name=name, exact=True).check()
        assert _words(chosen).split("\n")[0] == formula


def test_a_rate_that_falls_too_soon_never_arrives(chosen: Locator) -> None:
    chosen.get_by_role("radio", name="exponential").check()
    _move(chosen, k=-1.0)
    assert "The start is forgotten" in _words(chosen)
    assert _numbers(chosen)["gain"] > 1
    _move(chosen, k=0.0)
    assert "The start is not forgotten" in _words(chosen)
    assert _numbers(chosen)["left"] * DISTANCE > 1
    assert _numbers(chosen)["gain"] < 1


# --- Babysitting -------------------------------------------------------------------------------


@pytest.fixture
def played(page: Page) -> Locator:
    """The game, with no training yet."""
    figure = _figure(page, "babysitting")
    figure.get_by_role("button", name="Start again").click()
    return figure


def _train(figure: Locator, lr: int, momentum: int) -> None:
    """Train at positions of the two sliders."""
    controls = FIGURES["babysitting"].controls
    low, step = zip(*((control.low, control.step) for control in controls), strict=True)
    _move(figure, lr=low[0] + lr * step[0], momentum=low[1] + momentum * step[1])
    figure.get_by_role("button", name="Train").click()


def _said(figure: Locator) -> str:
    return figure.locator('[aria-live="polite"]').inner_text()


def test_a_game_shows_the_runs_of_the_table(played: Locator) -> None:
    right = np.array(game()["right"])
    rng = np.random.default_rng(0)
    lr, momentum = FIGURES["babysitting"].controls
    plays = [(int(rng.integers(15)), int(rng.integers(9))) for _ in range(6)]
    plays += [(9, 10)] * 4  # the fourth training of a setting has the first one's seed
    found: list[int] = []
    assert "10 trainings are yours" in _said(played)
    for count, (i, j) in enumerate(plays, start=1):
        found.append(right[i, j, plays[: count - 1].count((i, j)) % 3])
        _train(played, i, j)
        numbers = _numbers(played)
        assert numbers["accuracy"] == pytest.approx(found[-1] / 3.6)
        assert numbers["best_so_far"] == pytest.approx(max(found) / 3.6)
        assert numbers["left"] == 10 - count
        assert ("ahead" in numbers) == (count == 10)
    assert found[-1] == right[9, 10, 0]
    assert [numbers[f"accuracy_{n}"] for n in range(1, 11)] == pytest.approx(np.array(found) / 3.6)
    for n in (1, 2, 5, 10):
        best = max(found[:n])
        assert numbers[f"best_{n}"] == pytest.approx(best / 3.6)
        assert numbers[f"ahead_{n}"] == pytest.approx(100 * (right < best).mean() ** n)
        assert numbers[f"median_{n}"] == pytest.approx(best_of(right, np.array([n]), 0.5)[0] / 3.6)
    i, j = plays[int(np.argmax(found))]
    assert numbers["mean"] == pytest.approx(right[i, j].mean() / 3.6)
    assert numbers["ahead"] == numbers["ahead_10"]
    best = np.maximum.accumulate(np.array(found)) / 3.6
    curve = _drawn(played, panel=1, line=2)  # after the band and the median
    assert curve[:, 0] == pytest.approx(np.arange(10) / 9, abs=1e-4)
    assert curve[:, 1] == pytest.approx((best - 70) / 30, abs=1e-4)
    band = _drawn(played, panel=1, line=0)
    edges = [best_of(right, np.arange(1, 11), share) / 3.6 for share in (0.1, 0.9)]
    heights = (np.concatenate([edges[0], edges[1][::-1]]) - 70) / 30
    assert band[:, 1] == pytest.approx(heights, abs=1e-4)
    area = played.locator(".panel > svg > svg").nth(0)
    assert area.locator("rect").count() == lr.positions * momentum.positions
    assert area.locator("circle").count() == 10


def test_the_landscape_and_the_verdict_wait_for_the_end(played: Locator) -> None:
    area = played.locator(".panel > svg > svg")
    for count in range(9):
        _train(played, count, count)
        assert area.nth(0).locator("rect").count() == 0
        assert area.nth(0).locator("circle").count() == count + 1
        assert area.nth(1).locator("path").count() == 1
        assert "random search" not in played.inner_text()
    _train(played, 9, 9)
    assert played.get_by_role("button", name="Train").is_disabled()
    assert "random search is behind you" in _said(played)


def test_a_game_is_played_with_keys_and_started_again(played: Locator, page: Page) -> None:
    _move(played, lr=-1.0, momentum=0.9)
    played.get_by_role("slider", name="momentum α").focus()
    page.keyboard.press("Enter")
    assert _numbers(played)["left"] == 9
    page.keyboard.press("ArrowLeft")
    assert played.locator("output").nth(1).inner_text() == "0.81"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert _numbers(played)["left"] == 7
    assert played.locator("tbody th").all_inner_texts() == ["1", "2", "3"]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "10 trainings are yours" in _said(played)
    assert played.locator("circle, tbody").count() == 0


def test_a_slider_alone_is_not_read_aloud(played: Locator) -> None:
    _train(played, 3, 3)
    said = played.locator('[aria-live="polite"] > p').element_handle()
    _move(played, lr=0.0)
    assert said.evaluate("p => p.isConnected")
    _train(played, 3, 4)
    assert not said.evaluate("p => p.isConnected")


# --- The page around ---------------------------------------------------------------------------


def test_keys_move_a_slider_and_the_numbers(page: Page) -> None:
    figure = _figure(page, "learning_rate")
    _move(figure, lr=-1.0, kappa=1.0)
    slider = figure.get_by_role("slider", name="learning rate lr")
    output = figure.locator("output").first
    assert output.inner_text() == slider.get_attribute("aria-valuetext") == "0.1"
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert output.inner_text() == slider.get_attribute("aria-valuetext") == "0.102"
    assert _numbers(figure)["factor_flat"] == pytest.approx(1 - 10**-0.99, rel=1e-6)
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    assert _numbers(figure)["limit"] == 2


def test_keys_choose_a_schedule(chosen: Locator, page: Page) -> None:
    radio = chosen.get_by_role("radio", name="step")
    radio.check()
    radio.focus()
    page.keyboard.press("ArrowRight")
    assert chosen.get_by_role("radio", name="exponential").is_checked()
    assert "exp(" in _words(chosen)


def test_every_control_and_plot_has_a_name(page: Page) -> None:
    for name, figure in FIGURES.items():
        live = _figure(page, name).locator(".live")
        for control in figure.controls:
            slider = live.locator(f'[data-control="{control.name}"]')
            assert slider.get_attribute("aria-label") == control.label
        assert live.locator('svg[role="img"][aria-label]').count() == 2
        assert live.locator('[aria-live="polite"]').count() == 1


def test_jupyterlab_leaves_the_keys_of_a_control_to_it(page: Page) -> None:
    inputs = page.locator(".mlcourse-interactive .live input")
    assert inputs.count() > len(FIGURES)
    assert page.locator(".live input:not([data-lm-suppress-shortcuts])").count() == 0


def test_two_figures_of_one_kind_do_not_disturb_each_other(page: Page) -> None:
    first, second = _figure(page, "momentum"), _figure(page, "momentum", copy=1)
    before = _words(second)
    for alpha in (0.1, 0.3):
        _move(first, alpha=alpha)
    assert _numbers(first)["effective"] != _numbers(second)["effective"]
    assert _words(second) == before
    assert page.locator(".mlcourse-interactive > .live").count() == len(FIGURES) + 1


def test_an_output_that_comes_later_is_live_too(browser: Browser) -> None:
    """JupyterLab inserts the HTML of an output, and then each script anew so that it runs."""
    page = browser.new_page()
    page.goto("about:blank")
    for copies in (1, 2):
        page.evaluate(
            """html => {
              const output = document.createElement("div");
              output.innerHTML = html;
              document.body.append(output);
              for (const old of output.querySelectorAll("script")) {
                const script = document.createElement("script");
                script.textContent = old.textContent;
                old.replaceWith(script);
              }
            }""",
            interactive("momentum").html,
        )
        assert page.locator(".mlcourse-interactive > .live").count() == copies
    page.close()


def test_the_figures_add_no_global_name(page: Page, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "bare.html").write_text("<!doctype html><title>Bare</title>", encoding="utf-8")
    bare = browser.new_page()
    bare.goto((tmp_path / "bare.html").as_uri())
    names = "Object.getOwnPropertyNames(window)"
    assert set(page.evaluate(names)) - set(bare.evaluate(names)) == set()
    bare.close()


def test_the_static_picture_stands_where_no_script_runs(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    for name in FIGURES:
        figure = _figure(page, name)
        assert figure.locator("img").is_visible()
        assert figure.get_by_text(FIGURES[name].first_settings()).is_visible()
        assert figure.locator("input, .live").count() == 0
    context.close()


def test_the_static_picture_stays_when_the_script_fails(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.add_init_script("document.createElementNS = () => { throw new Error('no SVG'); };")
    page.goto(address)
    assert page.locator(".static img:visible").count() == len(FIGURES) + 1
    assert page.locator(".live").count() == 0
    page.close()


def test_the_live_figure_takes_the_place_and_paper_gets_the_picture(page: Page) -> None:
    for media, static in (("screen", False), ("print", True), ("screen", False)):
        page.emulate_media(media=media)
        for name in FIGURES:
            assert _figure(page, name).locator(".static").is_visible() is static
            assert _figure(page, name).locator(".live").is_visible() is not static
    assert page.locator(".static img").evaluate_all("all => all.every(e => e.naturalWidth > 0)")


def test_colours_follow_the_theme_while_the_page_is_open(page: Page) -> None:
    text = page.locator(".mlcourse-interactive svg text").first
    seen = []
    for theme in ("light", "dark", "light"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert text.evaluate("e => getComputedStyle(e).fill") == ink
        cell = page.locator(".words td").first
        assert cell.evaluate("e => getComputedStyle(e).color") == ink
        seen.append(ink)
    assert seen[0] == seen[2] != seen[1]


@pytest.mark.parametrize("scripts", [True, False])
def test_nothing_is_wider_than_a_narrow_screen(
    browser: Browser, address: str, scripts: bool
) -> None:
    context = browser.new_context(
        java_script_enabled=scripts, viewport={"width": 400, "height": 800}
    )
    page = context.new_page()
    page.goto(address)
    if scripts:
        _move(_figure(page, "learning_rate"), lr=0.6, kappa=2.0)
        _move(_figure(page, "momentum"), lr=0.6, kappa=2.0)
        _figure(page, "schedules").get_by_role("radio", name="cosine", exact=True).check()
        for _ in range(10):
            _figure(page, "babysitting").get_by_role("button", name="Train").click()
    right = page.locator("body *:visible").evaluate_all(
        "all => Math.max(...all.filter(e => !e.ownerSVGElement)"
        ".map(e => e.getBoundingClientRect().right))"
    )
    assert 300 < right <= 400
    context.close()


@pytest.mark.parametrize("log_lr0", [-1.0, -1.12, -2.83, -3.0])
def test_labels_of_a_plot_do_not_overlap(page: Page, log_lr0: float) -> None:
    _move(_figure(page, "schedules"), lr0=log_lr0)
    for name in FIGURES:
        for plot in _figure(page, name).locator(".panel > svg").all():
            boxes = plot.locator("text").evaluate_all(
                "all => all.filter(e => !/★/.test(e.textContent)).map(e => {"
                "const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })"
            )
            for i, (left, top, right, bottom) in enumerate(boxes):
                for other in boxes[i + 1 :]:
                    apart = (
                        right <= other[0]
                        or other[2] <= left
                        or bottom <= other[1] + 3  # the boxes include room for accents
                        or other[3] <= top + 3
                    )
                    assert apart, name
