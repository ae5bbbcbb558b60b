const STEPS = 40;

const verdict = (lr, kappa, slowest, best) => {
  if (slowest >= 1)
    return "<strong>Diverges</strong>: lr is not below 2/λ₂, so each step goes further up the other wall of the steep direction.";
  const slow = lr < best ? "flat direction is the slower one: a larger lr would be faster"
    : "steep direction is the slower one: a smaller lr would be faster";
  const way = lr * kappa > 1
    ? "<strong>Oscillates</strong> and converges: 1 − lr λ₂ is negative, so each step jumps over the floor of the valley"
    : "<strong>Converges slowly</strong>, without oscillation";
  return `${slowest < 0.5 ? way.replace(" slowly", "") : way}. ` +
    (kappa > 1 ? `The ${slow}. ` : "") +
    `The distance is divided by ten in ${number("steps_for_ten", stepsForTen(slowest))} steps.`;
};

show("learning_rate", (changed) => {
  const sliders = CONTROLS.map((control) => slider(control, changed));
  const bowl = bowlPanel(), curve = lossPanel(STEPS);
  curve.name("this lr", "lr = 2/(λ₁ + λ₂)");
  const update = (words) => {
    const [lr, kappa] = sliders.map((one) => one.value()), curvatures = [1, kappa];
    const limit = 2 / kappa, best = 2 / (1 + kappa);
    const path = descend(curvatures, lr, 0, false, STEPS);
    bowl.draw(levelLines(bowl, curvatures), minimum(bowl), bowl.line(path, 0, true));
    curve.draw(curve.line(losses(curvatures, descend(curvatures, best, 0, false, STEPS)), 1),
      curve.line(losses(curvatures, path), 0));
    const factors = curvatures.map((curvature) => Math.abs(1 - lr * curvature));
    words.innerHTML = `<p>${verdict(lr, kappa, Math.max(...factors), best)}</p>` +
      table(["direction", "curvature λ", "each step multiplies by |1 − lr λ|"], [
        ["flat, λ₁", number("curvature_flat", 1), number("factor_flat", factors[0])],
        ["steep, λ₂", number("curvature_steep", kappa), number("factor_steep", factors[1])]]) +
      `<p>Stability limit 2/λ₂ = ${number("limit", limit)}. Best fixed lr in the long run: 2/(λ₁ + λ₂) = ${number("best", best)}: ` +
      `both factors are then (κ − 1)/(κ + 1) = ${number("best_factor", (kappa - 1) / (kappa + 1))}. ` +
      `Loss after ${STEPS} steps: ${number("loss", loss(curvatures, path.at(-1)))}.</p>`;
  };
  return { controls: sliders.map((one) => one.node), panels: [bowl.node, curve.node], update };
});
