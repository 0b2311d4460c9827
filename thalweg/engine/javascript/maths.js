/* What printed rules and surfaces call: functions that Math lacks or defines otherwise, and the engine's noise. */
const maths = (() => {
  "use strict";
  const MAX = Number.MAX_VALUE, TWO_OVER_ROOT_PI = 1.1283791670955126;

  // C says 1 for pow(1, anything) and pow(-1, ±∞); Math.pow says NaN
  const pow = (x, y) => (x === 1 || (x === -1 && (y === Infinity || y === -Infinity)) ? 1 : Math.pow(x, y));
  const sign = (x) => (x > 0 ? 1 : x < 0 ? -1 : 0);
  const negative = (x) => x < 0 || Object.is(x, -0);
  const copysign = (x, y) => (negative(y) ? -Math.abs(x) : Math.abs(x));
  const bounded = (x) => Math.min(Math.max(x, -MAX), MAX);

  // halves go to the even neighbour
  const round = (x) => {
    const low = Math.floor(x), over = x - low;
    if (!Number.isFinite(x) || over === 0) return x;
    const up = over > 0.5 || (over === 0.5 && low % 2 !== 0);
    return copysign(up ? low + 1 : low, x);
  };

  // what is left has the sign of the divisor
  const mod = (x, y) => {
    const left = x % y;
    return left !== 0 && left < 0 !== y < 0 ? left + y : left;
  };
  const floordiv = (x, y) => {
    if (y === 0) return x / y;
    const left = x % y;
    let whole = (x - left) / y;
    if (left !== 0 && left < 0 !== y < 0) whole -= 1;
    if (whole === 0) return copysign(0, x / y);
    const low = Math.floor(whole);
    return whole - low > 0.5 ? low + 1 : low;
  };

  // erf x = 2/√π · e^(−x²) · Σ 2ⁿx²ⁿ⁺¹/(2n+1)!!, whose terms have one sign
  const near = (x) => {
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
    return TWO_OVER_ROOT_PI * Math.exp(-x * x) * sum;
  };
  // erfc x = e^(−x²)/√π · 1/(x + ½/(x + 1/(x + 3/2/(x + …)))), from the inside out
  const far = (x) => {
    let tail = x;
    for (let n = 120; n > 0; n--) tail = x + n / 2 / tail;
    return (0.5 * TWO_OVER_ROOT_PI * Math.exp(-x * x)) / tail;
  };
  const erf = (x) => (x > 6 ? 1 : x < -6 ? -1 : Math.abs(x) < 2 ? near(x) : sign(x) * (1 - far(Math.abs(x))));
  const erfc = (x) => (x > 28 ? 0 : x >= 2 ? far(x) : 1 - erf(x));

  // Noise: SplitMix64's mixing of a counter, keyed by seed, step, tensor and call.
  const MASK = (1n << 64n) - 1n, GOLDEN = 0x9e3779b97f4a7c15n;
  const mixed = (x) => {
    x = ((x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    x = ((x ^ (x >> 27n)) * 0x94d049bb133111ebn) & MASK;
    return x ^ (x >> 31n);
  };
  const key = (...parts) => parts.reduce(
    (known, part) => mixed(((known ^ (BigInt(Math.trunc(part)) & MASK)) + GOLDEN) & MASK), 0n);
  // two 32-bit halves make one normal, by Box and Muller
  const normal = (of, element) => {
    const bits = mixed((of + BigInt(element + 1) * GOLDEN) & MASK);
    const u = (Number(bits >> 32n) + 1) * 2 ** -32, v = Number(bits & 0xffffffffn) * 2 ** -32;
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  };

  const units = (shape) => (shape.length < 2 ? 1 : shape[0]);
  const size = (shape) => shape.reduce((n, each) => n * each, 1);
  /** Return the state before the first step of a rule for tensors of these shapes. */
  const init = (rule, shapes) => ({
    shapes,
    tensors: Object.fromEntries(rule.states.map((name) => [name, shapes.map((s) => new Float64Array(size(s)))])),
    scalars: { ...rule.scalars },
    numbers: Object.fromEntries(Object.entries(rule.numbers).map(([name, first]) => [name, shapes.map(() => first)])),
  });

  return { pow, sign, copysign, bounded, round, mod, floordiv, erf, erfc, key, normal, units, init };
})();
