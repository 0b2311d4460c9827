"""Paths over surfaces: closed forms, and the page's own beside Python's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.engine.javascript.node import needs_javascript, run
from tests.exact import same
from thalweg.engine.javascript.operations import library
from thalweg.errors import TaskError
from thalweg.movies.page import DEFAULT_WALKERS, own, surface_movie
from thalweg.movies.surface import Surface
from thalweg.movies.surfaces import find_surface
from thalweg.movies.walkers import RATES, Course, Walker, find_walker

PULLING = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)


def pulling(x: Tensor, y: Tensor) -> Tensor:
    """½xᵀ[[1, ½], [½, 1]]x − (1.5, 1.5)·x."""
    p = torch.stack([x, y])
    return 0.5 * p @ (PULLING @ p) - 1.5 * p.sum()


def paged(course: Course, walkers: list[Walker], folder: Path, which: str = "path") -> np.ndarray:
    """Return the paths (or averages) that the page's script walks, (walkers, steps + 1, 2)."""
    rules = ", ".join(each.printed.text if each.printed else "null" for each in walkers)
    script = f"""{library()}{own("walk.js")}
    const surface = {course.surface.javascript()}, rules = [{rules}];
    const drawn = walking.draws(given.seed, given.steps);
    return given.walkers.map((each, i) => Array.from(
      walking.walk(surface, {{ ...each, rule: rules[i] }}, {{ ...given, drawn }}).{which}));"""
    given: dict[str, Any] = {
        "start": course.surface.start,
        "steps": course.steps,
        "noise": course.noise,
        "seed": course.seed,
        "walkers": [
            {
                "kind": each.kind,
                "lr": each.lr,
                "noisy": each.noisy,
                "hyperparameters": each.printed.hyperparameters if each.printed else {},
            }
            for each in walkers
        ],
    }
    found = np.array(run(script, folder, given), dtype=float)
    return found.reshape(len(walkers), course.steps + 1, 2)


@needs_javascript
def test_gradient_descent_on_a_bowl_has_its_closed_form(tmp_path: Path) -> None:
    course = Course(find_surface("bowl"), steps=40)
    k = np.arange(41)
    expected = np.stack([-3 * 0.9**k, 3 * 0.8**k], axis=1)
    walker = find_walker("gd", course, lr=0.05)
    assert course.surface.start == (-3.0, 3.0)
    # 40 products, each rounded once
    np.testing.assert_allclose(walker.path, expected, rtol=1e-13)
    np.testing.assert_allclose(paged(course, [walker], tmp_path)[0], expected, rtol=1e-13)


@needs_javascript
def test_averages_are_where_python_evaluates(tmp_path: Path) -> None:
    course = Course(find_surface("bowl"), steps=25, noise=0.5)
    walkers = [
        find_walker(name, course, lr=0.1) for name in ("schedulefreesgd", "schedulefreeadamw")
    ]
    found = paged(course, walkers, tmp_path, "average")
    for walker, average in zip(walkers, found, strict=True):
        assert walker.average is not None
        np.testing.assert_allclose(average, walker.average, rtol=1e-11, atol=1e-12)
        assert np.abs(walker.average - walker.path)[2:].max() > 1e-3
    # plain weights: x is the mean of the points z of gradient descent, of which y = (1 − β)·z + β·x is seen
    z, x = np.array([-3.0, 3.0]), np.array([-3.0, 3.0])
    calm = find_walker("schedulefreesgd", Course(find_surface("bowl"), steps=10), lr=0.1)
    for t in range(1, 11):
        y = 0.1 * z + 0.9 * x
        z = z - 0.1 * np.array([2.0, 4.0]) * y
        x = x + (z - x) / t
        np.testing.assert_allclose(calm.average[t], x, rtol=1e-12)  # type: ignore[index]
    assert find_walker("adam", course, lr=0.1).average is None


