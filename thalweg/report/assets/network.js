"use strict";
(() => {
  const { record, shades, measures } = JSON.parse(document.getElementById("network").textContent);
  const nodes = [...document.querySelectorAll(".network .node")].sort((a, b) => a.dataset.node - b.dataset.node);
  const said = document.getElementById("said");
  let current = -1;

  const colour = (key) => {
    nodes.forEach((node, k) => {
      const shade = shades[key] && shades[key][k];
      node.querySelector(".heat").setAttribute("fill-opacity", shade ? 0.06 + 0.44 * shade.dark : 0);
      const line = node.querySelector(".m"), words = shade ? shade.words : "";
      if (line) { line.textContent = words; line.parentNode.setAttribute("transform", `translate(0 ${words ? 0 : 8.5})`); }
    });
    document.querySelectorAll("[data-measure]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.measure === key)));
  };
  document.querySelectorAll("[data-measure]").forEach((button) => button.addEventListener("click", () => colour(button.dataset.measure)));

  // What is known of the node that was chosen, below the picture.
  const show = (place, focus) => {
    if (current >= 0) { nodes[current].removeAttribute("aria-current"); nodes[current].setAttribute("tabindex", "-1"); }
    current = place;
    const node = nodes[place], known = record.nodes[place];
    node.setAttribute("aria-current", "true");
    node.setAttribute("tabindex", "0");
    if (focus) { node.focus({ preventScroll: true }); node.scrollIntoView({ block: "nearest", inline: "nearest" }); }
    const rows = [
      [known.name || known.label, known.label],
      ["within", known.within || "the model"],
      ["results", known.shapes.map((shape) => shape.join(" × ")).join(", ") || "unknown"],
      ...Object.keys(shades).map((key) => [measures[key], shades[key][place] ? shades[key][place].words : "none"]),
      ...known.verdicts.map((each) => [each.kind, `${each.symptom.replaceAll("_", " ")} in ${each.where} (${each.status}). ${each.words}`]),
      ...(known.repeats > 1 ? [["stands for", known.names.length ? known.names.join(", ") : known.repeats + " calls"]] : []),
    ];
    said.replaceChildren(...rows.flatMap(([name, words]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name; dd.textContent = words;
      return [dt, dd];
    }));
  };
  nodes.forEach((node, place) => {
    node.setAttribute("tabindex", place ? "-1" : "0");
    node.addEventListener("click", () => show(place, true));
    node.addEventListener("focus", () => { if (current !== place) show(place, false); });
    node.addEventListener("keydown", (event) => {
      const to = { ArrowDown: place + 1, ArrowRight: place + 1, ArrowUp: place - 1, ArrowLeft: place - 1, Home: 0, End: nodes.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(Math.min(Math.max(to, 0), nodes.length - 1), true);
    });
  });
  // A picture wider than the window is seen from its middle.
  const view = document.querySelector(".scroll");
  view.scrollLeft = (view.scrollWidth - view.clientWidth) / 2;
  colour(Object.keys(shades)[0]);

  const name = saving.clean("graph-" + record.task);
  const table = () => saving.csv([
    ["name", "kind", "within", "result", "repeats", "parameters", "flops", "inputs"],
    ...record.nodes.map((n) => [n.name, n.label, n.within, n.shapes.map((s) => s.join("x")).join(" "), n.repeats, n.parameters, n.flops, n.inputs.join(" ")]),
  ]);
  const picture = () => document.getElementById("alone").textContent;
  const savers = {
    svg: () => saving.save(`${name}.svg`, "image/svg+xml", JSON.parse(picture())),
    csv: () => saving.save(`${name}.csv`, "text/csv", table()),
    json: () => saving.save(`${name}.json`, "application/json", JSON.stringify(record, null, 2)),
  };
  document.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => savers[button.dataset.save]()));
})();
