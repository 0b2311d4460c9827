"""Frames of a movie page: what one costs in processor time, and how many come late.

    python benchmarks/movies.py

Seven optimizers walk over Rosenbrock's function on a page of 390 px, at two pixels for each of CSS, in
Chromium without a GPU, with the processor slowed down 4 times. An empty page, measured in turns with it,
shows what the machine itself allows. A frame is late where more than 25 ms passed since the one before.

Rates depend on what else the machine does; milliseconds of processor time hardly do. They are measured
without slowing down: of the page's scripts, of its main thread, and of all processes of Chromium.
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


COLUMNS = ("frames a second", "late", "script", "main thread", "all processes")


def measured(browser: Any, page: Path) -> tuple[float, ...]:
    """Return frames a second and the share of late ones, slowed; then milliseconds a frame, not slowed."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, device_scale_factor=2)
    opened = context.new_page()
    opened.goto(page.as_uri())
    opened.wait_for_timeout(1000)
    whole, session = browser.new_browser_cdp_session(), context.new_cdp_session(opened)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> tuple[float, ...]:
        metrics = {
            each["name"]: float(each["value"])
            for each in session.send("Performance.getMetrics")["metrics"]
        }
        processes = whole.send("SystemInfo.getProcessInfo")["processInfo"]
        return (
            metrics["ScriptDuration"],
            metrics["TaskDuration"],
            sum(p["cpuTime"] for p in processes),
        )

    before = spent()
    free = opened.evaluate(WATCH % (1000 * SECONDS))
    each = [1000 * (b - a) / free["frames"] for a, b in zip(before, spent(), strict=True)]
    session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    slowed = opened.evaluate(WATCH % (1000 * SECONDS))
    whole.detach()
    context.close()
    return slowed["frames"] / SECONDS, slowed["late"] / slowed["frames"], *each


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
        print(f"{'page':<7} " + " ".join(f"{column:>15}" for column in COLUMNS))
        for _ in range(ROUNDS):
            for name, page in pages.items():
                rate, late, *costs = measured(browser, page)
                costs_said = " ".join(f"{cost:>12.2f} ms" for cost in costs)
                print(f"{name:<7} {rate:>15.1f} {late:>15.0%} {costs_said}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
