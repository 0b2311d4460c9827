"use strict";
(() => {
  let figure = JSON.parse(document.getElementById("figure").textContent);
  let { file, columns, names, record } = JSON.parse(document.getElementById("saved").textContent);
  const element = document.querySelector(".chart");

  // A trace says which of the page's colours is its own in `meta`, where it is not that of its place.
  const draw = () => chart.draw(element, {
    ...figure, data: figure.data.map((trace, i) => ({ ...trace, colour: `var(--e${trace.meta ?? i})` })),
  });
  draw();

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
