"""Lab: sparse coding finds the strokes that pictures are made of."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.solvers import SparseCoding, sparse_coding


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    side: int = setting(5, "pixels on each side of a patch", low=3, high=12)
    patches: int = setting(400, "patches", low=20, high=5000)
    chance: float = setting(0.2, "chance of each bar to be in a patch", low=0.02, high=0.5)
    noise: float = setting(0.05, "standard deviation of each pixel's noise", low=0, high=1)
    penalty: float = setting(0.3, "penalty of the codes", low=0, high=10)
    rounds: int = setting(100, "rounds at most", low=1, high=500)
    seed: int = setting(0, "seed of the patches and of the first dictionary", low=0)


@dataclass(frozen=True)
class Data:
    """The bars that patches are made of, and what was found."""

    side: int
    bars: Tensor
    found: SparseCoding


def compute(chosen: Settings) -> Data:
    """Make patches of bars, each a row or a column of a patch, and code them."""
    random = torch.Generator().manual_seed(chosen.seed)
    side = chosen.side
    grid = torch.eye(side, dtype=torch.float64)
    rows = grid[:, :, None].expand(side, side, side).reshape(side, -1)
    columns = grid[:, None, :].expand(side, side, side).reshape(side, -1)
    bars = torch.cat([rows, columns])
    used = torch.rand(chosen.patches, len(bars), generator=random) < chosen.chance
    strength = 0.5 + torch.rand(chosen.patches, len(bars), generator=random, dtype=torch.float64)
    noise = torch.randn(chosen.patches, side * side, generator=random, dtype=torch.float64)
    patches = (used * strength) @ bars + chosen.noise * noise
    found = sparse_coding(
        patches,
        len(bars),
        chosen.penalty,
        code_sweeps=3,
        max_rounds=chosen.rounds,
        seed=chosen.seed,
    )
    return Data(side, bars, found)


def detect(data: Data) -> dict[str, float]:
    """Look for rises of the objective, for atoms of another length, and for the bars."""
    history, atoms = data.found.history, data.found.dictionary
    rises = [after - before for before, after in itertools.pairwise(history)]
    likeness = (torch.nn.functional.normalize(data.bars, dim=1) @ atoms.mT).abs()
    return {
        "largest rise of the objective": max(0.0, *rises),
        "furthest length of an atom from 1": float((atoms.norm(dim=1) - 1).abs().max()),
        "bars that have an atom": int((likeness.amax(1) > 0.9).sum()),
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return that the objective falls, and that all bars are found."""
    return {
        "largest rise of the objective": Theory(
            0, 1e-12 * data.found.history[0], "each update is an exact minimum; rounding remains"
        ),
        "furthest length of an atom from 1": Theory(0, 1e-12, "each is divided by its length"),
        "bars that have an atom": Theory(
            len(data.bars),
            1,
            "patches are sums of bars; the problem is not convex, so one may be missed",
        ),
    }


def draw(data: Data) -> Picture:
    """Draw the objective over rounds, and the atoms below."""
    history = data.found.history
    return Picture(
        curves=(curve("objective", range(len(history)), history, dots=True),),
        x=Axis("rounds"),
        y=Axis("objective"),
        hint="The objective after each round over codes and atoms: it never rises. Below: the atoms, the "
        "darker the larger a pixel's weight.",
        tiles=tuple(atom.reshape(data.side, data.side).tolist() for atom in data.found.dictionary),
    )


LAB = Lab(
    name="sparse-coding",
    title="Sparse coding finds the strokes that pictures are made of",
    what="Small patches are made of a few bars each, and some noise. Nobody tells the method what a "
    "bar is. It is to write each patch as a sum of few atoms from a dictionary, and to choose the "
    "dictionary, too. The atoms become the bars, and the objective falls from round to round.",
    why="The objective ½‖x − cD‖² + penalty·‖c‖₁ is not convex in codes and dictionary together, but "
    "convex in each of them alone. So blocks are minimized in turn: each coefficient by a soft "
    "threshold, then each atom among the vectors of length 1. An exact minimum over a block "
    "cannot raise the objective. Atoms need a fixed length, since otherwise large atoms and small "
    "codes would make the penalty vanish. Where the descent ends depends on where it begins.",
    source="Goodfellow, Bengio and Courville, Deep Learning, sections 8.7.2 and 13.4; Olshausen and "
    "Field (1996)",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "chance",
        "chance of each bar to be in a patch",
        (0.1, 0.15, 0.2, 0.25, 0.3),
        0.2,
        "Rarer bars leave most patches empty; where there are more, bars are no longer told apart.",
    ),
    patients="dictionary and codes are solved for block by block; no optimizer follows a gradient.",
)
"""The lab `sparse-coding`."""
