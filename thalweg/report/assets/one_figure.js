"use strict";
(() => {
  let figure = JSON.parse(document.getElementById("figure").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const narrow = () => window.innerWidth < 640;

  // The figure carries the colours of light pages; here those of the reader's scheme take their place.
  // A trace says which of the page's colours is its own in `meta`, where it is not that of its place.
  // A label a decade would be turned on end on a narrow screen: there, of a long axis, every second has one.
  const long = (given) => given.type === "log" && given.range && Math.abs(given.range[1] - given.range[0]) > 5;
  const axis = (given) => ({
    ...given, tickangle: 0, ...(narrow() && { nticks: 5 }), ...(narrow() && given.dtick === 1 && long(given) && { dtick: 2 }), gridcolor: css("--grid"), linecolor: css("--line"), tickfont: { color: css("--soft"), size: 12.5 },
    fixedrange: narrow(), title: { ...given.title, font: { color: css("--soft"), size: 13 } },
  });
  const inked = (parts, key) => (parts || []).map((part) => ({ ...part, [key]: { ...part[key], color: css("--ink") } }));
  const coloured = (trace, color) => ({
    ...trace, line: { ...trace.line, color }, ...(trace.marker && { marker: { ...trace.marker, color } }),
  });
  const draw = () => Plotly.react(
    document.querySelector(".chart"),
    figure.data.map((trace, i) => coloured(trace, css("--e" + (trace.meta ?? i)))),
    {
      ...figure.layout, template: undefined, showlegend: false,
      ...Object.fromEntries(Object.entries(figure.layout).filter(([key]) => /^[xy]axis/.test(key)).map(([key, given]) => [key, axis(given)])),
      shapes: inked(figure.layout.shapes, "line"), annotations: inked(figure.layout.annotations, "font"),
      font: { family: css("--text"), color: css("--ink") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: narrow() ? false : "zoom",
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink"), family: css("--text") } },
    },
    { displayModeBar: false, responsive: true, showTips: false });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  matchMedia("(max-width: 639px)").addEventListener("change", draw);
  draw();

  let { file, columns, names, record } = JSON.parse(document.getElementById("saved").textContent);
  // A script of the page may put another figure in the place of this one.
  document.addEventListener("figure", ({ detail }) => {
    ({ figure, names, record } = detail);
    draw();
  });
  const name = saving.clean(file);
  const points = () => saving.csv([
    columns,
    ...figure.data.flatMap((trace, i) => trace.x.map((x, k) => [names[i], x, trace.y[k]])),
  ]);
  const savers = {
    csv: () => saving.save(`${name}.csv`, "text/csv", points()),
    json: () => saving.save(`${name}.json`, "application/json", JSON.stringify(record, null, 2)),
  };
  document.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => savers[button.dataset.save]()));
})();
