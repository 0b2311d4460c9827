/* What every movie page needs: canvases sharp on any screen, one drawing for canvas and SVG, and the controls.

   movie.stage(element, layers)  a canvas for each layer in `element`; a layer is a function (pen, width, height).
                                 .redraw(layer) draws it again, .add(layer, draw) draws over what is there
   movie.player(element, given)  the controls in `element`, and the clock: given.frames, .seconds, .draw(frame),
                                 and .sharp(wanted), told when frames come late
   movie.pen(context)            draws on a canvas: path, dot, text, image
   movie.vector(width, height)   the same pen, whose .text() is an SVG document
   movie.scale(from, to, log)    a function from values to pixels, with .back and .ticks(count)
   movie.rgb(colour), movie.shades(colours, ground)  a colour as numbers; several, and their way to the ground
   movie.css(name)               a colour or a font of the page, in the reader's scheme */
const movie = (() => {
  "use strict";
  // asked for in every frame, and the same until the scheme changes
  const known = new Map();
  const css = (name) => {
    if (!known.has(name)) known.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    return known.get(name);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => known.clear());
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  // -- pens: a style is { stroke, fill, width, dash, opacity }, lengths are CSS pixels --------------------------

  const SOLID = [];
  const pen = (context) => {
    const styled = (style, paint) => {
      context.globalAlpha = style.opacity ?? 1;
      if (style.fill) { context.fillStyle = style.fill; context.fill(); }
      if (style.stroke) {
        context.strokeStyle = style.stroke;
        context.lineCap = style.dash ? "butt" : "round";
        context.lineDashOffset = style.offset ?? 0;
        context.lineWidth = style.width ?? 1;
        context.setLineDash(style.dash ?? SOLID);
        context.stroke();
      }
      context.globalAlpha = 1;
    };
    return {
      context,
      /* Points are a flat list x, y, x, y, …, of which `first` to `end` are drawn; a value that is not finite
         breaks the line. */
      path(points, style, first = 0, end = points.length) {
        context.beginPath();
        context.lineJoin = "round";
        for (let i = first, pen = false; i < end; i += 2) {
          const seen = Number.isFinite(points[i] + points[i + 1]);
          if (seen && pen) context.lineTo(points[i], points[i + 1]);
          else if (seen) context.moveTo(points[i], points[i + 1]);
          pen = seen;
        }
        styled(style);
      },
      dot(x, y, radius, style) {
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        styled(style);
      },
      text(x, y, words, { fill, size = 12, align = "left", base = "alphabetic", family = css("--text"), turn = 0 }) {
        context.save();
        context.translate(x, y);
        context.rotate((turn * Math.PI) / 180);
        Object.assign(context, { fillStyle: fill, font: `${size}px ${family}`, textAlign: align, textBaseline: base });
        context.fillText(words, 0, 0);
        context.restore();
      },
      clip(x, y, width, height, inside) {
        context.save();
        context.beginPath();
        context.rect(x, y, width, height);
        context.clip();
        inside();
        context.restore();
      },
    };
  };

  /* Return a colour as [red, green, blue]. */
  const rgb = (colour) => {
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
  };
  /* Return colours as numbers, each also on its way to the ground, as the edges of lines are. */
  const shades = (colours, ground) => {
    const under = rgb(ground), steps = Math.max(1, Math.min(6, Math.floor(120 / Math.max(colours.length, 1))));
    return [ground, ...colours].slice(0, 200).flatMap((colour, place) => {
      const own = rgb(colour);
      return Array.from({ length: place ? steps : 1 }, (_, k) => own.map((v, i) => Math.round(v + ((under[i] - v) * k) / steps)));
    });
  };

  const escaped = (words) => String(words).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const vector = (width, height) => {
    const parts = [];
    let clips = 0;
    const short = (x) => String(Math.round(x * 100) / 100);
    const attributes = ({ stroke, fill, width: wide = 1, dash, opacity }) =>
      `fill="${escaped(fill ?? "none")}"` +
      (stroke ? ` stroke="${escaped(stroke)}" stroke-width="${wide}" stroke-linejoin="round"` : "") +
      (dash && dash.length ? ` stroke-dasharray="${dash}"` : "") + (opacity !== undefined ? ` opacity="${opacity}"` : "");
    return {
      path(points, style, first = 0, end = points.length) {
        let words = "";
        for (let i = first, down = false; i < end; i += 2) {
          const seen = Number.isFinite(points[i] + points[i + 1]);
          if (seen) words += `${down ? "L" : "M"}${short(points[i])} ${short(points[i + 1])}`;
          down = seen;
        }
        if (words) parts.push(`<path d="${words}" ${attributes(style)}/>`);
      },
      dot(x, y, radius, style) {
        if (Number.isFinite(x + y)) parts.push(`<circle cx="${short(x)}" cy="${short(y)}" r="${radius}" ${attributes(style)}/>`);
      },
      text(x, y, words, { fill, size = 12, align = "left", base = "alphabetic", family = css("--text"), turn = 0 }) {
        const anchor = { left: "start", center: "middle", right: "end" }[align];
        const down = { alphabetic: 0, middle: 0.35, top: 0.8, bottom: -0.2 }[base] * size;
        const place = `translate(${short(x)} ${short(y)})` + (turn ? ` rotate(${turn})` : "");
        parts.push(`<text transform="${place}" y="${short(down)}" text-anchor="${anchor}" font-size="${size}" font-family="${escaped(family)}" fill="${escaped(fill)}">${escaped(words)}</text>`);
      },
      clip(x, y, wide, high, inside) {
        const name = `c${clips++}`;
        parts.push(`<clipPath id="${name}"><rect x="${short(x)}" y="${short(y)}" width="${short(wide)}" height="${short(high)}"/></clipPath><g clip-path="url(#${name})">`);
        inside();
        parts.push("</g>");
      },
      parts,
      document: () =>
        `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">` +
        `<rect width="100%" height="100%" fill="${escaped(css("--card"))}"/>${parts.join("")}</svg>\n`,
    };
  };

  // -- scales ---------------------------------------------------------------------------------------------------

  const scale = ([low, high], [first, last], log = false) => {
    const of = log ? Math.log10 : (x) => x, span = of(high) - of(low) || 1;
    const to = (x) => first + ((of(x) - of(low)) / span) * (last - first);
    to.back = (pixel) => {
      const x = of(low) + ((pixel - first) / (last - first)) * span;
      return log ? 10 ** x : x;
    };
    to.ticks = (count) => {
      const found = [];
      if (log) {
        const step = Math.max(1, Math.ceil(span / count));
        for (let e = Math.ceil(of(low) - 1e-9); e <= of(high) + 1e-9; e += step) found.push(10 ** e);
        return found;
      }
      const rough = span / count, unit = 10 ** Math.floor(Math.log10(rough));
      const step = unit * [1, 2, 5, 10].find((each) => each * unit >= rough * 0.999);
      for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * span; k++) found.push(Number((k * step).toPrecision(12)));
      return found;
    };
    return to;
  };
  const raised = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  /* A power of ten as 10⁻³. */
  const power = (x) => {
    const exponent = Math.round(Math.log10(x));
    return { 0: "1", 1: "10" }[exponent] ?? `10${[...String(exponent)].map((c) => raised[c]).join("")}`;
  };
  /* A number in a few characters. */
  const shown = (x, digits = 3) => {
    if (!Number.isFinite(x)) return Number.isNaN(x) ? "–" : x > 0 ? "∞" : "−∞";
    const size = Math.abs(x);
    const words = size !== 0 && (size < 1e-3 || size >= 1e5) ? x.toExponential(Math.max(0, digits - 2)) : String(Number(x.toPrecision(digits)));
    return words.replace(/-/g, "−");
  };

  // -- a stage: layers of canvas over one another, drawn again when their size or the scheme changes -------------

  const stage = (element, layers) => {
    const made = layers.map((draw) => {
      const canvas = element.appendChild(document.createElement("canvas"));
      return { canvas, draw, pen: pen(canvas.getContext("2d")) };
    });
    let width = 0, height = 0, most = 2;
    const one = ({ canvas, draw, pen }) => {
      if (!width || !height) return;
      pen.context.clearRect(0, 0, width, height);
      draw(pen, width, height);
    };
    const fit = () => {
      // more than two pixels for each of CSS cannot be told apart, and cost time
      const ratio = Math.min(window.devicePixelRatio || 1, most);
      ({ clientWidth: width, clientHeight: height } = element);
      for (const layer of made) {
        layer.canvas.width = Math.round(width * ratio);
        layer.canvas.height = Math.round(height * ratio);
        layer.pen.context.setTransform(ratio, 0, 0, ratio, 0, 0);
        one(layer);
      }
    };
    new ResizeObserver(fit).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fit);
    return {
      redraw: (layer) => (layer === undefined ? made.forEach(one) : one(made[layer])),
      /* Draw with all pixels there are, or with a quarter of them, which a slow machine can keep up with. */
      sharp(wanted) {
        if (most === (wanted ? 2 : 1)) return;
        most = wanted ? 2 : 1;
        fit();
      },
      add: (layer, draw) => draw(made[layer].pen, width, height),
      size: () => [width, height],
      /* Draw all layers as they are over one canvas, on the colour of the card. */
      flat(context, wide, high) {
        context.fillStyle = css("--card");
        context.fillRect(0, 0, wide, high);
        for (const { canvas } of made) context.drawImage(canvas, 0, 0, width, height);
      },
      /* Return one canvas with all layers and all their pixels. */
      whole() {
        const whole = document.createElement("canvas"), { width: wide, height: high } = made[0].canvas;
        Object.assign(whole, { width: wide, height: high });
        const context = whole.getContext("2d");
        context.scale(wide / width, high / height);
        this.flat(context, width, height);
        return whole;
      },
      svg() {
        const drawn = vector(width, height);
        for (const { draw } of made) draw(drawn, width, height);
        return drawn.document();
      },
    };
  };

  // -- the controls ---------------------------------------------------------------------------------------------

  const button = (label, title, act) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: label, title });
    made.setAttribute("aria-label", title);
    made.addEventListener("click", act);
    return made;
  };

  const player = (element, { frames, seconds = 10, draw, sharp = () => {}, word = "step" }) => {
    let frame = 0, playing = false, before = 0, last = frames;
    const scrub = Object.assign(document.createElement("input"), { type: "range", min: 0, max: last, step: 1, value: 0 });
    scrub.setAttribute("aria-label", `The ${word} that is shown`);
    const said = Object.assign(document.createElement("output"), { className: "at" });
    const play = button("▶", "Play (space)", () => (playing ? pause() : start()));
    let told = 0;
    const tell = () => {
      // more often than ten times a second nobody reads it, and it costs a layout
      if (playing && performance.now() - told < 100) return;
      told = performance.now();
      const whole = Math.floor(frame);
      if (Number(scrub.value) !== whole) scrub.value = whole;
      const words = `${word} ${whole} / ${last}`;
      if (said.textContent !== words) said.textContent = words;
    };
    const show = () => {
      tell();
      draw(frame);
    };
    const go = (to) => { frame = Math.min(Math.max(to, 0), last); show(); };
    const tick = (now) => {
      if (!playing) return;
      gap += 0.1 * (Math.min(now - before, 100) - gap);
      if (gap > 25 && !slow) sharp(!(slow = true));
      // a tab that was hidden goes on where it was
      frame = Math.min(frame + (Math.min(now - before, 100) / 1000) * (last / seconds) * speed, last);
      before = now;
      show();
      if (frame >= last) pause(); else requestAnimationFrame(tick);
    };
    let speed = 1, gap = 16, slow = false;
    const start = () => {
      if (frame >= last) frame = 0;
      playing = true;
      before = performance.now();
      if (slow) sharp(false);
      Object.assign(play, { textContent: "❚❚", title: "Pause (space)" });
      play.setAttribute("aria-label", "Pause (space)");
      requestAnimationFrame(tick);
    };
    const pause = () => {
      playing = false;
      if (slow) sharp(true);
      show(); // what was left out while it played
      Object.assign(play, { textContent: "▶", title: "Play (space)" });
      play.setAttribute("aria-label", "Play (space)");
    };
    const step = (by) => { pause(); go((by > 0 ? Math.floor(frame + 1e-9) : Math.ceil(frame - 1e-9)) + by); };
    const pace = Object.assign(document.createElement("select"), { title: "Speed" });
    pace.setAttribute("aria-label", "Speed");
    for (const each of [0.25, 0.5, 1, 2, 4]) pace.add(new Option(`${each}×`, each, each === 1, each === 1));
    pace.addEventListener("change", () => { speed = Number(pace.value); });
    scrub.addEventListener("input", () => {
      const to = Number(scrub.value);
      pause();
      go(to);
    });
    element.classList.add("player");
    element.append(play, button("|◀", `One ${word} back (←)`, () => step(-1)), button("▶|", `One ${word} on (→)`, () => step(1)), scrub, said, pace);
    const keys = {
      " ": () => (playing ? pause() : start()), ArrowLeft: (e) => step(e.shiftKey ? -10 : -1),
      ArrowRight: (e) => step(e.shiftKey ? 10 : 1), Home: () => { pause(); go(0); }, End: () => { pause(); go(last); },
    };
    document.addEventListener("keydown", (event) => {
      const own = event.target.closest("input, select, textarea, [data-keys]") || (event.key === " " && event.target.closest("button, summary, a"));
      if (own || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key](event);
    });
    show();
    if (!calm()) start();
    return {
      get frame() { return frame; },
      get playing() { return playing; },
      get last() { return last; },
      go, start, pause, step, show,
      /* Change how many frames there are. */
      set last(count) { last = count; scrub.max = count; go(Math.min(frame, count)); },
    };
  };

  return { css, pen, vector, rgb, shades, scale, power, shown, stage, player, button };
})();
