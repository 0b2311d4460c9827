"use strict";
// Sorts tables by their heads, saves numbers as files, copies code.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const result = read("race-data");
  const { figures, tables } = read("race-figures");
  const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

  const missing = 9e99; // what the page writes where there is no value: last in either direction
  const compared = (a, b, way) => {
    if (Number(a) === missing || Number(b) === missing) return (Number(a) === missing) - (Number(b) === missing);
    return way * (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
  };
  each("thead th button", (button) => button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = button.closest("table");
    const column = head.cellIndex;
    const way = head.ariaSort === "ascending" ? -1 : 1;
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    head.ariaSort = way > 0 ? "ascending" : "descending";
    const key = (row) => row.cells[column].dataset.key;
    const body = table.tBodies[0];
    [...body.rows].sort((a, b) => compared(key(a), key(b), way)).forEach((row) => body.append(row));
    // the lines between groups mean something in the order of the ranking only
    if (column === 0 && way > 0) delete table.dataset.sorted;
    else table.dataset.sorted = "otherwise";
  }));

  const { save, csv, clean } = saving;

  // A page of several tasks holds several races; a button belongs to the one around it.
  const around = (element) => {
    const part = element.closest("[data-race]");
    return part ? result.races[part.dataset.race] : result;
  };
  const file = (race) => (race.task ? `race-${clean(race.task)}` : "races");

  // What is saved is what is seen: the view that is chosen, without the entrants that are switched off.
  each("[data-csv]", (button) => button.addEventListener("click", () => {
    const name = button.dataset.csv;
    const chart = document.getElementById(`${name}-chart`);
    const { columns, rows } = chart ? figures[name][chart.dataset.view].table : tables[name];
    const off = new Set();
    if (chart) each('.chip[aria-pressed="false"]', (chip) => off.add(chip.dataset.entrant));
    const of = columns.indexOf("entrant");
    const kept = rows.filter((row) => !off.has(row[of]));
    const view = chart && chart.dataset.view ? `-${clean(chart.dataset.view)}` : "";
    const section = name.replace(/^task-\d+-/, "");
    save(`${file(around(button))}-${section}${view}.csv`, "text/csv", csv([columns, ...kept]));
  }));

  const own = ["entrant", "lr", "stage", "seed", "status", "epochs", "steps", "seconds", "gradients", "final", "stacked", "error"];
  const trials = (race) => {
    const others = [...new Set(race.trials.flatMap((trial) => Object.keys(trial.hyperparameters)))];
    return csv([[...own, ...others], ...race.trials.map((trial) =>
      [...own.map((name) => trial[name]), ...others.map((name) => trial.hyperparameters[name])])]);
  };
  const curves = (race) => csv([
    ["entrant", "lr", "stage", "seed", "epoch", "step", "seconds", "gradients", "validation_loss", race.metric.name],
    ...race.trials.flatMap(({ entrant, lr, stage, seed, curve }) => curve.steps.map((step, i) =>
      [entrant, lr, stage, seed, curve.epochs[i], step, curve.seconds[i], curve.gradients[i], curve.loss[i], curve.metric[i]])),
  ]);
  const savers = {
    json: (race) => save(`${file(race)}.json`, "application/json", JSON.stringify(race, null, 2)),
    trials: (race) => save(`${file(race)}-trials.csv`, "text/csv", trials(race)),
    curves: (race) => save(`${file(race)}-all-curves.csv`, "text/csv", curves(race)),
  };
  each("[data-save]", (button) => button.addEventListener("click", () => savers[button.dataset.save](around(button))));

  const copied = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch { // a page from a file may be refused the clipboard; the older way asks nobody
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    }
  };
  each(".copy", (button) => button.addEventListener("click", async () => {
    const done = await copied(button.closest(".code").querySelector("code"));
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  }));
})();
