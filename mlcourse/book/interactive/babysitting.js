const { plays: PLAYS, images: IMAGES, right: RUNS } = GAME;
const [LR, MOMENTUM] = CONTROLS, SEEDS = RUNS[0][0].length;
const SORTED = RUNS.flat(2).sort((a, b) => a - b);
const COUNTS = Array.from({ length: PLAYS }, (_, i) => i + 1);
const percent = (right) => (100 * right) / IMAGES;
const mean = (runs) => runs.reduce((sum, right) => sum + right, 0) / runs.length;
const at = (control, position) => {
  const v = control.low + position * control.step;
  return control.log ? 10 ** v : Number(v.toFixed(9));
};
// Random search draws n runs of the table: the chance that all are worse, and what their best
// exceeds with the chance 1 − share.
const ahead = (right, n) => (SORTED.filter((other) => other < right).length / SORTED.length) ** n;
const quantile = (share, n) => percent(SORTED[Math.ceil(SORTED.length * share ** (1 / n)) - 1]);
const band = (panel, low, high) => {
  const edge = (share, n) => `${panel.left(n).toFixed(2)} ${panel.top(quantile(share, n)).toFixed(2)}`;
  const points = [...COUNTS.map((n) => edge(low, n)), ...[...COUNTS].reverse().map((n) => edge(high, n))];
  return svg("path", { class: "series", d: `M${points.join("L")}`, fill: "#D55E00", "fill-opacity": 0.2 });
};
const shade = (right) => Math.max(0.04, (right / IMAGES) ** 6).toFixed(2);

show("babysitting", (changed) => {
  let played = [], said;
  const sliders = CONTROLS.map((control) => slider(control, changed));
  const chosen = () => CONTROLS.map(({ low, step }, k) =>
    Math.round((sliders[k].node.querySelector("input").value - low) / step));
  const train = () => {
    if (played.length === PLAYS) return;
    const [i, j] = chosen(), before = played.filter((p) => p.i === i && p.j === j).length;
    played.push({ i, j, lr: at(LR, i), momentum: at(MOMENTUM, j), right: RUNS[i][j][before % SEEDS] });
    changed();
  };
  const button = (name, act) => {
    const node = html("button", { type: "button", style: "font: inherit; padding: 2px 14px; margin: 6px 8px 0 0" }, name);
    node.addEventListener("click", act);
    return node;
  };
  for (const { node } of sliders)
    node.addEventListener("keydown", (event) => { if (event.key === "Enter") train(); });
  const go = button("Train", train);
  // Beside the buttons: on a phone the words are far below them.
  const result = html("span", { "aria-hidden": "true" });
  const again = button("Start again", () => { played = []; changed(); });
  const settings = plot("Your trainings", { low: 10 ** (LR.low - LR.step / 2), high: 10 ** (LR.high + LR.step / 2), ticks: [1e-3, 1e-2, 0.1, 1], label: "learning rate lr", log: true },
    { low: MOMENTUM.low - MOMENTUM.step / 2, high: MOMENTUM.high + MOMENTUM.step / 2, ticks: [0, 0.3, 0.6, 0.9], label: "momentum α" });
  const curve = plot("Best so far", { low: 1, high: PLAYS, ticks: [1, 2, 4, 6, 8, 10], label: "trainings" },
    { low: 70, high: 100, ticks: [70, 80, 90, 100], label: "validation accuracy (%)" });
  const rows = html("div", { class: "words panel" });
  const cell = (i, j) => {
    const [l, r] = [-0.5, 0.5].map((half) => settings.left(10 ** (LR.low + (i + half) * LR.step)));
    const [t, b] = [0.5, -0.5].map((half) => settings.top(MOMENTUM.low + (j + half) * MOMENTUM.step));
    return svg("rect", { x: l, y: t, width: r - l, height: b - t, class: "series",
      fill: LOOKS[0].stroke, "fill-opacity": shade(mean(RUNS[i][j])) });
  };
  const dot = (p) => svg("circle", { cx: settings.left(p.lr), cy: settings.top(p.momentum), r: 6,
    fill: LOOKS[0].stroke, "fill-opacity": shade(p.right), stroke: "currentColor", "stroke-width": 1.5 });
  const bestOf = (n) => played.slice(0, n).reduce((best, p) => (p.right > best.right ? p : best));
  const ending = () => {
    const best = bestOf(PLAYS), runs = RUNS[best.i][best.j];
    return `<p>After ${PLAYS} trainings random search is behind you with a probability of ` +
      `<strong>${number("ahead", 100 * ahead(best.right, PLAYS))} %</strong>. Your best, lr = ${text(best.lr)} and α = ` +
      `${text(best.momentum)}, had ${number("best", percent(best.right))} %; the mean of its ${SEEDS} seeds is ` +
      `${number("mean", percent(mean(runs)))} %.</p>` +
      table(["trainings", "your best (%)", "random search: median (%)", "probability that you are ahead (%)"], [1, 2, 5, PLAYS].map((n) => [n,
        number(`best_${n}`, percent(bestOf(n).right)), number(`median_${n}`, quantile(0.5, n)),
        number(`ahead_${n}`, 100 * ahead(bestOf(n).right, n))]));
  };
  const words = () => {
    const left = PLAYS - played.length;
    if (left === PLAYS) return `<p>Choose a setting and press Train (or Enter): ${PLAYS} trainings are yours.</p>`;
    return `<p>Accuracy <strong>${number("accuracy", percent(played.at(-1).right))} %</strong>, best so far ` +
      `${number("best_so_far", percent(bestOf(PLAYS).right))} %, ${number("left", left)} left.</p>` + (left ? "" : ending());
  };
  const update = (place) => {
    const over = played.length === PLAYS, [i, j] = chosen();
    const [x, y] = [at(LR, i), at(MOMENTUM, j)];
    go.disabled = over;
    result.textContent = played.length ? `${text(percent(played.at(-1).right))} %, ${PLAYS - played.length} left` : "";
    settings.draw(...(over ? RUNS.flatMap((row, k) => row.map((_, m) => cell(k, m))) : []),
      settings.line([[x, -1], [x, 2]], 2), settings.line([[1e-4, y], [10, y]], 2), ...played.map(dot));
    settings.node.lastChild.textContent = over ? "All settings: the fuller, the better." : "The fuller a circle, the better.";
    curve.draw(...(over ? [band(curve, 0.1, 0.9), curve.line(COUNTS.map((n) => [n, quantile(0.5, n)]), 1)] : []),
      ...(played.length ? [curve.line(played.map((_, n) => [n + 1, percent(bestOf(n + 1).right)]), 0, true)] : []));
    curve.name("you", ...(over ? ["median of random search, and its middle 80 %"] : []));
    rows.innerHTML = played.length ? table(["training", "lr", "α", "accuracy (%)"], played.map((p, n) =>
      [n + 1, text(p.lr), text(p.momentum), number(`accuracy_${n + 1}`, percent(p.right))])) : "";
    // What is read aloud changes with a training, and not with a slider.
    if (words() !== said) place.innerHTML = said = words();
  };
  return { controls: [...sliders.map((one) => one.node), go, again, result], panels: [settings.node, curve.node, rows], update };
});
