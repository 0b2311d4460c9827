"use strict";
// Draws the figures. What is chosen stands in the document itself: pressed chips, pressed buttons.
(() => {
  const { colours, figures } = JSON.parse(document.getElementById("race-figures").textContent);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const chips = all(".chip[data-entrant]");
  const hidden = () => new Set(chips.filter((chip) => chip.ariaPressed === "false").map((chip) => chip.dataset.entrant));

  const draw = (element) => {
    const views = figures[element.dataset.figure];
    const answers = all(`.views[data-chart="${element.dataset.figure}"] [aria-pressed="true"]`);
    const view = answers.map((button) => button.dataset.answer).join(" ");
    const off = hidden();
    if (element.dataset.view !== view) delete element.zoom;
    element.dataset.view = view;
    chart.draw(element, {
      layout: views[view].layout,
      data: views[view].data.map((trace) => ({
        ...trace, hidden: off.has(trace.meta.entrant), colour: `var(${colours[trace.meta.entrant]})`,
        faint: trace.meta.role === "points" || trace.meta.role === "region",
      })),
    });
  };
  // A figure in a hidden part of the page has no size; it is drawn when it is shown.
  const drawAll = () => all(".chart").filter((element) => element.offsetParent).forEach(draw);

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
    tabs.forEach((tab) => { document.querySelector(tab.hash).hidden = !on && tab.ariaCurrent !== "true"; });
    drawAll();
  };
  window.addEventListener("beforeprint", () => printing(true));
  window.addEventListener("afterprint", () => printing(false));

  if (tabs.length) show(named() || tabs[0]);
  else drawAll();
})();
