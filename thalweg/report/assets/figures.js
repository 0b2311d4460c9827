"use strict";
// Draws the figures. What is chosen stands in the document itself: pressed chips, pressed buttons.
(() => {
  const { colours, figures } = JSON.parse(document.getElementById("race-figures").textContent);
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const narrow = () => window.innerWidth < 640;
  const faded = (hex, alpha) => {
    const value = parseInt(hex.slice(1), 16);
    return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${alpha})`;
  };
  const chips = all(".chip[data-entrant]");
  const hidden = () => new Set(chips.filter((chip) => chip.ariaPressed === "false").map((chip) => chip.dataset.entrant));

  // The description of a trace has no colours: they depend on the scheme, which may change while the page is open.
  const coloured = (trace, off) => {
    const { entrant, role } = trace.meta;
    const own = css(colours[entrant]);
    const copy = structuredClone(trace);
    copy.visible = !off.has(entrant);
    copy.showlegend = false;
    copy.line.color = role === "points" || role === "region" ? faded(own, 0.55) : own;
    if (role === "band") copy.fillcolor = faded(own, 0.14);
    if (copy.marker) {
      copy.marker.color = own;
      copy.marker.line.color = own;
      copy.marker.opacity = 1;
    }
    return copy;
  };

  const axis = (given) => ({
    gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false, ticks: "", automargin: true,
    tickfont: { color: css("--soft"), size: narrow() ? 11.5 : 12.5 }, fixedrange: narrow(), ...given,
    title: { ...given.title, font: { color: css("--soft"), size: narrow() ? 12 : 13 }, standoff: 10 },
  });

  const styled = (layout) => ({
    ...layout,
    xaxis: { ...axis(layout.xaxis), showgrid: false, showline: true },
    yaxis: axis(layout.yaxis),
    ...(layout.yaxis2 && { yaxis2: { ...axis(layout.yaxis2), fixedrange: true } }),
    shapes: (layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: css("--faint") } })),
    annotations: (layout.annotations || []).map((note) => ({ ...note, font: { color: css("--faint"), size: 12 } })),
    font: { family: css("--text"), color: css("--ink") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: narrow() ? 48 : 62, r: 14, t: 14, b: 48 }, hovermode: "closest", dragmode: narrow() ? false : "zoom",
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink"), family: css("--text") } },
    // on paper the browser does not tell a figure its new width
    ...(root.dataset.printing && { width: 660 }),
  });

  const draw = (chart) => {
    const views = figures[chart.dataset.figure];
    const answers = all(`.views[data-chart="${chart.dataset.figure}"] [aria-pressed="true"]`);
    const figure = views[answers.map((button) => button.dataset.answer).join(" ")];
    const off = hidden();
    chart.dataset.view = answers.map((button) => button.dataset.answer).join(" ");
    Plotly.react(chart, figure.data.map((trace) => coloured(trace, off)), styled(figure.layout),
      { displayModeBar: false, responsive: true, showTips: false });
  };
  // A figure in a hidden part of the page has no size; it is drawn when it is shown.
  const drawAll = () => all(".chart").filter((chart) => chart.offsetParent).forEach(draw);

  const showAll = document.querySelector(".chip.all");
  const chipsChanged = () => {
    showAll.hidden = hidden().size === 0;
    drawAll();
  };
  chips.forEach((chip) => {
    chip.addEventListener("click", () => {
      chip.ariaPressed = String(chip.ariaPressed === "false");
      chipsChanged();
    });
    // a second click that follows at once leaves this entrant alone on the stage
    chip.addEventListener("dblclick", () => {
      chips.forEach((other) => { other.ariaPressed = String(other === chip); });
      chipsChanged();
    });
  });
  showAll.addEventListener("click", () => {
    chips.forEach((chip) => { chip.ariaPressed = "true"; });
    chipsChanged();
  });

  all(".views button").forEach((button) => button.addEventListener("click", () => {
    const group = button.parentElement;
    all("button", group).forEach((other) => { other.ariaPressed = String(other === button); });
    draw(document.getElementById(`${group.dataset.chart}-chart`));
  }));

  // Without this script the tasks stand one after the other and the tabs are links to them.
  const tabs = all(".tabs a");
  const show = (tab) => {
    tabs.forEach((other) => {
      other.ariaCurrent = String(other === tab);
      document.querySelector(other.hash).hidden = other !== tab;
    });
    drawAll();
  };
  const named = () => tabs.find((tab) => location.hash === tab.hash || location.hash.startsWith(`${tab.hash}-`));
  tabs.forEach((tab) => tab.addEventListener("click", (event) => {
    event.preventDefault();
    history.replaceState(null, "", tab.hash);
    show(tab);
  }));
  window.addEventListener("hashchange", () => named() && show(named()));

  const printing = (on) => {
    if (on) root.dataset.printing = "yes";
    else delete root.dataset.printing;
    tabs.forEach((tab) => { document.querySelector(tab.hash).hidden = !on && tab.ariaCurrent !== "true"; });
    drawAll();
  };
  window.addEventListener("beforeprint", () => printing(true));
  window.addEventListener("afterprint", () => printing(false));

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  matchMedia("(max-width: 639px)").addEventListener("change", drawAll);
  if (tabs.length) show(named() || tabs[0]);
  else drawAll();
})();
