"use strict";
(() => {
  const { record, names } = JSON.parse(document.getElementById("landscape").textContent);
  const slider = document.getElementById("share"), said = document.getElementById("said");
  const nows = [...document.querySelectorAll(".plane .now")];
  // Where each run is drawn comes from the picture: its own points, in its order.
  const places = nows.map((now) => now.parentNode.querySelector("path:not(.halo)").getAttribute("d").slice(1).split("L").map((pair) => pair.split(" ").map(Number)));
  const number = (value) => (value === null ? "not finite" : String(Number(value.toPrecision(4))));
  const longest = Math.max(...record.paths.map((path) => path.steps.at(-1)));

  // The last point of a path whose step is not beyond the share of the longest run.
  const at = (path, step) => { let k = 0; while (k + 1 < path.steps.length && path.steps[k + 1] <= step) k += 1; return k; };
  const show = () => {
    const step = (slider.value / slider.max) * longest;
    said.replaceChildren(...record.paths.flatMap((path, i) => {
      const k = at(path, step);
      nows[i].setAttribute("cx", places[i][k][0]);
      nows[i].setAttribute("cy", places[i][k][1]);
      const dt = document.createElement("dt"), dd = document.createElement("dd"), name = document.createElement("span");
      name.className = "name"; name.style.setProperty("--c", `var(--e${i})`); name.textContent = names[i];
      dt.append(name);
      const far = path.moved ? ` (${Math.round((100 * path.off[k]) / path.moved)} % of the distance from its start to its end)` : "";
      dd.textContent = `step ${path.steps[k]}: loss ${number(path.loss[k])}, at its place on the plane ${number(path.loss_on_plane[k])}; ${number(path.off[k])} off the plane${far}`;
      return [dt, dd];
    }));
  };
  slider.addEventListener("input", show);
  show();

  const file = saving.clean("landscape-" + record.task);
  const rows = () => saving.csv([["x", "y", "loss"], ...record.ys.flatMap((y, i) => record.xs.map((x, j) => [x, y, record.loss[i][j]]))]);
  // The picture as a file has the colours of the page at that moment.
  const picture = () => {
    const copy = document.querySelector(".plane").cloneNode(true), style = getComputedStyle(document.documentElement);
    const own = ["--card", "--ink", "--soft", "--line", "--text", ...names.map((_, i) => `--e${i}`)];
    copy.setAttribute("style", own.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";") + ";background:var(--card)");
    copy.querySelectorAll("image").forEach((image, i) => { if (getComputedStyle(document.querySelectorAll(".plane image")[i]).display === "none") image.remove(); });
    return new XMLSerializer().serializeToString(copy);
  };
  const savers = {
    svg: () => saving.save(`${file}.svg`, "image/svg+xml", picture()),
    csv: () => saving.save(`${file}.csv`, "text/csv", rows()),
    json: () => saving.save(`${file}.json`, "application/json", JSON.stringify(record, null, 2)),
  };
  document.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => savers[button.dataset.save]()));
})();
