"use strict";
(() => {
  const figure = JSON.parse(document.getElementById("range-test-figure").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const narrow = () => window.innerWidth < 640;

  // The figure carries the colours of light pages; here those of the reader's scheme take their place.
  const axis = (given) => ({
    ...given, gridcolor: css("--grid"), linecolor: css("--rule"), tickfont: { color: css("--soft"), size: 12.5 },
    fixedrange: narrow(), title: { ...given.title, font: { color: css("--soft"), size: 13 } },
  });
  const draw = () => Plotly.react(
    "range-test",
    figure.data.map((trace) => ({ ...trace, line: { ...trace.line, color: css("--e0") } })),
    {
      ...figure.layout, template: undefined,
      xaxis: axis(figure.layout.xaxis), yaxis: axis(figure.layout.yaxis),
      shapes: (figure.layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: css("--ink") } })),
      annotations: (figure.layout.annotations || []).map((label) => ({ ...label, font: { ...label.font, color: css("--ink") } })),
      font: { family: css("--text"), color: css("--ink") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: narrow() ? false : "zoom",
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--rule"), font: { color: css("--ink"), family: css("--text") } },
    },
    { displayModeBar: false, responsive: true, showTips: false });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
