const { epochs: EPOCHS, updates: UPDATES, curvatures: CURVATURES, distance: DISTANCE } = RUN;
const cosine = (from, to, done) => to + ((from - to) * (1 + Math.cos(Math.PI * Math.min(1, done)))) / 2;

// Each schedule: the rate after t epochs, its formula with the numbers put in, and what it shows.
const SCHEDULES = {
  "constant": {
    uses: ["lr0"], rate: (p) => p.lr0, formula: (p) => `lr(t) = ${text(p.lr0)}`,
    shows: "A fast fall, then a floor: the noise of the gradient, times the rate, keeps the weights away from the minimum.",
  },
  "time-based": {
    uses: ["lr0", "k"], rate: (p, t) => p.lr0 / (1 + p.k * t),
    formula: (p) => `lr(t) = ${text(p.lr0)} / (1 + ${text(p.k)} t)`,
    shows: "Falls like 1/t: fast at first, then so slowly that the run never stops moving.",
  },
  "step": {
    uses: ["lr0", "drop", "epochs_drop"], rate: (p, t) => p.lr0 * p.drop ** Math.floor(t / p.epochs_drop),
    formula: (p) => `lr(t) = ${text(p.lr0)} · ${text(p.drop)}<sup>⌊t / ${text(p.epochs_drop)}⌋</sup>`,
    shows: "Each drop lowers the noise floor, and the distance falls towards it.",
  },
  "exponential": {
    uses: ["lr0", "k"], rate: (p, t) => p.lr0 * Math.exp(-p.k * t),
    formula: (p) => `lr(t) = ${text(p.lr0)} · exp(−${text(p.k)} t)`,
    shows: "The sum of all rates is finite: with a large k the run stops before it arrives.",
  },
  "cosine": {
    uses: ["lr0", "lr_min"], rate: (p, t) => cosine(p.lr0, p.lr_min, t / EPOCHS),
    formula: (p) => `lr(t) = ${text(p.lr_min)} + (${text(p.lr0)} − ${text(p.lr_min)}) (1 + cos(π t / ${EPOCHS})) / 2`,
    shows: "High for the first half, then a smooth fall. At the end the floor falls faster than the distance.",
  },
  "warm-up + cosine": {
    uses: ["lr0", "warmup", "lr_min"],
    rate: (p, t) => (t < p.warmup ? (p.lr0 * t) / p.warmup : cosine(p.lr0, p.lr_min, (t - p.warmup) / (EPOCHS - p.warmup))),
    formula: (p) => `lr(t) = ${text(p.lr0)} t / ${text(p.warmup)} until epoch ${text(p.warmup)}, then a cosine to ${text(p.lr_min)} at epoch ${EPOCHS}`,
    shows: "On this bowl the warm-up only delays. It is for networks, whose first steps at the full rate can do harm.",
  },
  "one cycle": {
    uses: ["lr0", "pct_start"],
    rate: (p, t) => {
      const at = t * UPDATES, last = EPOCHS * UPDATES - 1, peak = p.pct_start * EPOCHS * UPDATES - 1;
      const low = p.lr0 / 25;
      return at <= peak ? cosine(low, p.lr0, at / peak) : cosine(p.lr0, low / 1e4, (at - peak) / (last - peak));
    },
    formula: (p) => `lr(t): cosines from ${text(p.lr0 / 25)} up to ${text(p.lr0)} in ${text(100 * p.pct_start)} % of the run, and down to ${text(p.lr0 / 25e4)}`,
    shows: "Up and down once. It ends near zero, too soon to forget the noise of the high rates: the distance stays above the last floor.",
  },
};

// A small generator with a fixed seed: a sum of twelve uniform numbers, less 6, has mean 0 and variance 1.
let seed = RUN.seed;
const uniform = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const NOISE = Array.from({ length: EPOCHS * UPDATES * CURVATURES.length }, () => {
  let sum = -6;
  for (let i = 0; i < 12; i++) sum += uniform();
  return sum;
});

