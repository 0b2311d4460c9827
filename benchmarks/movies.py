"""Frames of a movie page: how long the main thread works for one, and how many come late.

    python benchmarks/movies.py

Seven optimizers walk over Rosenbrock's function on a page of 390 px, at two pixels for each of CSS, in
Chromium without a GPU, with the processor slowed down 4 times. An empty page, measured in turns with it,
shows what the machine itself allows. A frame is late where more than 25 ms passed since the one before.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from thalweg.movies.page import surface_movie, write_movie
from thalweg.movies.surfaces import find_surface
from thalweg.movies.walkers import Course

ROUNDS, SECONDS, SLOWER = 3, 4, 4
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
WATCH = """() => new Promise((done) => {
  const gaps = [], player = window.thalwegMovie && thalwegMovie.player;
  let before = performance.now();
  const first = before;
  if (player) { player.pause(); player.go(0); player.start(); }
  const frame = (now) => {
    gaps.push(now - before);
    before = now;
    if (now - first < %d) requestAnimationFrame(frame);
    else done({ frames: gaps.length, late: gaps.filter((gap) => gap > 25).length });
  };
  requestAnimationFrame(frame);
})"""


def measured(browser: Any, page: Path) -> tuple[int, int, float]:
    """Return the frames, how many came late, and milliseconds of the main thread a frame, unthrottled."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, device_scale_factor=2)
    opened = context.new_page()
    opened.goto(page.as_uri())
    opened.wait_for_timeout(1000)
    session = context.new_cdp_session(opened)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

    before = busy()
    free = opened.evaluate(WATCH % (1000 * SECONDS))
    spent = 1000 * (busy() - before) / free["frames"]
    session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    slowed = opened.evaluate(WATCH % (1000 * SECONDS))
    context.close()
    return slowed["frames"], slowed["late"], spent


def main() -> None:
    """Measure the movie and an empty page in turns, and print a line for each turn."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium on this machine")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        pages = {"empty": Path(folder) / "empty.html", "movie": Path(folder) / "movie.html"}
        pages["empty"].write_text("<!doctype html><body></body>")
        write_movie(surface_movie(Course(find_surface("rosenbrock"))), pages["movie"])
        browser = started.chromium.launch(executable_path=chromium, args=list(QUIET))
        print(f"{'page':<7} {'frames a second':>15} {'late':>6} {'ms a frame':>11}")
        for _ in range(ROUNDS):
            for name, page in pages.items():
                frames, late, spent = measured(browser, page)
                print(f"{name:<7} {frames / SECONDS:>15.1f} {late / frames:>6.0%} {spent:>11.2f}")
        browser.close()


if __name__ == "__main__":
    main()
