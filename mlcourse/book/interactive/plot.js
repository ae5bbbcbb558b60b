// What the figures share: elements, numbers, sliders and plots. It is repeated in each figure, so
// that a figure needs nothing from its page; nothing here is visible outside the figure's script.

const WIDTH = 340, HEIGHT = 290, LEFT = 66, RIGHT = 10, TOP = 10, BOTTOM = 42;
const INNER_WIDTH = WIDTH - LEFT - RIGHT, INNER_HEIGHT = HEIGHT - TOP - BOTTOM;
const LOOKS = [
  { stroke: "#0072B2", "stroke-width": 2 },
  { stroke: "#D55E00", "stroke-width": 2, "stroke-dasharray": "6 3" },
  { stroke: "currentColor", "stroke-width": 1.5, "stroke-dasharray": "1.5 3" },
];

const filled = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const html = (tag, attributes, ...children) =>
  filled(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const power = (exponent) =>
  "10" + String(exponent).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);

// Three significant digits, as text.
const text = (x) => {
  if (!Number.isFinite(x)) return "∞";
  if (x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e5))
    return String(Number(x.toPrecision(3))).replace("-", "−");
  const [digits, exponent] = x.toExponential(1).split("e");
  return `${digits}·${power(Number(exponent))}`;
};
// The same as HTML that also carries the exact number.
const number = (name, x) => `<data data-number="${name}" value="${x}">${text(x)}</data>`;
const table = (head, rows) =>
  `<table><thead><tr>${head.map((cell) => `<th scope="col">${cell}</th>`).join("")}</tr></thead><tbody>` +
  rows.map(([name, ...cells]) =>
    `<tr><th scope="row">${name}</th>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`).join("") +
  "</tbody></table>";

// So many steps divide a distance by ten, when each step multiplies it by `factor`.
const stepsForTen = (factor) =>
  factor >= 1 ? Infinity : Math.max(1, Math.ceil(Math.log(10) / -Math.log(factor)));

const slider = (control, changed) => {
  const input = html("input", {
    type: "range", min: control.low, max: control.high, step: control.step,
    value: control.start, "aria-label": control.label, "data-control": control.name,
  });
  const output = html("output", {});
  const value = () => (control.log ? 10 ** Number(input.value) : Number(input.value));
  const show = () => {
    output.textContent = text(value()) + (control.unit ? " " + control.unit : "");
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => { show(); changed(); });
  show();
  return { node: html("label", {}, html("span", {}, control.label), input, output), value };
};

// A plot: fixed axes, and an area where each call of `draw` replaces what was there.
// An axis is { low, high, ticks, label, log, show }.
const plot = (title, x, y) => {
  const place = (axis, v) => {
    const [low, high, at] = axis.log ? [axis.low, axis.high, v].map(Math.log10) : [axis.low, axis.high, v];
    return (at - low) / (high - low);
  };
  const left = (v) => place(x, v) * INNER_WIDTH, top = (v) => (1 - place(y, v)) * INNER_HEIGHT;
  const axes = svg("g", { fill: "currentColor", "font-size": 13 });
  // An inner <svg> cuts off what is outside its box, with no clip path to name.
  const area = svg("svg", { x: LEFT, y: TOP, width: INNER_WIDTH, height: INNER_HEIGHT, fill: "none" });
  const rule = (x1, y1, x2, y2, opacity) =>
    svg("line", { x1, y1, x2, y2, stroke: "currentColor", "stroke-opacity": opacity });
  const drawAxes = () => {
    const [bottom, right] = [TOP + INNER_HEIGHT, LEFT + INNER_WIDTH];
    axes.replaceChildren(rule(LEFT, TOP, LEFT, bottom, 0.6), rule(LEFT, bottom, right, bottom, 0.6));
    for (const tick of x.ticks) {
      const at = LEFT + left(tick);
      axes.append(rule(at, TOP, at, bottom, 0.15),
        svg("text", { x: at, y: bottom + 17, "text-anchor": "middle" }, text(tick)));
    }
    for (const tick of y.ticks) {
      const at = TOP + top(tick);
      axes.append(rule(LEFT, at, right, at, 0.15),
        svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" },
          y.log ? power(Math.round(Math.log10(tick))) : text(tick)));
    }
    axes.append(
      svg("text", { x: LEFT + INNER_WIDTH / 2, y: HEIGHT - 6, "text-anchor": "middle" }, x.label),
      svg("text", { transform: `translate(14 ${TOP + INNER_HEIGHT / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label));
  };
  // Far outside a line ends: the numbers of a run that diverges have hundreds of digits.
  const line = (points, look, marked) => {
    const pixels = [];
    for (const [a, b] of points) {
      pixels.push([left(a), top(b)]);
      if (!(Math.max(...pixels.at(-1).map(Math.abs)) < 1e4)) break;
    }
    const kept = pixels.filter((pixel) => pixel.every(Number.isFinite));
    const d = "M" + kept.map((pixel) => pixel.map((v) => v.toFixed(2)).join(" ")).join("L");
    const group = svg("g", { class: "series" }, svg("path", { ...LOOKS[look], d, "stroke-linejoin": "round" }));
    if (marked)
      for (const [cx, cy] of kept) group.append(svg("circle", { cx, cy, r: 2.5, fill: LOOKS[look].stroke }));
    return group;
  };
  const legend = html("div", { class: "legend" });
  drawAxes();
  return {
    node: html("div", { class: "panel" }, html("strong", {}, title),
      svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title }, axes, area), legend),
    left, top, line,
    draw: (...shapes) => area.replaceChildren(...shapes),
    rescale: (high, ticks) => { Object.assign(y, { high, ticks }); drawAxes(); },
    name: (...names) => legend.replaceChildren(...names.map((name, look) =>
      html("span", {}, svg("svg", { width: 30, height: 10, class: "series", "aria-hidden": "true" },
        svg("line", { x1: 0, y1: 5, x2: 30, y2: 5, ...LOOKS[look] })), " " + name))),
  };
};

// Put the live figure in each place that waits for it. The static picture gives way last: if anything
// fails, it stays.
const show = (figure, build) => {
  for (const host of document.querySelectorAll(`.mlcourse-interactive[data-figure="${figure}"]:not([data-live])`)) {
    const words = html("div", { class: "words", "aria-live": "polite" });
    const { controls, panels, update } = build(() => update(words));
    host.append(html("div", { class: "live" }, ...controls, html("div", { class: "panels" }, ...panels), words));
    update(words);
    // JupyterLab would take a key pressed here for its own: it asks the element itself first.
    for (const input of host.querySelectorAll("input")) input.dataset.lmSuppressShortcuts = "";
    host.dataset.live = "";
  }
};
