"use strict";
// A slider that moves between results, which were computed ahead: one for each of its stops.
(() => {
  const stops = JSON.parse(document.getElementById("stops").textContent);
  const slider = document.getElementById("slider"), shown = document.getElementById("slider-value");
  const blocks = [...document.querySelectorAll("[data-stop]")];
  const move = () => {
    const at = Number(slider.value);
    shown.textContent = stops[at].value;
    slider.setAttribute("aria-valuetext", stops[at].value);
    blocks.forEach((block) => { block.hidden = Number(block.dataset.stop) !== at; });
    document.dispatchEvent(new CustomEvent("figure", { detail: stops[at] }));
  };
  slider.disabled = false; // without JavaScript there is nothing that it could move
  slider.addEventListener("input", move);
  move(); // a browser may keep where it stood when the page is loaded again
})();
