"use strict";
// Saves what a page holds as a file; for the scripts after it.
const saving = (() => {
  const save = (name, type, content) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000); // a browser may read it after the click
  };
  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  // A spreadsheet runs what begins like a formula; a number may begin with a sign.
  const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const harmless = (cell) => (/^[=+\-@\t\r\n]/.test(cell) && !number.test(cell) ? `'${cell}` : cell);
  const csv = (lines) => lines.map((line) => line.map((cell) => quoted(harmless(String(cell ?? "")))).join(",")).join("\n") + "\n";
  const clean = (words) => words.replace(/\W+/g, "-").replace(/^-+|-+$/g, "") || "race";

  return { save, csv, clean };
})();
