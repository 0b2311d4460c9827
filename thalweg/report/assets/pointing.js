"use strict";
// What a chart says of the point under the pointer, or where the arrow keys are; dragging a mouse shows a part of it.
const pointing = (() => {
  const CLOSE = 40; // pixels
  const state = new WeakMap();

  const filled = ({ trace, x, y }, k) => (trace.hovertemplate || "%{y}").replace(/%\{(x|y|text)\}/g, (_, what) =>
    (what === "text" ? trace.text[k] : axes.written(what === "x" ? x : y, trace[what][k])));
  const points = ({ shown }) => shown.filter(({ trace }) => trace.hoverinfo !== "skip")
    .map((one) => ({ ...one, at: one.xs.map((x, k) => [x, one.ys[k], k]).filter(([x, y]) => x !== null && y !== null && one.inside(x, y)) }))
    .filter(({ at }) => at.length);
  const nearest = (at, distance) => at.reduce((best, point) => (best === null || distance(point) < distance(best) ? point : best), null);

  const line = ({ trace }, text) => {
    const row = document.createElement("div");
    row.style.setProperty("--c", trace.colour);
    row.textContent = text;
    return row;
  };
  const show = (element, x, y, rows, dots) => {
    const { tip, dotted } = state.get(element);
    tip.replaceChildren(...rows);
    tip.hidden = false;
    const [wide, tall] = [element.clientWidth, element.clientHeight];
    const beside = x + 14 + tip.offsetWidth > wide ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = `${Math.max(2, Math.min(wide - tip.offsetWidth - 2, beside))}px`;
    tip.style.top = `${Math.max(2, Math.min(tall - tip.offsetHeight - 2, y - tip.offsetHeight - 10))}px`;
    dotted.replaceChildren(...dots.map(([a, b, colour]) => chart.svg("circle", { cx: a, cy: b, r: 5, fill: "none", stroke: colour, "stroke-width": 2 })));
    element.querySelector(":scope > svg").append(dotted);
  };
  const hide = (element) => {
    const { tip, dotted } = state.get(element);
    tip.hidden = true;
    dotted.replaceChildren();
  };

  const sayPoint = (element, one, [x, y, k]) => show(element, x, y, [line(one, filled(one, k))], [[x, y, one.trace.colour]]);
  const sayAll = (element, drawn, x) => {
    const all = points(drawn).map((one) => ({ one, point: nearest(one.at, ([a]) => Math.abs(a - x)) }));
    const [place] = nearest(all.map(({ point }) => point), ([a]) => Math.abs(a - x));
    const here = all.filter(({ point }) => Math.abs(point[0] - place) < 1);
    const head = document.createElement("b");
    const { one, point } = here[0];
    head.textContent = `${one.x.title?.text || ""} ${axes.number(one.trace.x[point[2]])}`;
    const several = new Set(drawn.shown.map(({ y }) => y)).size > 1;
    const rows = here.map(({ one: { trace, y }, one: each, point: [, , k] }) =>
      line(each, `${trace.name}${several ? `, ${y.title.text}` : ""} ${filled(each, k)}`));
    show(element, place, Math.min(...here.map(({ point: [, b] }) => b)), [head, ...rows], here.map(({ one: each, point: [a, b] }) => [a, b, each.trace.colour]));
  };

  const hover = (element, x, y) => {
    const { drawn } = state.get(element), all = points(drawn);
    if (!all.length) return;
    if (drawn.unified) {
      sayAll(element, drawn, x);
      return;
    }
    const far = ([a, b]) => Math.hypot(a - x, b - y);
    const found = all.map((one) => ({ one, point: nearest(one.at, far) })).reduce((best, each) => (far(each.point) <= far(best.point) ? each : best));
    if (far(found.point) > CLOSE) hide(element);
    else sayPoint(element, found.one, found.point);
  };

  // Left and right go along a curve, up and down to another one.
  const keys = (element, event) => {
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const own = state.get(element), all = points(own.drawn);
    if (event.key === "Escape") hide(element);
    if (!moves[event.key] || !all.length) return;
    event.preventDefault();
    const [curve, along] = moves[event.key];
    const before = own.key || { curve: 0, k: -1 };
    const at = (before.curve + curve + all.length) % all.length;
    const k = Math.max(0, Math.min(all[at].at.length - 1, before.k + along));
    own.key = { curve: at, k };
    if (own.drawn.unified) sayAll(element, own.drawn, all[at].at[k][0]);
    else sayPoint(element, all[at], all[at].at[k]);
  };

  // -- a part of the chart -------------------------------------------------------------------------------

  const panelAt = ({ of, shown }, y) => shown.map(({ trace }) => chart.long(trace.yaxis || "y"))
    .find((key) => y >= of.panels[key].top && y <= of.panels[key].bottom);
  const zoom = (element, [x0, y0], [x1, y1]) => {
    const { drawn } = state.get(element), { of } = drawn, key = panelAt(drawn, y0);
    if (!key || Math.abs(x1 - x0) < 12 || Math.abs(y1 - y0) < 12) return;
    const { top, bottom } = of.panels[key];
    const { trace } = drawn.shown.find((one) => chart.long(one.trace.yaxis || "y") === key);
    const across = chart.long(trace.xaxis || "x");
    const part = ([low, high], from, to) => [from, to].sort((a, b) => a - b).map((share) => low + Math.max(0, Math.min(1, share)) * (high - low));
    element.zoom = { ...element.zoom,
      [across]: part(of.range[across], (x0 - of.left) / (of.right - of.left), (x1 - of.left) / (of.right - of.left)),
      [key]: part(of.range[key], (bottom - y0) / (bottom - top), (bottom - y1) / (bottom - top)) };
    drawn.again();
  };

  const listen = (element) => {
    const tip = document.createElement("div"), box = chart.svg("rect", { class: "part" });
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("role", "status");
    const all = document.createElement("button");
    all.className = "all-of-it";
    all.type = "button";
    all.textContent = "Whole chart";
    element.append(tip, all);
    state.set(element, { tip, all, dotted: chart.svg("g", {}) });
    const whole = () => {
      delete element.zoom;
      state.get(element).drawn.again();
      element.focus({ preventScroll: true });
    };
    all.addEventListener("click", whole);
    let from = null;
    const at = (event) => {
      const { left, top } = element.getBoundingClientRect();
      return [event.clientX - left, event.clientY - top];
    };
    element.addEventListener("pointerdown", (event) => {
      from = event.pointerType === "mouse" && event.button === 0 ? at(event) : null;
      if (!from) hover(element, ...at(event));
    });
    element.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      if (!from) return hover(element, x, y);
      hide(element);
      const sides = { x: Math.min(x, from[0]), y: Math.min(y, from[1]), width: Math.abs(x - from[0]), height: Math.abs(y - from[1]) };
      Object.entries(sides).forEach(([side, value]) => box.setAttribute(side, value));
      element.querySelector(":scope > svg").append(box);
    });
    element.addEventListener("pointerup", (event) => {
      box.remove();
      if (from) zoom(element, from, at(event));
      from = null;
    });
    element.addEventListener("pointerleave", (event) => {
      box.remove();
      from = null;
      if (event.pointerType !== "touch") hide(element); // after a touch it stays, to be read
    });
    element.addEventListener("dblclick", whole);
    element.addEventListener("keydown", (event) => keys(element, event));
    element.addEventListener("blur", () => hide(element));
    new ResizeObserver(() => {
      const { drawn } = state.get(element);
      if (element.clientWidth !== drawn.of.width || element.clientHeight !== drawn.of.height) drawn.again();
    }).observe(element);
  };

  return (element, drawn) => {
    if (!state.has(element)) listen(element);
    const own = state.get(element);
    own.drawn = drawn;
    own.all.hidden = !element.zoom;
    hide(element);
  };
})();
