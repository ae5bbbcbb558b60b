const STEPS = 80;

// Along a direction w(t+1) = b w(t) − c w(t−1): the spectral radius of [[b, −c], [1, 0]].
const radius = (curvature, lr, alpha, nesterov) => {
  const shrink = 1 - lr * curvature;
  const [b, c] = nesterov ? [(1 + alpha) * shrink, alpha * shrink] : [alpha + shrink, alpha];
  const discriminant = b * b - 4 * c;
  return discriminant < 0 ? { radius: Math.sqrt(c), swings: true }
    : { radius: (Math.abs(b) + Math.sqrt(discriminant)) / 2, swings: false, flips: b < 0 };
};
const motion = (one) =>
  one.radius >= 1 ? "grows" : one.swings ? "swings" : one.flips ? "changes side at each step" : "slides, no swing";

const optimum = (kappa, nesterov) => {
  const root = Math.sqrt(nesterov ? 3 * kappa + 1 : kappa), gap = nesterov ? 2 : 1;
  const ratio = (root - gap) / (root + gap);
  return nesterov ? { lr: 4 / (3 * kappa + 1), alpha: ratio, radius: 1 - 2 / root }
    : { lr: (2 / (1 + root)) ** 2, alpha: ratio ** 2, radius: ratio };
};

const verdict = (radii, plain) => {
  const slowest = Math.max(...radii.map((one) => one.radius)), steps = number("steps_for_ten", stepsForTen(slowest));
  if (slowest >= 1) return "<strong>Diverges</strong>: a spectral radius is not below 1.";
  const flat = radii[0].radius > radii[1].radius + 1e-9, same = Math.abs(radii[0].radius - radii[1].radius) <= 1e-9;
  return `<strong>Converges</strong>: in the long run the distance is divided by ten in about ${steps} steps; without momentum, at its best lr, in ${number("plain_steps", stepsForTen(plain))}. ` +
    (same ? "Both directions are as fast as each other." : `The ${flat ? "flat" : "steep"} direction is the slower one.`);
};

show("momentum", (changed) => {
  const sliders = CONTROLS.map((control) => slider(control, changed));
  const box = html("input", { type: "checkbox", "data-control": "nesterov" });
  box.addEventListener("change", changed);
  const bowl = bowlPanel(), curve = lossPanel(STEPS);
  curve.name("with momentum", "without, at its best lr");
  const update = (words) => {
    const [lr, alpha, kappa] = sliders.map((one) => one.value()), nesterov = box.checked, curvatures = [1, kappa];
    const path = descend(curvatures, lr, alpha, nesterov, STEPS);
    bowl.draw(levelLines(bowl, curvatures), minimum(bowl), bowl.line(path, 0, true));
    curve.draw(curve.line(losses(curvatures, descend(curvatures, 2 / (1 + kappa), 0, false, STEPS)), 1),
      curve.line(losses(curvatures, path), 0));
    const radii = curvatures.map((curvature) => radius(curvature, lr, alpha, nesterov)), best = optimum(kappa, nesterov);
    const limit = ((2 + 2 * alpha) / (nesterov ? 1 + 2 * alpha : 1)) / kappa;
    words.innerHTML = `<p>${verdict(radii, (kappa - 1) / (kappa + 1))}</p>` +
      table(["direction", "curvature λ", "spectral radius", "what it does"], [
        ["flat, λ₁", number("curvature_flat", 1), number("radius_flat", radii[0].radius), motion(radii[0])],
        ["steep, λ₂", number("curvature_steep", kappa), number("radius_steep", radii[1].radius), motion(radii[1])]]) +
      `<p>Effective step lr/(1 − α) = ${number("effective", lr / (1 - alpha))}. ` +
      `Stability limit of lr at this α: ${number("limit", limit)}. ` +
      `Best pair for ${nesterov ? "Nesterov" : "the heavy ball"}: lr = ${number("best_lr", best.lr)}, α = ${number("best_alpha", best.alpha)}, ` +
      `with radius ${number("best_radius", best.radius)}. Loss after ${STEPS} steps: ${number("loss", loss(curvatures, path.at(-1)))}.</p>`;
  };
  const controls = [...sliders.map((one) => one.node), html("label", {}, html("span", {}, "Nesterov"), box)];
  return { controls, panels: [bowl.node, curve.node], update };
});
