/* The page of a surface: contour lines, paths and losses, and what the reader changes. */
(() => {
  "use strict";
  const film = JSON.parse(document.getElementById("film").textContent), { surface } = printed;
  const $ = (selector, within = document) => within.querySelector(selector);
  const { css, scale, shown } = movie;
  const walkers = film.walkers.map((each, i) => ({
    ...each, rule: printed.rules[i], given: each.lr, seen: true, row: $(`[data-walker="${i}"]`),
    colour: css.bind(null, `--e${i}`),
  }));
  const now = { start: [...film.start], noise: film.noise, seed: film.seed, steps: film.steps, drawn: null };
  const floor = 1e-12;
  let player = null;

  // -- computing ------------------------------------------------------------------------------------------------

  /* What is drawn of a walker: its path, and that of the average at which its model is evaluated. */
  const tracks = walkers.flatMap((walker) => {
    const own = { walker, colour: walker.colour, dash: walker.kind === "recorded" ? [6, 4] : undefined };
    return walker.rule?.average ? [own, { ...own, dash: [1.5, 4], isAverage: true }] : [own];
  });
  const run = (walker) => {
    const { path, average } = walking.walk(surface, walker, now);
    for (const track of tracks) if (track.walker === walker) {
      track.path = track.isAverage ? average : path;
      track.losses = walking.heights(surface, track.path);
      track.pixels = track.points = null;
    }
    Object.assign(walker, { path, losses: tracks.find((each) => each.walker === walker).losses });
  };
  const lost = (f) => (Number.isFinite(f) ? Math.max(f - film.lowest, floor) : NaN);
  const runAll = () => {
    now.drawn = now.noise ? walking.draws(now.seed, now.steps) : null;
    walkers.forEach(run);
  };

  // -- the surface ----------------------------------------------------------------------------------------------

  const MARGIN = { left: 40, right: 8, top: 8, bottom: 26 };
  const frameOf = (width, height, margin) => ({
    x: margin.left, y: margin.top, width: width - margin.left - margin.right, height: height - margin.top - margin.bottom,
  });
  let toX = null, toY = null, box = null;
  const place = (width, height) => {
    const [left, right, bottom, top] = film.view;
    box = frameOf(width, height, MARGIN);
    toX = scale([left, right], [box.x, box.x + box.width]);
    toY = scale([bottom, top], [box.y + box.height, box.y]);
    tracks.forEach((each) => { each.pixels = null; });
    setHandle();
  };

  /* The deeper, the darker: a small picture, made large by the browser. */
  const shade = () => {
    const side = 140, made = document.createElement("canvas"), [left, right, bottom, top] = film.view;
    made.width = made.height = side;
    const context = made.getContext("2d"), image = context.createImageData(side, side);
    const [red, green, blue] = movie.rgb(css("--accent"));
    const low = Math.log(film.levels[0] - film.lowest), high = Math.log(film.levels[film.levels.length - 1] - film.lowest);
    for (let j = 0, k = 0; j < side; j++) for (let i = 0; i < side; i++, k += 4) {
      const f = surface.f(left + ((i + 0.5) / side) * (right - left), top - ((j + 0.5) / side) * (top - bottom));
      const share = (Math.log(Math.max(f - film.lowest, 1e-300)) - low) / (high - low || 1);
      image.data.set([red, green, blue, 70 * (1 - Math.min(Math.max(Number.isNaN(share) ? 1 : share, 0), 1))], k);
    }
    context.putImageData(image, 0, 0);
    return made;
  };
  const lines = film.lines.map((level) => level.map((line) => {
    // kept as steps of a fine grid over the view
    let x = 0, y = 0;
    return line.map((by, i) => (i % 2 ? (y += by) : (x += by)) / film.grain);
  }));

  const axes = (pen, across, up, { x, y, width, height }, format = shown) => {
    const quiet = css("--faint"), line = css("--line");
    for (const at of across.ticks(Math.max(3, Math.round(width / 90)))) pen.text(across(at), y + height + 16, shown(at), { fill: quiet, align: "center", size: 11.5 });
    for (const at of up.ticks(Math.max(3, Math.round(height / 60)))) pen.text(x - 6, up(at), format(at), { fill: quiet, align: "right", base: "middle", size: 11.5 });
    pen.path([x, y, x + width, y, x + width, y + height, x, y + height, x, y], { stroke: line });
  };
  const ground = (pen, width, height) => {
    if (pen.context) place(width, height);
    const { levels, view: [left, right, bottom, top] } = film;
    pen.clip(box.x, box.y, box.width, box.height, () => {
      if (pen.context && levels.length) {
        pen.context.imageSmoothingQuality = "high";
        pen.context.drawImage(shade(), box.x, box.y, box.width, box.height);
      }
      const ink = css("--ink");
      lines.forEach((level, k) => level.forEach((line) => pen.path(
        line.map((at, i) => (i % 2 ? toY(bottom + at * (top - bottom)) : toX(left + at * (right - left)))),
        { stroke: ink, width: 0.8, opacity: 0.16 + 0.22 * (1 - k / levels.length) })));
    });
    axes(pen, toX, toY, box);
  };

  /* Put where a path is at a frame, between two steps in a straight line, at a place of a list. */
  const at = (points, frame, found, place) => {
    const k = Math.min(Math.floor(frame), points.length / 2 - 1), next = 2 * k + 2;
    const on = next < points.length && Number.isFinite(points[next] + points[next + 1]) ? frame - k : 0;
    for (let i = 0; i < 2; i++) found[place + i] = points[2 * k + i] + (on > 0 ? on * (points[next + i] - points[2 * k + i]) : 0);
  };
  /* Two layers of a stage: trails, which remember how far they have been drawn, and heads. What a frame needs is
     made here once: a frame that makes nothing leaves nothing to collect. */
  const trails = (pointsOf, boxOf, width, radius) => {
    const lines = tracks.map((each) => ({ stroke: "", width, dash: each.dash, offset: 0 }));
    const head = { fill: "", stroke: "", width: 1.5 }, between = new Float64Array(4);
    let drawn = -1, from = 0, step = 0, pen = null;
    const inside = (draw) => {
      const { x, y, width, height } = boxOf();
      pen.clip(x, y, width, height, draw);
    };
    /* Draw the paths from one step to another; what is there already is left, and dashes go on where they ended. */
    const grow = () => {
      for (let k = 0; k < tracks.length; k++) {
        const line = lines[k], points = pointsOf(tracks[k]);
        if (!tracks[k].walker.seen) continue;
        if (!from) line.offset = 0;
        line.stroke = tracks[k].colour();
        pen.path(points, line, 2 * from, 2 * step + 2);
        if (line.dash) for (let i = 2 * from + 2; i < 2 * step + 2; i += 2) line.offset += Math.hypot(points[i] - points[i - 2], points[i + 1] - points[i - 1]) || 0;
      }
    };
    /* What lies between two steps is drawn with the heads: the trails change only once a step. */
    const lead = () => {
      for (let k = 0; k < tracks.length; k++) if (tracks[k].walker.seen && player.frame > step) {
        const points = pointsOf(tracks[k]);
        between[0] = points[2 * step];
        between[1] = points[2 * step + 1];
        at(points, player.frame, between, 2);
        lines[k].stroke = tracks[k].colour();
        pen.path(between, lines[k]);
      }
    };
    const over = (on, first) => {
      [pen, from, step] = [on, first, Math.floor(player.frame)];
      inside(grow);
      drawn = step;
    };
    const more = (on) => over(on, drawn);
    return {
      all(on) {
        if (boxOf() && player) over(on, 0);
      },
      heads(on) {
        const box = boxOf();
        if (!box || !player) return;
        [pen, step] = [on, Math.floor(player.frame)];
        inside(lead);
        for (const track of tracks) {
          at(pointsOf(track), player.frame, between, 0);
          const [x, y] = between;
          if (!track.walker.seen || !(x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height)) continue;
          // the head of an average is hollow
          head.fill = track.isAverage ? css("--card") : track.colour();
          head.stroke = track.isAverage ? track.colour() : css("--card");
          pen.dot(x, y, radius, head);
        }
      },
      /* Go on to the player's frame: add to the trails where that will do, and move the heads. */
      on(stage) {
        const now = Math.floor(player.frame);
        if (now < drawn || drawn < 0) stage.redraw(1);
        else if (now > drawn) stage.add(1, more);
        stage.redraw(2);
      },
    };
  };
  const pixelsOf = (track) => (track.pixels ??= track.path.map((v, i) => (i % 2 ? toY(v) : toX(v))));
  const mapTrails = trails(pixelsOf, () => box, 2, 5.5);
  const paths = (pen) => {
    mapTrails.all(pen);
    // the handle is no part of a saved picture, the start is
    if (!pen.context) pen.dot(toX(now.start[0]), toY(now.start[1]), 4, { stroke: css("--ink"), width: 1.5 });
  };

  // -- the losses -----------------------------------------------------------------------------------------------

  const LOSS_MARGIN = { left: 48, right: 10, top: 12, bottom: 42 };
  let lossX = null, lossY = null, lossBox = null;
  const lossAxes = (pen, width, height) => {
    let low = Infinity, high = floor;
    for (const { losses, walker } of tracks) if (walker.seen) for (const f of losses) {
      const value = lost(f);
      if (value < low) low = value;
      if (value > high && value < Infinity) high = value;
    }
    const first = lost(surface.f(...now.start));
    // what blew up is cut off, or nothing else could be seen
    high = Math.min(high, 1e3 * first);
    low = Math.max(Math.min(low, high / 10), high * 1e-12);
    lossBox = frameOf(width, height, LOSS_MARGIN);
    lossX = scale([0, now.steps], [lossBox.x, lossBox.x + lossBox.width]);
    lossY = scale([10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))], [lossBox.y + lossBox.height, lossBox.y], true);
    tracks.forEach((each) => { each.points = null; });
    const { x, y, width: wide } = lossBox;
    for (const tick of lossY.ticks(Math.max(3, Math.round(lossBox.height / 45)))) pen.path([x, lossY(tick), x + wide, lossY(tick)], { stroke: css("--grid") });
    axes(pen, lossX, lossY, lossBox, movie.power);
    pen.text(x + wide / 2, height - 6, "step", { fill: css("--soft"), align: "center" });
    pen.text(12, y + lossBox.height / 2, "f − lowest", { fill: css("--soft"), align: "center", turn: -90 });
  };
  const pointsOf = (track) => (track.points ??= Float64Array.from(
    { length: 2 * track.losses.length }, (_, i) => (i % 2 ? lossY(lost(track.losses[i >> 1])) : lossX(i >> 1))));
  const lossTrails = trails(pointsOf, () => lossBox, 1.8, 4);

  // -- what the reader changes ----------------------------------------------------------------------------------

  runAll();
  const mapStage = movie.stage($("#map"), [ground, paths, mapTrails.heads]), lossStage = movie.stage($("#loss"), [lossAxes, lossTrails.all, lossTrails.heads]);
  let told = 0;
  const values = (always = true) => {
    if (!always && performance.now() - told < 100) return; // more often than one can read
    told = performance.now();
    const step = Math.floor(player.frame);
    for (const { row, losses } of walkers) {
      const words = shown(losses[Math.min(step, losses.length - 1)]);
      const cell = $(".now", row);
      if (cell.textContent !== words) cell.textContent = words;
    }
  };
  let lossStep = -1;
  const draw = () => {
    if (!player) return;
    mapTrails.on(mapStage);
    // between two steps the losses stay as they are: half of the pixels of a frame are saved
    const step = Math.floor(player.frame);
    if (step !== lossStep || !player.playing) lossTrails.on(lossStage);
    lossStep = step;
    values(!player.playing);
  };
  let waiting = false;
  const renew = (which = walkers) => {
    which.forEach(run);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      mapStage.redraw(1);
      mapStage.redraw(2);
      lossStage.redraw(); // the axes, too: another path is lower, or higher
      values();
    });
  };

  const rateOf = (slider) => 10 ** Number(slider.value);
  for (const walker of walkers) {
    const { row } = walker, slider = $("[data-rate]", row);
    $("[data-seen]", row).addEventListener("change", (event) => {
      walker.seen = event.target.checked;
      renew([]);
    });
    if (!slider) continue;
    slider.addEventListener("input", () => {
      walker.lr = rateOf(slider);
      $(".rate", row).textContent = shown(walker.lr);
      $(".how", row).textContent = "";
      renew([walker]);
    });
  }
  const moved = (x, y) => {
    const [left, right, bottom, top] = film.view;
    now.start = [Math.min(Math.max(x, left), right), Math.min(Math.max(y, bottom), top)];
    setHandle();
    renew(walkers.filter((each) => each.kind !== "recorded"));
  };
  function setHandle() {
    if (!toX) return; // before the first layout
    Object.assign($("#start").style, { left: `${toX(now.start[0])}px`, top: `${toY(now.start[1])}px` });
    $("#at").textContent = `(${now.start.map((v) => shown(v)).join(", ")})`;
  }
  const handle = $("#start");
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    event.preventDefault();
    handle.focus();
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const at = $("#map").getBoundingClientRect();
    moved(toX.back(event.clientX - at.left), toY.back(event.clientY - at.top));
  });
  handle.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    const [left, right, bottom, top] = film.view, far = event.shiftKey ? 0.05 : 0.01;
    moved(now.start[0] + by[0] * far * (right - left), now.start[1] + by[1] * far * (top - bottom));
  });
  const noise = $("#noise"), noiseOf = (place) => (Number(place) ? 10 ** (Number(place) / 10 - 3) : 0);
  const setNoise = () => {
    now.drawn = now.noise ? walking.draws(now.seed, now.steps) : null;
    $("#noise-is").textContent = shown(now.noise);
  };
  noise.addEventListener("input", () => {
    now.noise = noiseOf(noise.value);
    setNoise();
    renew();
  });
  $("#seed").addEventListener("input", (event) => {
    now.seed = Math.max(0, Math.floor(Number(event.target.value) || 0));
    setNoise();
    renew();
  });
  const asBefore = () => {
    Object.assign(now, { start: [...film.start], noise: film.noise, seed: film.seed });
    noise.value = film.noise ? Math.round(10 * (Math.log10(film.noise) + 3)) : 0;
    $("#seed").value = film.seed;
    for (const walker of walkers) {
      walker.lr = walker.given;
      const slider = $("[data-rate]", walker.row);
      if (!slider) continue;
      slider.value = Math.log10(walker.lr);
      $(".rate", walker.row).textContent = shown(walker.lr);
      $(".how", walker.row).textContent = walker.chosen ? "the best of a grid" : "";
    }
    setNoise();
    setHandle();
    renew();
  };
  $("#again").addEventListener("click", asBefore);

  // -- saving ---------------------------------------------------------------------------------------------------

  const name = saving.clean(`movie-${film.name}`);
  const table = () => [
    ["walker", "step", "x", "y", "f"],
    ...tracks.flatMap((each) => Array.from(each.losses, (f, t) => [`${each.walker.name}${each.isAverage ? ", average" : ""}`, t, each.path[2 * t], each.path[2 * t + 1], f])),
  ];
  /* What an animated picture shows: the map as it is on the page, and below it who is who, and the step. */
  const animated = () => {
    const [width, tall] = mapStage.size(), probe = document.createElement("canvas").getContext("2d"), size = 13, row = 20;
    const ink = css("--ink"), card = css("--card"), known = [];
    probe.font = `${size}px ${css("--text")}`;
    let x = 12, y = tall + row;
    for (const walker of walkers) if (walker.seen) {
      const wide = 30 + probe.measureText(walker.name).width;
      if (x + wide > width && x > 12) [x, y] = [12, y + row];
      known.push({ x, y, name: walker.name, colour: walker.colour() });
      x += wide;
    }
    const height = y + 2 * row, colours = known.map((each) => each.colour);
    const paint = (context, frame) => {
      const pen = movie.pen(context);
      player.go(frame);
      mapStage.flat(context, width, height);
      for (const each of known) {
        pen.dot(each.x + 5, each.y, 4.5, { fill: each.colour });
        pen.text(each.x + 15, each.y, each.name, { fill: ink, size, base: "middle" });
      }
      pen.text(width - 12, height - row / 2 - 2, `step ${frame}`, { fill: ink, size, align: "right", base: "middle" });
    };
    return { width, height, frames: gif.some(player.last), paint, inks: movie.shades([...new Set(colours)], card) };
  };
  const savers = {
    svg: () => saving.save(`${name}.svg`, "image/svg+xml", mapStage.svg()),
    gif: (button) => gif.atButton(button, player, name, animated()),
    png: () => mapStage.whole().toBlob((blob) => saving.save(`${name}.png`, "image/png", blob)),
    "loss-svg": () => saving.save(`${name}-loss.svg`, "image/svg+xml", lossStage.svg()),
    csv: () => saving.save(`${name}.csv`, "text/csv", saving.csv(table())),
  };
  document.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => savers[button.dataset.save](button)));

  player = movie.player($("#player"), { frames: now.steps, seconds: 10, draw,
    sharp: (wanted) => [mapStage, lossStage].forEach((stage) => stage.sharp(wanted)),
  });
  asBefore();
  window.thalwegMovie = { player, walkers, now, moved };
})();
