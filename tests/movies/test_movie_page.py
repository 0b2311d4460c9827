"""The page of a surface in a real browser, and the animated picture."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.exact import same
from tests.report.test_browser import CHROMIUM, DESK, PHONE, QUIET, Visit, check_layout, playwright
from thalweg.errors import MissingExtraError, TaskError
from thalweg.movies.drawn import pictures, rgb
from thalweg.movies.gif import write_gif
from thalweg.movies.mp4 import write_mp4
from thalweg.movies.page import SurfaceMovie, surface_movie, write_movie
from thalweg.movies.surfaces import find_surface
from thalweg.movies.walkers import Course, losses

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
STEPS = 40


@pytest.fixture(scope="module")
def movie() -> SurfaceMovie:
    return surface_movie(
        Course(find_surface("bowl"), STEPS), ["gd", "adam", "prodigy", "newton"], lr=0.05
    )


@pytest.fixture(scope="module")
def page(movie: SurfaceMovie, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(movie, tmp_path_factory.mktemp("movies") / "bowl.html")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        own = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield own
        own.close()


def saved_paths(visit: Visit, name: str) -> np.ndarray:
    rows = list(csv.reader(io.StringIO(visit.saved('[data-save="csv"]')[1])))
    assert rows[0] == ["walker", "step", "x", "y", "f"]
    return np.array([row[2:] for row in rows if row[0] == name], dtype=float)


def test_the_page_walks_plays_and_changes(movie: SurfaceMovie, page: Path, chromium: Any) -> None:
    assert page.stat().st_size < 300_000
    visit = Visit(chromium, page, DESK)
    visit.until("window.thalwegMovie !== undefined")
    for walker in movie.walkers:
        found = saved_paths(visit, walker.name)
        np.testing.assert_allclose(found[:, :2], walker.path, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found[:, 2], losses(movie.surface, walker.path), atol=1e-12)
    visit.page.evaluate("document.activeElement.blur()")  # of the button, which a space would press
    visit.page.keyboard.press("Home")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("Shift+ArrowRight")
    assert visit.page.inner_text(".at") == f"step 11 / {STEPS}"
    visit.page.keyboard.press("End")
    assert visit.page.inner_text(".at") == f"step {STEPS} / {STEPS}"
    visit.page.keyboard.press("Space")
    assert visit.page.evaluate("thalwegMovie.player.playing")
    visit.until(f"thalwegMovie.player.frame > 2 && thalwegMovie.player.frame < {STEPS}")
    visit.page.keyboard.press("Space")
    scrub = "document.querySelector('.player input')"
    visit.page.evaluate(f"{scrub}.value = 7; {scrub}.dispatchEvent(new Event('input'))")
    assert visit.page.inner_text(".at") == f"step 7 / {STEPS}"
    # another start: the rules run again, the solver's path stays
    handle = visit.page.locator("#start")
    handle.hover()  # which brings it into view
    at = handle.bounding_box()
    visit.page.mouse.move(at["x"] + 22, at["y"] + 22)
    visit.page.mouse.down()
    visit.page.mouse.move(at["x"] + 150, at["y"] + 60, steps=3)
    visit.page.mouse.up()
    x, y = visit.page.evaluate("thalwegMovie.now.start")
    assert (x, y) != (-3.0, 3.0)
    k = np.arange(STEPS + 1)
    np.testing.assert_allclose(saved_paths(visit, "gd")[:, 0], x * 0.9**k, rtol=1e-12)
    np.testing.assert_allclose(saved_paths(visit, "newton")[0, :2], [-3, 3])
    handle.press("ArrowLeft")
    assert visit.page.evaluate("thalwegMovie.now.start[0]") == pytest.approx(x - 0.08)
    # another rate
    visit.page.evaluate(
        "(s => { s.value = -2; s.dispatchEvent(new Event('input', { bubbles: true })); })"
        "(document.querySelector('[data-walker=\"0\"] [data-rate]'))"
    )
    np.testing.assert_allclose(saved_paths(visit, "gd")[:, 1], y * 0.96**k, rtol=1e-12)
    visit.page.click("#again")
    np.testing.assert_allclose(saved_paths(visit, "gd")[:, 0], -3 * 0.9**k, rtol=1e-12)
    name, drawn = visit.saved('[data-save="svg"]')
    assert name == "movie-bowl.svg"
    kinds = [each.tag.rpartition("}")[2] for each in ElementTree.fromstring(drawn).iter()]
    assert kinds.count("path") > 10
    assert kinds.count("circle") == 1 + len(movie.walkers)
    assert visit.said == []
    assert visit.asked == [page.as_uri()]
    visit.context.close()


def test_the_page_makes_an_animated_picture(movie: SurfaceMovie, page: Path, chromium: Any) -> None:
    visit = Visit(chromium, page, PHONE)
    visit.until("window.thalwegMovie !== undefined")
    name, content = visit.saved_bytes('[data-save="gif"]')
    assert name == "movie-bowl.gif"
    inks = [tuple(bytes.fromhex(each.light[1:])) for each in movie.colours()]
    seen = []
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.n_frames == STEPS + 1
        assert picture.info["duration"] == pytest.approx(1000 * 8 / STEPS, abs=10)
        for k in (0, 10, STEPS):
            picture.seek(k)
            pixels = np.asarray(picture.convert("RGB"), dtype=int)
            seen.append([int((pixels == ink).all(axis=2).sum()) for ink in inks])
        assert picture.info["duration"] >= 1000
    # all are in the legend from the start, and a path only grows
    assert min(seen[0]) > 30
    assert all(a < b for a, b in zip(seen[0], seen[-1], strict=True))
    assert seen[0][0] < seen[1][0]  # gradient descent, on its way
    # every picture to the bit: noise fills the table of codes again and again, an equal one changes nothing
    noise = np.random.default_rng(0).integers(0, 255, (120, 90), dtype=np.uint8)
    other = noise.copy()
    other[40:60, 7:30] = 3
    written = visit.page.evaluate(
        """([width, height, frames]) => {
          const palette = Array.from({ length: 255 }, (_, k) => [k, 255 - k, (7 * k) % 256]);
          const made = gif.writer(width, height, palette);
          frames.forEach((each) => made.add(Uint8Array.from(each), 4));
          return [...made.bytes()];
        }""",
        [90, 120, [each.reshape(-1).tolist() for each in (noise, other, other, noise)]],
    )
    palette = np.array([(k, 255 - k, 7 * k % 256) for k in range(255)])
    with Image.open(io.BytesIO(bytes(written))) as picture:
        for k, wanted in enumerate((noise, other, other, noise)):
            picture.seek(min(k, picture.n_frames - 1))
            seen_back = torch.from_numpy(np.array(picture.convert("RGB"), dtype=int))
            same(seen_back, torch.from_numpy(palette[wanted]), because="a GIF keeps every pixel")
    assert visit.said == []
    visit.context.close()


@pytest.mark.full
def test_the_page_on_a_phone_and_in_the_dark(page: Path, chromium: Any) -> None:
    phone = Visit(chromium, page, PHONE)
    check_layout(phone)
    picture = "document.querySelector('#map canvas').toDataURL()"
    light = phone.page.evaluate(picture)
    phone.page.emulate_media(color_scheme="dark")
    phone.until("getComputedStyle(document.body).backgroundColor === 'rgb(17, 19, 22)'")
    phone.until(f"{picture} !== {light!r}")  # drawn again a frame later
    dark = phone.page.evaluate(picture)
    phone.page.emulate_media(color_scheme="light")
    phone.until(f"{picture} !== {dark!r}")
    assert phone.said == []
    phone.context.close()


def test_an_animated_picture_shows_the_paths_grow(movie: SurfaceMovie, tmp_path: Path) -> None:
    file = write_gif(movie, tmp_path / "bowl.gif", width=200, frames=5)
    coloured, seen = [], set()
    with Image.open(file) as picture:
        assert (picture.n_frames, picture.width) == (5, 200)
        for k in range(5):
            picture.seek(k)
            pixels = np.asarray(picture.convert("RGB"), dtype=int)[: picture.width]
            seen.add(pixels.tobytes())
            coloured.append(int((np.ptp(pixels, axis=2) > 60).sum()))
        assert picture.info["duration"] == 3000
    assert coloured[0] < min(coloured[1:])
    assert len(seen) == 5
    with pytest.raises(TaskError, match=r"bowl.gif exists"):
        write_gif(movie, file)
    with pytest.raises(TaskError, match=r"ends in .gif; got bowl.mp4"):
        write_gif(movie, "bowl.mp4")


def test_an_average_has_a_path_of_its_own(tmp_path: Path, chromium: Any) -> None:
    made = surface_movie(Course(find_surface("bowl"), 12), ["gd", "schedulefreesgd"], lr=0.1)
    average = made.walkers[1].average
    assert average is not None
    page = write_movie(made, tmp_path / "average.html")
    visit = Visit(chromium, page, DESK)
    visit.until("window.thalwegMovie !== undefined")
    found = saved_paths(visit, "schedulefreesgd, average")
    np.testing.assert_allclose(found[:, :2], average, rtol=1e-10)
    np.testing.assert_allclose(found[:, 2], losses(made.surface, average), atol=1e-12)
    visit.page.keyboard.press("End")  # between two steps there is one piece more
    drawn = ElementTree.fromstring(visit.saved('[data-save="svg"]')[1])
    dashes = [each.get("stroke-dasharray") for each in drawn.iter()]
    assert dashes.count("1.5,4") == 1
    assert "Dotted paths" in visit.page.inner_text("main")
    assert visit.said == []
    visit.context.close()


def test_a_film_shows_the_paths_grow(movie: SurfaceMovie, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    file = write_mp4(movie, tmp_path / "bowl.mp4", width=201, seconds=1)
    with av.open(str(file)) as film:
        shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    assert len(shown) == 60
    assert shown[0].shape[1] == 202
    coloured = [int((np.ptp(each[:200], axis=2) > 60).sum()) for each in shown]
    assert coloured[0] < coloured[3] < coloured[29]
    assert coloured[59] == pytest.approx(coloured[29], rel=0.1)


def test_a_film_names_what_is_missing(
    movie: SurfaceMovie, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"'av', .*pip install \"thalweg\[video\]\""):
        write_mp4(movie, tmp_path / "bowl.mp4")
    assert not list(tmp_path.iterdir())


def test_where_a_walker_stands_is_seen_though_another_passed_there(movie: SurfaceMovie) -> None:
    still = dataclasses.replace(movie.walkers[0], path=np.array([[1.0, 1.0]] * 3))
    passing = dataclasses.replace(
        movie.walkers[1], path=np.array([[0.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    )
    both = dataclasses.replace(movie, walkers=[still, passing])
    (picture,) = pictures(both, 200, [2])
    pixels, ink = np.asarray(picture), rgb(both.colours()[0].light)
    rows, columns = np.nonzero((pixels == ink).all(axis=2)[:-44])  # the legend is below
    middle = pixels[round(rows.mean()), round(columns.mean())]
    assert tuple(middle) == ink
