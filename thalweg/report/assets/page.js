"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const result = read("race-data");
  const figures = read("race-figures");
  const hidden = new Set();
  const view = { curves: "steps", sensitivity: result.target ? "target" : "final" };
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const order = result.entrants.map((entrant) => entrant.name);
  const colour = (name) => css("--e" + order.indexOf(name));
  const faded = (hex, alpha) => {
    const value = parseInt(hex.slice(1), 16);
    return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${alpha})`;
  };

  // The description of a trace has no colours: they depend on the scheme, which may change while the page is open.
  const coloured = (trace) => {
    const own = colour(trace.meta.entrant);
    const copy = structuredClone(trace);
    copy.visible = !hidden.has(trace.meta.entrant);
    copy.showlegend = false;
    if (trace.meta.role === "band") copy.fillcolor = faded(own, 0.14);
    copy.line.color = own;
    if (copy.marker) {
      copy.marker.color = own;
      copy.marker.line.color = own;
      copy.line.color = faded(own, 0.55);
      copy.marker.opacity = 1;
    }
    return copy;
  };

  const axis = (given) => ({
    gridcolor: css("--grid"), linecolor: css("--rule"), zeroline: false, ticks: "", automargin: true,
    tickfont: { color: css("--soft"), size: 12.5 }, fixedrange: narrow(), ...given,
    title: { ...given.title, font: { color: css("--soft"), size: 13 }, standoff: 10 },
  });

  const narrow = () => window.innerWidth < 640;

  const styled = (layout) => ({
    ...layout,
    xaxis: { ...axis(layout.xaxis), showgrid: false, showline: true },
    yaxis: axis(layout.yaxis),
    shapes: (layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: css("--faint") } })),
    annotations: (layout.annotations || []).map((note) => ({ ...note, font: { color: css("--faint"), size: 12 } })),
    font: { family: css("--text"), color: css("--ink") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 62, r: 14, t: 14, b: 48 }, hovermode: "closest", dragmode: narrow() ? false : "zoom",
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--rule"), font: { color: css("--ink"), family: css("--text") } },
  });

  const draw = (chart) => {
    const figure = figures[chart][view[chart]];
    const config = { displayModeBar: false, responsive: true, showTips: false };
    Plotly.react(chart, figure.data.map(coloured), styled(figure.layout), config);
  };
  const drawAll = () => Object.keys(figures).forEach(draw);

  each(".chip", (chip) => chip.addEventListener("click", () => {
    const name = chip.dataset.entrant;
    if (!hidden.delete(name)) hidden.add(name);
    chip.setAttribute("aria-pressed", String(!hidden.has(name)));
    drawAll();
  }));

  each(".views button", (button) => button.addEventListener("click", () => {
    const { chart } = button.parentElement.dataset;
    view[chart] = button.dataset.view;
    each(`.views[data-chart="${chart}"] button`, (other) =>
      other.setAttribute("aria-pressed", String(other === button)));
    draw(chart);
  }));

  each("th button", (button) => button.addEventListener("click", () => {
    const head = button.closest("th");
    const column = head.cellIndex;
    const up = head.getAttribute("aria-sort") !== "ascending";
    each("th", (other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = document.querySelector("tbody");
    const key = (row) => row.cells[column].dataset.key;
    const compare = (a, b) => isNaN(key(a)) || isNaN(key(b)) ? key(a).localeCompare(key(b)) : key(a) - key(b);
    [...body.rows].sort((a, b) => (up ? 1 : -1) * compare(a, b)).forEach((row) => body.append(row));
  }));

  const save = (name, type, content) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const table = (lines) => lines.map((line) => line.map((cell) => quoted(String(cell ?? ""))).join(",")).join("\n") + "\n";
  const columns = ["entrant", "lr", "seed", "status", "reached_steps", "reached_seconds", "final", "steps", "seconds", "error"];
  const file = "race-" + result.task.replace(/[^\w-]+/g, "-");
  const savers = {
    json: () => save(file + ".json", "application/json", JSON.stringify(result, null, 2)),
    trials: () => save(file + "-trials.csv", "text/csv",
      table([columns, ...result.trials.map((trial) => columns.map((column) => trial[column]))])),
    curves: () => save(file + "-curves.csv", "text/csv", table([
      ["entrant", "lr", "seed", "epoch", "step", "seconds", "validation_loss", result.metric.name],
      ...result.trials.flatMap(({ entrant, lr, seed, curve }) => curve.steps.map((step, i) =>
        [entrant, lr, seed, curve.epochs[i], step, curve.seconds[i], curve.loss[i], curve.metric[i]])),
    ])),
  };
  each(".save button", (button) => button.addEventListener("click", savers[button.dataset.save]));

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
})();
