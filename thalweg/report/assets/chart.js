"use strict";
// Draws a figure as SVG: lines, bands and points over linear and logarithmic axes, in one panel or several.
// A figure has `data` and `layout`, in words that Plotly uses, of which this reads those of the package's figures.
// Colours are CSS: they follow the scheme, and paper, by themselves. For the scripts after it.
const chart = (() => {
  const svg = (name, attributes, ...inside) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => value !== undefined && made.setAttribute(key, value));
    made.append(...inside);
    return made;
  };
  const pen = document.createElement("canvas").getContext("2d");
  const wide = (text, size, family) => {
    pen.font = `${size}px ${family}`;
    return pen.measureText(text).width;
  };
  const place = (value) => Math.round(10 * Math.max(-1e5, Math.min(1e5, value))) / 10;
  const long = (key) => key.replace(/^([xy])/, "$1axis");
  const numbered = (layout, letter) => Object.keys(layout).filter((key) => new RegExp(`^${letter}axis\\d*$`).test(key));

  // -- where everything lies -----------------------------------------------------------------------------

  // A part of a chart has ticks of its own, but for names and numbers that stand at whole places.
  const parted = (layout, zoom = {}) => ({
    ...layout,
    ...Object.fromEntries(Object.entries(zoom).map(([key, range]) => [
      key, { ...layout[key], range, ...(layout[key].type === "log" && { tickvals: undefined }) },
    ])),
  });

  const ends = (layout, data) => {
    const found = {};
    for (const key of [...numbered(layout, "x"), ...numbered(layout, "y")]) {
      const letter = key[0];
      const own = data.filter((trace) => long(trace[`${letter}axis`] || letter) === key);
      const values = own.flatMap((trace) => trace[letter].flatMap((value, k) => {
        const error = trace[`error_${letter}`]?.array[k] || 0;
        return value === null ? [] : [value - error, value, value + error];
      }));
      const dotted = own.some((trace) => trace.mode.includes("markers"));
      found[key] = axes.range(layout[key], values, letter === "y" ? 0.06 : dotted ? 0.04 : 0);
    }
    return found;
  };

  const frame = (element, { data, layout }) => {
    const [width, height] = [element.clientWidth, element.clientHeight];
    const narrow = width < 560;
    const font = { tick: narrow ? 11.5 : 12.5, title: narrow ? 12 : 13, family: getComputedStyle(element).fontFamily };
    const over = (layout.annotations || []).some((note) => note.yref === "paper");
    const range = ends(layout, data);
    const top = 30 + (over ? 20 : 0);
    const bottom = 46, inside = height - top - bottom;
    const panels = {};
    for (const key of numbered(layout, "y")) {
      const [from, to] = layout[key].domain || [0, 1];
      panels[key] = { top: top + (1 - to) * inside, bottom: top + (1 - from) * inside };
      panels[key].ticks = axes.ticks(layout[key], range[key], Math.max(4, Math.floor((panels[key].bottom - panels[key].top) / 32)));
    }
    const labels = Object.values(panels).flatMap((panel) => panel.ticks.map(([, text]) => wide(text, font.tick, font.family)));
    const left = 12 + Math.max(22, ...labels);
    return { width, height, left, right: width - 18, top, floor: height - bottom, panels, range, font, narrow };
  };

  const along = ([low, high], from, to) => (value) => (value === null ? null : from + ((value - low) / (high - low)) * (to - from));

  // -- axes ----------------------------------------------------------------------------------------------

  const acrossTicks = (axis, range, at, { font, left, right }, whole) => {
    const found = axes.ticks(axis, range, Math.max(4, Math.floor((right - left) / 56)), whole);
    const spans = found.map(([value, text]) => [at(value), wide(text, font.tick, font.family) / 2 + 5]);
    const fits = (every) => spans.filter((_, k) => k % every === 0).every(([x, half], k, kept) => k === 0 || kept[k - 1][0] + kept[k - 1][1] <= x - half);
    let every = 1;
    while (every < found.length && !fits(every)) every += 1;
    return found.filter((_, k) => k % every === 0);
  };

  const across = (key, axis, of, at, whole) => {
    const under = axis.anchor === "free" ? of.floor : of.panels[long(axis.anchor || "y")].bottom;
    const drawn = acrossTicks(axis, of.range[key], at, of, whole).map(([value, text]) => {
      const half = wide(text, of.font.tick, of.font.family) / 2;
      const x = Math.max(half + 2, Math.min(of.width - half - 2, at(value)));
      return svg("text", { class: "x-tick", x: place(x), y: place(under + 18), "text-anchor": "middle" }, text);
    });
    const title = svg("text", { class: "axis-title", x: (of.left + of.right) / 2, y: place(under + 38), "text-anchor": "middle" }, axis.title?.text || "");
    return [svg("line", { class: "axis-line", x1: of.left, x2: of.right, y1: under, y2: under }), ...drawn, title];
  };

  const upwards = (key, axis, of, at) => {
    const { top, ticks } = of.panels[key];
    const drawn = ticks.flatMap(([value, text]) => {
      const y = place(at(value));
      const grid = axis.showgrid === false ? [] : [svg("line", { class: "grid", x1: of.left, x2: of.right, y1: y, y2: y })];
      return [...grid, svg("text", { class: "y-tick", x: of.left - 8, y: y + 4.3, "text-anchor": "end" }, text)];
    });
    const above = top - 14 - (of.top > 30 && top === of.top ? 20 : 0);
    return [...drawn, svg("text", { class: "axis-title", x: 2, y: place(above) }, axis.title?.text || "")];
  };

  // -- traces --------------------------------------------------------------------------------------------

  const DASHES = { dash: "7 5", dot: "2 4" };
  const path = (xs, ys, shape) => {
    let said = "", down = false;
    xs.forEach((x, k) => {
      const y = ys[k];
      if (x === null || y === null) down = false;
      else {
        const [a, b] = [place(x), place(y)];
        said += !down ? `M${a} ${b}h0` : shape === "hv" ? `H${a}V${b}` : `L${a} ${b}`;
        down = true;
      }
    });
    return said;
  };
  const outline = (points) => points.length === 0 ? "" : `M${points.map(([x, y]) => `${place(x)} ${place(y)}`).join("L")}Z`;
  const paired = (xs, ys) => xs.map((x, k) => [x, ys[k]]).filter(([x, y]) => x !== null && y !== null);
  const symbol = (kind, x, y, size, attributes) => {
    const r = size / 2;
    const shapes = {
      "triangle-left": `M${x + r} ${y - r}v${2 * r}l${-1.8 * r} ${-r}Z`,
      "triangle-right": `M${x - r} ${y - r}v${2 * r}l${1.8 * r} ${-r}Z`,
      "line-ns": `M${x} ${y - r}v${2 * r}`,
      "x-thin": `M${x - r} ${y - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`,
    };
    return shapes[kind] ? svg("path", { d: shapes[kind], ...attributes }) : svg("circle", { cx: x, cy: y, r, ...attributes });
  };
  const markers = (trace, xs, ys, inside) => paired(xs, ys).length === 0 ? [] : xs.flatMap((x, k) => {
    const y = ys[k];
    if (x === null || y === null || !inside(x, y)) return [];
    const of = (value) => (Array.isArray(value) ? value[k] : value);
    const { size = 6, symbol: kind = "circle", line } = trace.marker || {};
    const thick = of(line?.width) || 0;
    return [symbol(of(kind), place(x), place(y), of(size), { fill: trace.colour, ...(thick && { stroke: trace.colour, "stroke-width": thick }) })];
  });
  const errors = (trace, xs, at, clip) => (trace.error_y?.array || []).flatMap((error, k) => {
    const [low, high] = [at(trace.y[k] - error), at(trace.y[k] + error)];
    return xs[k] === null || low === null || high === null || !error ? [] : [svg("line", { x1: place(xs[k]), x2: place(xs[k]), y1: place(low), y2: place(high), stroke: trace.colour, "clip-path": clip })];
  });

  const traced = (trace, before, xs, ys, atY, clip, inside) => {
    const width = trace.line?.width ?? 2, parts = [];
    if (trace.fill === "toself") parts.push(svg("path", { d: outline(paired(xs, ys)), fill: trace.colour, "fill-opacity": 0.15, "clip-path": clip }));
    if (trace.fill === "tonexty") {
      parts.push(svg("path", { d: outline([...paired(xs, ys), ...paired(before.xs, before.ys).reverse()]), fill: trace.colour, "fill-opacity": 0.18, "clip-path": clip }));
    }
    if (trace.mode.includes("lines") && width > 0) {
      parts.push(svg("path", { class: "curve", d: path(xs, ys, trace.line.shape), fill: "none", stroke: trace.colour, "stroke-width": width,
        "stroke-opacity": trace.faint ? 0.55 : trace.opacity, "stroke-dasharray": DASHES[trace.line.dash], "clip-path": clip }));
    }
    parts.push(...errors(trace, xs, atY, clip));
    if (trace.mode.includes("markers")) parts.push(...markers(trace, xs, ys, inside));
    return svg("g", { class: "trace", "data-name": trace.name }, ...parts);
  };

  // -- lines and words of a layout ------------------------------------------------------------------------

  const marks = (layout, of, atX, atY) => (layout.shapes || []).map((shape) => {
    const y = (value) => (shape.yref === "paper" ? of.floor - value * (of.floor - of.top) : atY.yaxis(axes.scaled(layout.yaxis, value)));
    const x = (value) => (shape.xref === "paper" ? of.left + value * (of.right - of.left) : atX.xaxis(axes.scaled(layout.xaxis, value)));
    return svg("line", { class: "mark", x1: place(x(shape.x0)), x2: place(x(shape.x1)), y1: place(y(shape.y0)), y2: place(y(shape.y1)),
      "stroke-width": shape.line.width, "stroke-dasharray": DASHES[shape.line.dash] });
  });
  const words = (layout, of, atX, atY) => (layout.annotations || []).map((note) => {
    const half = wide(note.text, of.font.title, of.font.family) / 2;
    const at = note.xref === "paper" ? of.left + note.x * (of.right - of.left) + (note.xshift || 0) + half
      : atX.xaxis(note.x) - (note.xanchor === "right" ? half : 0);
    const y = note.yref === "paper" ? of.floor - note.y * (of.floor - of.top) - 7 : atY.yaxis(note.y) - 6;
    return svg("text", { class: "note", x: place(Math.max(half + 2, Math.min(of.width - half - 2, at))), y: place(y), "text-anchor": "middle" }, note.text);
  });

  // -- the whole -----------------------------------------------------------------------------------------

  let count = 0;
  const draw = (element, figure) => {
    const layout = parted(figure.layout, element.zoom), data = figure.data.filter((trace) => !trace.hidden);
    const of = frame(element, { data, layout });
    if (of.width < 80 || of.height < 80) return;
    const atX = {}, atY = {}, clips = {}, defined = [];
    for (const key of numbered(layout, "x")) atX[key] = along(of.range[key], of.left, of.right);
    for (const [key, { top, bottom }] of Object.entries(of.panels)) {
      atY[key] = along(of.range[key], bottom, top);
      const id = `panel-${(count += 1)}`;
      clips[key] = `url(#${id})`;
      defined.push(svg("clipPath", { id }, svg("rect", { x: of.left - 2, y: top - 2, width: Math.max(0, of.right - of.left + 4), height: bottom - top + 4 })));
    }
    const shown = [];
    data.forEach((trace) => {
      const [x, y] = [long(trace.xaxis || "x"), long(trace.yaxis || "y")];
      const xs = trace.x.map((value) => atX[x](axes.scaled(layout[x], value)));
      const ys = trace.y.map((value) => atY[y](axes.scaled(layout[y], value)));
      const { top, bottom } = of.panels[y];
      const inside = (a, b) => a >= of.left - 0.5 && a <= of.right + 0.5 && b >= top - 0.5 && b <= bottom + 0.5;
      const error = (value) => atY[y](axes.scaled(layout[y], value));
      const node = traced(trace, shown.at(-1), xs, ys, error, clips[y], inside);
      shown.push({ trace, xs, ys, inside, node, x: layout[x], y: layout[y] });
    });
    const whole = (key) => data.every((trace) => long(trace.xaxis || "x") !== key || trace.x.every(Number.isInteger));
    const drawn = svg("svg", { viewBox: `0 0 ${of.width} ${of.height}`, style: `font-size:${of.font.tick}px;--title:${of.font.title}px`, "aria-hidden": "true" },
      svg("defs", {}, ...defined),
      ...Object.keys(of.panels).flatMap((key) => upwards(key, layout[key], of, atY[key])),
      ...marks(layout, of, atX, atY),
      ...shown.map(({ node }) => node),
      ...numbered(layout, "x").flatMap((key) => across(key, layout[key], of, atX[key], whole(key))),
      ...words(layout, of, atX, atY));
    element.querySelector(":scope > svg")?.remove();
    element.prepend(drawn);
    pointing(element, { shown, of, unified: layout.hovermode === "x unified", again: () => draw(element, figure) });
  };

  return { draw, svg, long };
})();