@needs_javascript
def test_coordinate_descent_on_a_quadratic_has_its_closed_form(tmp_path: Path) -> None:
    surface = Surface("pulling", pulling, (0.0, 0.0), (-1.0, 3.0, -1.0, 3.0))
    course = Course(surface, steps=6)
    expected = [
        [0.0, 0.0],
        [1.5, 0.0],
        [1.5, 0.75],
        [1.125, 0.75],
        [1.125, 0.9375],
        [1.03125, 0.9375],
    ]
    walker = find_walker("coordinate", course)
    # a step along a line is as exact as the slope at its end is small
    np.testing.assert_allclose(walker.path[:6], expected, rtol=1e-9)
    np.testing.assert_allclose(paged(course, [walker], tmp_path)[0][:6], expected, rtol=1e-12)


@needs_javascript
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_page_walks_where_python_walks(noise: float, tmp_path: Path) -> None:
    course = Course(find_surface("himmelblau"), steps=25, noise=noise, seed=3)
    names = [*DEFAULT_WALKERS, "lion", "adamw", "prodigy", "coordinate"]
    movie = surface_movie(course, names, lr=0.01)
    found = paged(course, list(movie.walkers), tmp_path)
    for walker, path in zip(movie.walkers, found, strict=True):
        # coordinate descent ends its searches elsewhere: as exact as the slope there is small
        within = 1e-7 if walker.kind == "coordinate" else 1e-10
        np.testing.assert_allclose(path, walker.path, rtol=within, atol=within, err_msg=walker.name)
    assert np.abs(found[0][-1] - found[0][0]).max() > 0.1


def test_noise_is_seeded_and_leaves_gradient_descent_alone() -> None:
    bowl = find_surface("bowl")
    still, loud, other = (
        Course(bowl, 5, noise, seed) for noise, seed in ((0.0, 0), (1.0, 0), (1.0, 1))
    )
    paths = {
        (name, k): find_walker(name, course, lr=0.05).path
        for name in ("gd", "sgd")
        for k, course in enumerate((still, loud, other))
    }
    same(paths["gd", 1], paths["gd", 0], because="gradient descent sees no noise: the same steps")
    same(paths["sgd", 0], paths["gd", 0], because="without noise both are the same rule")
    assert np.abs(paths["sgd", 1][1:] - paths["sgd", 2][1:]).min() > 0
    first = paths["sgd", 1][1] - paths["sgd", 0][1]
    np.testing.assert_allclose(first, -0.05 * loud.draws()[0], rtol=1e-12)


def test_a_rate_that_is_not_given_is_the_best_that_stays_in_view() -> None:
    course = Course(find_surface("bowl"), steps=30)
    walker = find_walker("gd", course)
    assert walker.chosen
    assert walker.lr in {*RATES, 0.001}
    ends = {rate: find_walker("gd", course, rate).path for rate in RATES}
    # x(1 − 2lr)ᵏ and y(1 − 4lr)ᵏ shrink best where the slower of both shrinks fastest
    assert walker.lr == min(
        (r for r in RATES if r < 0.5), key=lambda r: max(abs(1 - 2 * r), abs(1 - 4 * r))
    )
    assert not np.isfinite(ends[10.0]).all() or np.abs(ends[10.0]).max() > 1e3


def test_solvers_are_recorded() -> None:
    course = Course(find_surface("rosenbrock"), steps=60)
    for name in ("newton", "cg", "lbfgs"):
        walker = find_walker(name, course)
        assert (walker.kind, walker.printed, walker.lr) == ("recorded", None, None)
        np.testing.assert_allclose(walker.path[-1], [1, 1], atol=1e-6)
        assert tuple(walker.path[0]) == course.surface.start
        assert walker.said.startswith("converged after")


def test_a_start_without_a_value() -> None:
    logarithm = Surface("log", lambda x, y: x.log() + y, (-1.0, 0.0), (-2.0, 2.0, -2.0, 2.0))
    with pytest.raises(TaskError, match="log has no finite value and gradient at its start"):
        surface_movie(Course(logarithm, 3), ["gd"])


def test_who_does_not_walk() -> None:
    course = Course(find_surface("bowl"), steps=2)
    with pytest.raises(TaskError, match=r"No optimizer and no solver is called 'adm'.*'adam'"):
        find_walker("adm", course)
    with pytest.raises(TaskError, match="kfac"):
        find_walker("kfac", course)
    with pytest.raises(TaskError, match=r"cannot step soap: .*whole matrices"):
        find_walker("soap", course)
    with pytest.raises(TaskError, match="muon cannot step a point of a surface"):
        find_walker("muon", course)
