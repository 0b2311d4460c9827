/* Steps walkers over a surface by the printed rules: the same numbers as the engines', float64 throughout. */
const walking = (() => {
  "use strict";
  const NOISE_ORDINAL = 1;

  /* The noise of all steps, standard normal, two numbers a step: a function of the seed alone. */
  const draws = (seed, steps) => {
    const found = new Float64Array(2 * steps);
    for (let t = 1; t <= steps; t++) {
      const key = maths.key(seed, t, NOISE_ORDINAL);
      for (let i = 0; i < 2; i++) found[2 * t - 2 + i] = maths.normal(key, i);
    }
    return found;
  };

  /* A path is a flat list x, y, x, y, …, NaN from where it left the numbers. */
  const byRule = (surface, rule, hyperparameters, start, steps, shift) => {
    const path = new Float64Array(2 * steps + 2).fill(NaN), state = maths.init(rule, [[2]]);
    const point = [Float64Array.from(start)], slope = [new Float64Array(2)];
    const average = rule.average && path.slice();
    path.set(point[0]);
    average?.set(point[0]);
    for (let t = 1; t <= steps; t++) {
      const [, dx, dy] = surface.at(point[0][0], point[0][1]);
      slope[0][0] = dx + shift(2 * t - 2);
      slope[0][1] = dy + shift(2 * t - 1);
      if (!Number.isFinite(slope[0][0] + slope[0][1])) break;
      rule.step(point, slope, state, hyperparameters, t);
      path.set(point[0], 2 * t);
      for (let i = 0; average && i < 2; i++) average[2 * t + i] = rule.average(point, state, i);
    }
    return { path, average };
  };

  /* Return where a slope of one number is zero: doubled steps downhill until it turns, then between the two.
     Where the slope is a straight line, as on a quadratic, the first point between is exact. */
  const lowest = (slope, at) => {
    let low = at, down = slope(low), step = 1e-2 * Math.max(1, Math.abs(at));
    if (!(Math.abs(down) > 0)) return at;
    let high = low - Math.sign(down) * step, up = slope(high);
    for (let k = 0; k < 60 && up * down > 0; k++) {
      [low, down] = [high, up];
      high -= Math.sign(down) * (step *= 2);
      up = slope(high);
    }
    if (!(up * down <= 0)) return NaN;
    for (let k = 0; k < 100 && up !== 0; k++) {
      // regula falsi, in which an end that stays is given half its weight (Illinois)
      const between = high - (up * (high - low)) / (up - down), there = slope(between);
      if (between === high || between === low) break;
      if (there * up < 0) [low, down] = [high, up];
      else down /= 2;
      [high, up] = [between, there];
      if (Math.abs(high - low) <= 1e-14 * Math.max(1, Math.abs(high))) break;
    }
    return high;
  };

  /* Each step sets one coordinate to where the function is lowest along it, x first. */
  const byCoordinate = (surface, start, steps) => {
    const path = new Float64Array(2 * steps + 2).fill(NaN);
    let [x, y] = start;
    path.set([x, y]);
    for (let t = 1; t <= steps && Number.isFinite(x + y); t++) {
      if (t % 2) x = lowest((at) => surface.at(at, y)[1], x);
      else y = lowest((at) => surface.at(x, at)[2], y);
      path.set([x, y], 2 * t);
    }
    return path;
  };

  /* Return { path, average } of a walker { kind, rule, hyperparameters, lr, noisy, path } from a start; `average` is
     where its optimizer says that the model is to be evaluated, if that is elsewhere. */
  const walk = (surface, walker, { start, steps, noise, drawn }) => {
    if (walker.kind === "recorded") return { path: Float64Array.from(walker.path) };
    if (walker.kind === "coordinate") return { path: byCoordinate(surface, start, steps) };
    const shift = walker.noisy && noise ? (i) => noise * drawn[i] : () => 0;
    // numbers that JSON cannot hold come as text
    const numbers = Object.fromEntries(Object.entries(walker.hyperparameters).map(([name, value]) => [name, Number(value)]));
    return byRule(surface, walker.rule, { ...numbers, lr: walker.lr }, start, steps, shift);
  };
  const heights = (surface, path) => Float64Array.from({ length: path.length / 2 }, (_, t) => surface.f(path[2 * t], path[2 * t + 1]));

  return { draws, walk, heights };
})();
