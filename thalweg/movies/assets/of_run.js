/* The movie of a run: curves and heat maps with one place in time. */
(() => {
  "use strict";
  const film = JSON.parse(document.getElementById("film").textContent);
  const { css, scale, shown } = movie, NONE = 9999;
  const steps = film.steps, count = steps.length, names = film.parameters, last = Math.max(steps[count - 1], 1);
  const ratio = film.maps.update.map((row, k) => row.map((u, i) => {
    const w = film.maps.weight[k][i];
    return u === NONE || w === NONE ? NONE : u === null || w === null ? null : u - w;
  }));
  const maps = { ...film.maps, ratio };
  const value = (log) => (log === null ? "0" : log === NONE ? "not finite" : shown(10 ** (log / 100)));
  const spans = Object.fromEntries(Object.entries(maps).map(([key, rows]) => {
    let low = Infinity, high = -Infinity;
    for (const row of rows) for (const x of row) if (x !== null && x !== NONE) { low = Math.min(low, x); high = Math.max(high, x); }
    return [key, low <= high ? [low, high] : [0, 1]];
  }));
  let at = 0, pointed = null;

  // -- a heat map: a small picture with a pixel for each number, made large ----------------------------------------
  const pixels = (key) => {
    const made = Object.assign(document.createElement("canvas"), { width: count, height: names.length });
    const context = made.getContext("2d"), image = context.createImageData(count, names.length);
    const ink = movie.rgb(css("--accent")), bad = movie.rgb(css("--bad")), [low, high] = spans[key];
    for (let i = 0, p = 0; i < names.length; i++) for (let k = 0; k < count; k++, p += 4) {
      const x = maps[key][k][i];
      if (x === null) continue;
      image.data.set(x === NONE ? [...bad, 255] : [...ink, 18 + 230 * ((x - low) / (high - low || 1))], p);
    }
    context.putImageData(image, 0, 0);
    return made;
  };
  const names_of = (width) => Math.min(150, Math.round(width * 0.3));
  const box = (width, height) => ({ x: names_of(width), y: 1, width: width - names_of(width) - 2, height: height - 20 });
  const cut = (name, letters) => (name.length <= letters ? name : "…" + name.slice(1 - letters));
  const ground = (key) => (pen, width, height) => {
    const { x, y, width: wide, height: high } = box(width, height), tall = high / names.length, every = Math.ceil(12 / tall);
    names.forEach((name, i) => {
      if (i % every === 0) pen.text(x - 6, y + (i + 0.5) * tall, cut(name, Math.floor(x / 6.4)), { fill: css("--faint"), align: "right", base: "middle", size: Math.min(11, Math.max(9, tall - 1)) });
    });
    if (pen.context) {
      pen.context.imageSmoothingEnabled = false;
      pen.context.drawImage(pixels(key), x, y, wide, high);
    } else {
      const [low, span] = [spans[key][0], spans[key][1] - spans[key][0] || 1], across = wide / count;
      for (let i = 0; i < names.length; i++) for (let k = 0; k < count; k++) {
        const v = maps[key][k][i];
        if (v === null) continue;
        const a = x + k * across, b = y + i * tall;
        pen.path([a, b, a + across, b, a + across, b + tall, a, b + tall], { fill: css(v === NONE ? "--bad" : "--accent"), opacity: v === NONE ? 1 : 0.07 + 0.9 * ((v - low) / span) });
      }
    }
    pen.path([x, y, x + wide, y, x + wide, y + high, x, y + high, x, y], { stroke: css("--line") });
    pen.text(x, height - 5, "step " + steps[0], { fill: css("--faint"), size: 11 });
    pen.text(x + wide, height - 5, String(steps[count - 1]), { fill: css("--faint"), size: 11, align: "right" });
  };
  const cursor = (pen, width, height) => {
    const { x, y, width: wide, height: high } = box(width, height), place = x + ((at + 0.5) / count) * wide;
    pen.path([place, y, place, y + high], { stroke: css("--ink"), width: 1.6 });
  };

  // -- curves ------------------------------------------------------------------------------------------------------
  const curve = (figure) => {
    const lines = film.curves.filter((each) => each.figure === figure).map((each) => ({ ...each, dots: true }));
    if (figure === "loss") lines.unshift({ set: "batch", points: steps.map((step, k) => [step, film.loss[k]]) });
    const all = lines.flatMap((line) => line.points.map((point) => point[1])).filter((x) => x !== null);
    const low = Math.min(...all), high = Math.max(...all), log = figure === "loss" && low > 0 && high / low > 5;
    const ends = low < high ? [low, high] : [low - 0.5, low + 0.5];
    const area = (width, height) => ({ x: 46, y: 6, width: width - 56, height: height - 28 });
    const inks = { batch: "--faint", train: "--soft", validation: "--accent" };
    const scales = (width, height) => {
      const { x, y, width: wide, height: high_ } = area(width, height);
      return [scale([0, last], [x, x + wide]), scale(ends, [y + high_ - 4, y + 4], log)];
    };
    const draw = (pen, width, height) => {
      const { x, y, width: wide, height: high_ } = area(width, height), [across, up] = scales(width, height);
      const quiet = css("--faint");
      let marks = up.ticks(4);
      if (marks.length < 2) marks = ends;
      for (const each of marks) pen.text(x - 6, up(each), shown(each), { fill: quiet, align: "right", base: "middle", size: 11 });
      across.ticks(4).forEach((each, k) => pen.text(across(each), y + high_ + 15, k ? shown(each) : `step ${shown(each)}`, { fill: quiet, align: "center", size: 11 }));
      pen.path([x, y, x, y + high_, x + wide, y + high_], { stroke: css("--line") });
      for (const line of lines) {
        const points = line.points.flatMap(([step, v]) => [across(step), v === null ? NaN : up(v)]);
        pen.path(points, { stroke: css(inks[line.set]), width: line.dots ? 2 : 1.2, opacity: line.dots ? 1 : 0.55 });
      }
      if (!pen.context) lines.forEach((line, k) => pen.text(x + wide - 4, y + 12 + 15 * k, line.set, { fill: css(inks[line.set]), align: "right", size: 12 }));
    };
    const moving = (pen, width, height) => {
      const { y, height: high_ } = area(width, height), [across, up] = scales(width, height), place = across(steps[at]);
      pen.path([place, y, place, y + high_], { stroke: css("--ink"), width: 1.4 });
      for (const line of lines) {
        const now = line.points.filter((point) => point[0] <= steps[at]).at(-1);
        if (now && now[1] !== null) pen.dot(across(now[0]), up(now[1]), 3.5, { fill: css(inks[line.set]) });
      }
    };
    return [draw, moving];
  };

  // -- one place in time for all -----------------------------------------------------------------------------------
  const stages = [
    ...[...document.querySelectorAll("[data-figure]")].map((element) => movie.stage(element, curve(element.dataset.figure))),
    ...[...document.querySelectorAll("[data-map]")].map((element) => movie.stage(element, [ground(element.dataset.map), cursor])),
  ];
  const now = document.getElementById("now");
  const words = () => {
    const own = `Step ${steps[at]}: learning rate ${shown(film.lr[at] ?? NaN)}, loss of the batch ${shown(film.loss[at] ?? NaN)}`;
    if (pointed === null) return own;
    const all = Object.keys(maps).map((key) => `${key === "ratio" ? "update / weight" : key} ${value(maps[key][at][pointed])}`);
    return `${own}; ${names[pointed]}: ${all.join(", ")}`;
  };
  const draw = (frame) => {
    at = Math.min(Math.round(frame), count - 1);
    stages.forEach((stage) => stage.redraw(1));
    const said = words();
    if (now.textContent !== said) now.textContent = said;
  };
  for (const [key, [low, high]] of Object.entries(spans)) document.querySelector(`[data-span="${key}"]`).textContent = `${value(low)} to ${value(high)}`;
  const player = movie.player(document.getElementById("player"), { frames: count - 1, seconds: Math.min(12, Math.max(3, count / 12)), draw, word: "sample" });
  document.querySelectorAll("[data-map]").forEach((element) => element.addEventListener("pointerdown", (event) => {
    const rect = element.getBoundingClientRect(), inside = box(rect.width, rect.height);
    const k = Math.floor(((event.clientX - rect.left - inside.x) / inside.width) * count);
    const i = Math.floor(((event.clientY - rect.top - inside.y) / inside.height) * names.length);
    pointed = i >= 0 && i < names.length ? i : null;
    player.pause();
    player.go(Math.min(Math.max(k, 0), count - 1));
  }));

  const file = saving.clean("movie-" + film.run);
  const table = () => saving.csv([
    ["step", "lr", "loss", "parameter", ...Object.keys(maps)],
    ...steps.flatMap((step, k) => names.map((name, i) => [step, film.lr[k], film.loss[k], name, ...Object.keys(maps).map((key) => (maps[key][k][i] === null ? 0 : maps[key][k][i] === NONE ? "" : 10 ** (maps[key][k][i] / 100)))])),
  ]);
  const picture = () => {
    const parts = stages.map((stage) => [stage.svg(), ...stage.size()]), wide = Math.max(...parts.map((part) => part[1]));
    let y = 0;
    const drawn = parts.map(([text, , height]) => { const found = text.replace("<svg ", `<svg y="${y}" `).trim(); y += height + 16; return found; });
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${wide}" height="${y}">${drawn.join("")}</svg>\n`;
  };
  /* All pictures below one another, under the words of the sample, as an animated picture. */
  const animated = () => {
    const sizes = stages.map((stage) => stage.size()), wide = Math.max(...sizes.map((each) => each[0])), top = 28, gap = 36;
    const titles = [...document.querySelectorAll("[data-figure], [data-map]")].map((each) => each.closest("figure")?.querySelector("figcaption")?.firstChild?.textContent.trim() ?? "");
    const height = top + sizes.reduce((sum, each) => sum + each[1] + gap, 0), ground = css("--card");
    const paint = (context, frame) => {
      player.go(frame);
      context.fillStyle = ground;
      context.fillRect(0, 0, wide, height);
      movie.pen(context).text(8, 18, `step ${steps[at]}`, { fill: css("--ink"), size: 13 });
      context.save();
      context.translate(0, top);
      stages.forEach((stage, k) => {
        movie.pen(context).text(8, 16, titles[k], { fill: css("--soft"), size: 13 });
        context.translate(0, gap - 12);
        stage.flat(context, ...sizes[k]);
        context.translate(0, sizes[k][1] + 12);
      });
      context.restore();
    };
    return { width: wide, height, frames: gif.some(count - 1), paint, inks: movie.shades([css("--accent"), css("--ink"), css("--faint")], ground) };
  };
  const savers = {
    csv: () => saving.save(`${file}.csv`, "text/csv", table()),
    svg: () => saving.save(`${file}.svg`, "image/svg+xml", picture()),
    gif: (button) => gif.atButton(button, player, file, animated()),
    json: () => saving.save(`${file}.json`, "application/json", JSON.stringify(film, null, 2)),
  };
  document.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => savers[button.dataset.save](button)));
})();
