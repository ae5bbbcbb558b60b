"""Interactive figures: sliders beside a plot, in a page with no kernel and no network.

Each is a static picture, which is all there is where no script runs, and one script that puts the
live figure in its place. The script is `interactive/*.js`, joined; its settings are here. The
picture is `interactive/NAME.png`, drawn by `python -m mlcourse.book.interactive_pictures`: a file,
so that the HTML, and with it a chapter's twin, is the same on every machine.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlcourse.book.element import Element

FOLDER = Path(__file__).with_name("interactive")
#: The bowl's flat axis is turned by this angle, and a descent starts here.
ANGLE, START = math.radians(20), (-1.7, 0.9)
#: The noisy run: its length, updates an epoch, curvatures, first distance, and seed of the noise.
EPOCHS, UPDATES, DISTANCE, SEED = 60, 10, 10.0, 4
CURVATURES = tuple(10 ** (i / 9) for i in range(10))
#: The babysitting game: how many plays, and real runs made by `mlcourse.book.babysitting_runs`.
PLAYS, GAME_FILE = 10, FOLDER / "babysitting.json"
_INDENT_OR_COMMENT = re.compile(r"^[ \t]*(//.*\n)?|^\n", re.MULTILINE)


@dataclass(frozen=True)
class Control:
    """A slider from `low` to `high`, at `start` first; with `log` these are powers of ten."""

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    log: bool = False
    unit: str = ""

    @property
    def value(self) -> float:
        """The number that the slider stands for at its start."""
        return float(10**self.start) if self.log else self.start

    @property
    def positions(self) -> int:
        """The number of places where the slider may stand."""
        return round((self.high - self.low) / self.step) + 1

    def at(self, position: int) -> float:
        """The number that the slider stands for at one of its positions, from 0."""
        exponent = self.low + position * self.step
        return float(10**exponent) if self.log else round(exponent, 9)


@dataclass(frozen=True)
class InteractiveFigure:
    """An interactive figure: `shows` is one sentence, `caption` formats the first settings."""

    title: str
    shows: str
    caption: str
    parts: tuple[str, ...]
    controls: tuple[Control, ...]
    constants: dict[str, Any]

    def values(self) -> dict[str, float]:
        """What the controls are at their start."""
        return {control.name: control.value for control in self.controls}

    def first_settings(self) -> str:
        """The caption with the values of the controls at their start put in."""
        return self.caption.format(**self.values())


def game() -> dict[str, Any]:
    """What the babysitting game needs: `right` is [lr][momentum][seed], of so many `images`."""
    stored = json.loads(GAME_FILE.read_text(encoding="utf-8"))
    return {"plays": PLAYS, "images": stored["images"], "right": stored["right"]}


_BOWL = {"BOWL": {"angle": ANGLE, "start": START}}
_RUN = {
    "RUN": {
        "epochs": EPOCHS,
        "updates": UPDATES,
        "curvatures": CURVATURES,
        "distance": DISTANCE,
        "seed": SEED,
        "first": "step",
    }
}
_LR = ("lr", "learning rate lr", -3.0, 0.6, 0.01)
_KAPPA = ("kappa", "condition number κ", 0.0, 2.0, 0.01)

FIGURES = {
    "babysitting": InteractiveFigure(
        title="Interactive figure: babysitting",
        shows="a game of ten trainings, real ones from a table: choose a learning rate and a "
        "momentum, see the validation accuracy, choose again; and what random search would have "
        "found.",
        caption="lr = {lr:.3g} and α = {momentum:.3g}",
        parts=("plot", "babysitting"),
        controls=(
            Control("lr", "learning rate lr", -3.0, 0.5, 0.25, -2.0, log=True),
            Control("momentum", "momentum α", 0.0, 0.99, 0.09, 0.45),
        ),
        constants={"GAME": game()},
    ),
    "learning_rate": InteractiveFigure(
        title="Interactive figure: the learning rate",
        shows="gradient descent on a bowl of condition number κ, its path and its loss: it "
        "converges slowly, oscillates or diverges as the learning rate grows past 1/λ₂ and 2/λ₂.",
        caption="lr = {lr:.3g} and κ = {kappa:.3g}",
        parts=("plot", "bowl", "learning_rate"),
        controls=(Control(*_LR, -0.8, log=True), Control(*_KAPPA, 1.0, log=True)),
        constants=_BOWL,
    ),
    "momentum": InteractiveFigure(
        title="Interactive figure: momentum",
        shows="gradient descent with momentum α on a bowl of condition number κ, beside the "
        "descent without: near the best α it needs about √κ steps where that needs κ.",
        caption="lr = {lr:.3g}, α = {alpha:.3g} and κ = {kappa:.3g}, without Nesterov",
        parts=("plot", "bowl", "momentum"),
        controls=(
            Control(*_LR, -1.5, log=True),
            Control("alpha", "momentum α", 0.0, 0.99, 0.01, 0.7),
            Control(*_KAPPA, 1.5, log=True),
        ),
        constants=_BOWL,
    ),
    "schedules": InteractiveFigure(
        title="Interactive figure: learning-rate schedules",
        shows="a schedule of the learning rate, and what it does to a noisy run: with a constant "
        "rate the distance to the minimum falls fast to a noise floor, and decay lowers the floor.",
        caption="the step schedule with lr₀ = {lr0:.3g}, drop = {drop:.3g} "
        "and epochs_drop = {epochs_drop:.3g}",
        parts=("plot", "schedules"),
        controls=(
            Control("lr0", "rate lr₀ (highest)", -3.0, -0.8, 0.01, -1.0, log=True),
            Control("k", "decay k", -2.0, 1.0, 0.01, -1.0, log=True, unit="per epoch"),
            Control("drop", "factor drop", 0.05, 1.0, 0.05, 0.3),
            Control("epochs_drop", "epochs_drop", 1, 30, 1, 15, unit="epochs"),
            Control("lr_min", "last rate lr_min", -6.0, -3.0, 0.01, -4.0, log=True),
            Control("warmup", "warm-up", 1, 30, 1, 5, unit="epochs"),
            Control("pct_start", "rising part pct_start", 0.05, 0.95, 0.05, 0.3),
        ),
        constants=_RUN,
    ),
}

# Only translucent greys and the colour of the text: they read on light and on dark pages. The
# curves get more light in the book's dark theme, as its style sheet gives to its pictures.
_STYLE = """
.mlcourse-interactive { margin: 16px 0; padding: 12px 16px; border-radius: 4px;
  border: 1px solid rgba(128, 128, 128, 0.4); }