// Stochastic gradient descent w ← w − lr (λ w + noise): rates, and the distance after each epoch.
const train = (rate) => {
  let w = CURVATURES.map(() => DISTANCE / Math.sqrt(CURVATURES.length)), left = 1, lr;
  const rates = [], distances = [[0, DISTANCE]];
  for (let u = 0; u < EPOCHS * UPDATES; u++) {
    lr = rate(u / UPDATES);
    rates.push([u / UPDATES, lr]);
    w = w.map((wi, i) => wi - lr * (CURVATURES[i] * wi + NOISE[u * CURVATURES.length + i]));
    left *= 1 - lr * CURVATURES[0];
    if ((u + 1) % UPDATES === 0) distances.push([(u + 1) / UPDATES, Math.hypot(...w)]);
  }
  const last = distances.slice(-10).reduce((sum, [, distance]) => sum + (distance * distance) / 10, 0);
  return { rates, distances, left, last: Math.sqrt(last), lr, floor: floor(lr) };
};
// Where the distance settles at a fixed rate: the variance along λ is lr / (λ (2 − lr λ)).
const floor = (lr) => Math.sqrt(CURVATURES.reduce((sum, curvature) => sum + lr / (curvature * (2 - lr * curvature)), 0));

const verdict = (run, constant) => {
  const start = (run.left * DISTANCE) / Math.sqrt(CURVATURES.length);
  const state = start > run.last / 2
    ? "<strong>The start is not forgotten</strong>: it is much of the distance that is left, because the rates were too small, in sum"
    : "<strong>The start is forgotten</strong>: what is left of the distance is noise";
  return state + (run === constant ? "." : `. The constant rate leaves ${number("gain", constant.last / run.last)} times as much.`);
};

show("schedules", (changed) => {
  const sliders = CONTROLS.map((control) => ({ ...slider(control, changed), name: control.name }));
  const radios = html("fieldset", {}, html("legend", {}, "Schedule"));
  const group = "schedule" + Math.random(); // radio buttons of one name exclude each other
  for (const name of Object.keys(SCHEDULES)) {
    const input = html("input", { type: "radio", name: group, value: name });
    input.checked = name === RUN.first;
    input.addEventListener("change", changed);
    radios.append(html("label", {}, input, " " + name));
  }
  const ratePanel = plot("Learning rate", { low: 0, high: EPOCHS, ticks: [0, 15, 30, 45, 60], label: "epoch t" },
    { low: 0, high: 1, ticks: [], label: "learning rate" });
  const runPanel = plot("Distance to the minimum", { low: 0, high: EPOCHS, ticks: [0, 15, 30, 45, 60], label: "epoch t" },
    { low: 1e-2, high: 20, ticks: [1e-2, 1e-1, 1, 10], label: "distance (log scale)", log: true });
  runPanel.name("this schedule", "constant", "noise floor of the constant");
  ratePanel.name("this schedule", "constant");
  const update = (words) => {
    const p = Object.fromEntries(sliders.map((one) => [one.name, one.value()]));
    const name = radios.querySelector("input:checked").value, schedule = SCHEDULES[name];
    for (const one of sliders) one.node.style.display = schedule.uses.includes(one.name) ? "" : "none";
    const constant = train(() => p.lr0), run = name === "constant" ? constant : train((t) => schedule.rate(p, t));
    ratePanel.rescale(1.1 * p.lr0, [0, p.lr0]); // a long number halfway up would lie on the label
    ratePanel.draw(ratePanel.line(constant.rates, 1), ratePanel.line(run.rates, 0));
    runPanel.draw(runPanel.line([[0, constant.floor], [EPOCHS, constant.floor]], 2),
      runPanel.line(constant.distances, 1), runPanel.line(run.distances, 0));
    const row = (label, key) => [label, number(key, run[key]), number("constant_" + key, constant[key])];
    words.innerHTML = `<p>${schedule.formula(p)}</p><p>${verdict(run, constant)} ${schedule.shows}</p>` +
      table(["at the end", "this schedule", "constant"], [
        row("last rate", "lr"), row("noise floor at that rate", "floor"),
        row("distance, last 10 epochs", "last"), row("share of the start left (flattest direction)", "left")]);
  };
  return { controls: [radios, ...sliders.map((one) => one.node)], panels: [ratePanel.node, runPanel.node], update };
});
