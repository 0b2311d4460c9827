"use strict";
// The axes of a chart: how far they go, where their ticks are, and how numbers are written. For the scripts after it.
const axes = (() => {
  const raised = (whole) => [...String(whole)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");
  const signed = (text) => text.replace("-", "−");
  const isLong = (value) => value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4);

  // A number in so many digits, or all before the point; a very large or small one, or any if `power`, as a multiple of a power of ten.
  const number = (value, digits = 4, power = isLong(value)) => {
    if (!Number.isFinite(value) || value === 0) return signed(String(value));
    const kept = Math.max(digits, Math.floor(Math.log10(Math.abs(value))) + 1); // whole numbers stay whole
    if (!power) return signed(Number(value.toPrecision(kept)).toLocaleString("en", { maximumFractionDigits: 12 }));
    const [factor, exponent] = value.toExponential(digits - 1).split("e").map(Number);
    const ten = { 0: "1", 1: "10" }[exponent] ?? `10${raised(exponent)}`;
    return factor === 1 ? ten : factor === -1 ? `−${ten}` : `${signed(String(factor))}·${ten}`;
  };
  const percent = (value, digits = 4) => `${signed(String(Number((100 * value).toPrecision(digits))))}\u00a0%`;
  const isShare = (axis) => (axis.tickformat || "").includes("%");
  const written = (axis, value, digits = 4) => (isShare(axis) ? percent(value, digits) : number(value, digits));

  const scaled = (axis, value) => {
    const known = typeof value === "number" ? (axis.type === "log" ? Math.log10(value) : value) : NaN;
    return Number.isFinite(known) ? known : null;
  };

  // The ends of an axis, as logarithms where it is logarithmic: those given, or those of the values with some room.
  const range = (axis, values, room) => {
    if (axis.range) return axis.range;
    const known = values.map((value) => scaled(axis, value)).filter((value) => value !== null);
    if (axis.rangemode === "tozero" && axis.type !== "log") known.push(0);
    let [low, high] = known.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    if (low > high) [low, high] = [0, 1];
    const length = high - low || Math.abs(high) * 0.2 || 1;
    const below = axis.rangemode === "tozero" && low === 0 ? 0 : room;
    return high > low ? [low - below * length, high + room * length] : [low - length / 2, high + length / 2];
  };

  const upTo = (first, last) => Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => first + k);
  const step = (length, most) => {
    const size = 10 ** Math.floor(Math.log10(length / most));
    return [1, 2, 5, 10].map((k) => k * size).find((s) => length / s <= most * (1 + 1e-9));
  };
  const evenly = (low, high, most, least, axis) => {
    const apart = Math.max(step(high - low, most), least);
    const largest = Math.max(Math.abs(low), Math.abs(high));
    const digits = Math.max(1, Math.min(12, Math.ceil(Math.log10(largest / apart)) + 2));
    const places = upTo(Math.ceil(low / apart - 1e-9), Math.floor(high / apart + 1e-9)).map((k) => k * apart);
    const power = isLong(largest);
    return places.map((at) => [at, at === 0 ? (isShare(axis) ? percent(0) : "0") : isShare(axis) ? percent(at, digits) : number(at, digits, power)]);
  };
  const decades = (low, high, most, axis) => {
    const whole = upTo(Math.ceil(low - 1e-9), Math.floor(high + 1e-9));
    if (whole.length < 3) {
      for (const marks of [[1, 2, 5], [1, 3], [1]]) {
        const at = upTo(Math.floor(low), Math.ceil(high)).flatMap((d) => marks.map((mark) => mark * 10 ** d))
          .filter((value) => Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9);
        if (at.length >= 3 && at.length <= most) return at.map((value) => [Math.log10(value), written(axis, value, 1)]);
      }
    }
    if (whole.length < 2) {
      return evenly(10 ** low, 10 ** high, most, 0, axis).filter(([value]) => value > 0).map(([value, text]) => [Math.log10(value), text]);
    }
    const every = Math.ceil(whole.length / most);
    const power = whole[0] < -4 || whole.at(-1) > 5;
    return whole.filter((d) => d % every === 0).map((d) => [d, isShare(axis) ? percent(10 ** d) : number(10 ** d, 1, power)]);
  };

  // Ticks as [place, text], places scaled as the range is: those given, or round numbers, `most` of them at most.
  const ticks = (axis, [low, high], most, whole = false) => {
    if (!axis.tickvals) return axis.type === "log" ? decades(low, high, most, axis) : evenly(low, high, most, whole ? 1 : 0, axis);
    return axis.tickvals
      .map((value, k) => [scaled(axis, value), axis.ticktext ? axis.ticktext[k] : written(axis, value)])
      .filter(([at]) => at !== null && at >= Math.min(low, high) - 1e-9 && at <= Math.max(low, high) + 1e-9);
  };

  return { number, percent, written, scaled, range, ticks };
})();
