// The bowl f(w) = (λ₁ c₁² + λ₂ c₂²) / 2, with c the coordinates of w along two turned axes.

const ANGLE = BOWL.angle, START = BOWL.start, COS = Math.cos(ANGLE), SIN = Math.sin(ANGLE);
const TALL = 2, WIDE = (TALL * INNER_WIDTH) / INNER_HEIGHT;
const turned = ([w1, w2]) => [COS * w1 + SIN * w2, COS * w2 - SIN * w1];
const turnedBack = ([c1, c2]) => [COS * c1 - SIN * c2, SIN * c1 + COS * c2];
const loss = (curvatures, w) => turned(w).reduce((sum, c, i) => sum + (curvatures[i] * c * c) / 2, 0);

// Heavy ball: v ← α v − lr g(w), w ← w + v; Nesterov takes the gradient at w + α v.
const descend = (curvatures, lr, alpha, nesterov, steps) => {
  let c = turned(START), v = [0, 0];
  const path = [START];
  for (let t = 0; t < steps; t++) {
    v = v.map((vi, i) => alpha * vi - lr * curvatures[i] * (c[i] + (nesterov ? alpha * vi : 0)));
    c = c.map((ci, i) => ci + v[i]);
    path.push(turnedBack(c));
  }
  return path;
};

const bowlPanel = () =>
  plot("Path on the level lines", { low: -WIDE, high: WIDE, ticks: [-2, -1, 0, 1, 2], label: "w₁" },
    { low: -TALL, high: TALL, ticks: [-2, -1, 0, 1, 2], label: "w₂" });
const lossPanel = (steps) =>
  plot("Loss at each step", { low: 0, high: steps, ticks: [0, 1, 2, 3, 4].map((i) => (i * steps) / 4), label: "step" },
    { low: 1e-9, high: 1e5, ticks: [1e-8, 1e-6, 1e-4, 1e-2, 1, 1e2, 1e4], label: "loss (log scale)", log: true });
const losses = (curvatures, path) => path.map((w, t) => [t, loss(curvatures, w)]);

// Level lines are ellipses: of the level h, with the half axes √(2h/λ).
const levelLines = (panel, curvatures) => {
  const highest = Math.max(loss(curvatures, [WIDE, TALL]), loss(curvatures, [WIDE, -TALL]));
  const unit = INNER_HEIGHT / (2 * TALL);
  const group = svg("g", { stroke: "currentColor", "stroke-opacity": 0.4,
    transform: `translate(${panel.left(0)} ${panel.top(0)}) rotate(${(-ANGLE * 180) / Math.PI})` });
  for (let i = 1; i <= 9; i++) {
    const level = highest * (0.05 + (0.95 * (i - 1)) / 8) ** 2;
    const [rx, ry] = curvatures.map((curvature) => Math.sqrt((2 * level) / curvature) * unit);
    group.append(svg("ellipse", { rx, ry }));
  }
  return group;
};
const minimum = (panel) => svg("text", { x: panel.left(0), y: panel.top(0) + 6, "text-anchor": "middle",
  "font-size": 18, fill: "currentColor" }, "★");