.mlcourse-interactive[data-live] .static { display: none; }
.mlcourse-interactive .live label { display: grid; grid-template-columns: 10em 1fr 8em;
  gap: 0 12px; align-items: center; margin: 4px 0; max-width: 44em; }
.mlcourse-interactive .live input { accent-color: #0072B2; margin: 0; }
.mlcourse-interactive .live input[type=range] { width: 100%; min-width: 0; }
.mlcourse-interactive .live input[type=checkbox] { justify-self: start; }
.mlcourse-interactive .live output { font-variant-numeric: tabular-nums; white-space: nowrap; }
.mlcourse-interactive .live fieldset { border: 0; margin: 0 0 4px; padding: 0; min-width: 0; }
.mlcourse-interactive .live legend { float: none; width: auto; font-size: inherit; margin: 0;
  padding: 0; }
.mlcourse-interactive .live fieldset label { display: inline-block; margin: 0 16px 2px 0; }
.mlcourse-interactive .panels { display: flex; flex-wrap: wrap; gap: 12px; margin: 12px 0; }
.mlcourse-interactive .panel { flex: 1 1 260px; min-width: 0; max-width: 460px; }
.mlcourse-interactive .panel > svg { display: block; width: 100%; height: auto; }
.mlcourse-interactive .legend { font-size: 0.85em; padding-left: 12%; }
.mlcourse-interactive .legend span { display: inline-block; margin-right: 16px; }
.mlcourse-interactive .legend svg { display: inline; vertical-align: middle; }
html[data-theme="dark"] .mlcourse-interactive .series { filter: brightness(1.3); }
.mlcourse-interactive .words p { margin: 8px 0; }
.mlcourse-interactive .words table { width: auto; margin: 8px 0; border-collapse: collapse;
  font-size: 0.9em; color: inherit; background: none; }
.mlcourse-interactive .words :is(th, td) { padding: 3px 12px 3px 0; text-align: left;
  border-bottom: 1px solid rgba(128, 128, 128, 0.4); background: none; color: inherit; }
@media (max-width: 600px) {
  .mlcourse-interactive .live label { grid-template-columns: 1fr auto; }
  .mlcourse-interactive .live input[type=range] { grid-row: 2; grid-column: 1 / 3; }
}
@media print {
  .mlcourse-interactive[data-live] .static { display: block; }
  .mlcourse-interactive .live { display: none; }
}
"""


def interactive(name: str) -> Element:
    """The interactive figure `name`: "babysitting", "learning_rate", "momentum" or "schedules".

    Raises ValueError for another name.
    """
    if name not in FIGURES:
        raise ValueError(f"there is no interactive figure {name!r}: choose {', '.join(FIGURES)}")
    figure = FIGURES[name]
    settings = figure.first_settings()
    return Element(
        html=_page(name, figure, settings),
        markdown=f"**{figure.title}**, live in the book: {figure.shows} Drawn first at {settings}.",
    )


def _page(name: str, figure: InteractiveFigure, settings: str) -> str:
    png = base64.b64encode((FOLDER / f"{name}.png").read_bytes()).decode()
    # JupyterLab would take the keys that move a slider for its own shortcuts.
    return (
        f'<div class="mlcourse-interactive" data-figure="{name}" role="group" '
        f'aria-label="{html.escape(figure.title)}" data-lm-suppress-shortcuts="true">\n'
        f"<style>{_STYLE}</style>\n"
        f'<div class="static"><img src="data:image/png;base64,{png}" '
        f'alt="{html.escape(figure.shows)}" style="max-width: 100%; height: auto;">\n'
        f"<p>The figure at its first settings: {settings}. "
        "Where scripts run, sliders change them.</p></div>\n"
        f"<script>{script(name)}</script>\n</div>"
    )


def script(name: str) -> str:
    """The JavaScript of the figure `name`, with its settings, that leaves no global name behind."""
    figure = FIGURES[name]
    constants = {"CONTROLS": [asdict(control) for control in figure.controls], **figure.constants}
    lines = [
        f"const {key} = {json.dumps(value, separators=(',', ':'), ensure_ascii=False)};\n"
        for key, value in constants.items()
    ]
    lines += [(FOLDER / f"{part}.js").read_text(encoding="utf-8") for part in figure.parts]
    return '(() => {\n"use strict";\n' + _INDENT_OR_COMMENT.sub("", "".join(lines)) + "})();"
