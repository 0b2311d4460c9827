"""Write the files of the packages that the authors of a method published, and of two other ports.

PYTHONPATH=tests python -m golden.make_authors

Needs prodigyopt, dadaptation, schedulefree, dog-optimizer, adabelief-pytorch, adabound, torch-adopt,
lion-pytorch and adan-pytorch. The last two are ports by others.
"""

from __future__ import annotations

from .record import Entry, write

COMMAND = "PYTHONPATH=tests python -m golden.make_authors"
CHANGING = ("changing",)


def prodigy() -> list[Entry]:
    from prodigyopt import Prodigy

    later = "ε times the d after the step, in the paper the d before it"
    return [
        Entry("Prodigy", Prodigy, 1.0, {"d0": 1e-2, "eps": 1e-30}, later),
        Entry("Prodigy eps", Prodigy, 1.0, {"d0": 1e-2, "eps": 1e-3}, later, CHANGING),
        Entry(
            "Prodigy decay",
            Prodigy,
            1.0,
            {"d0": 1e-2, "eps": 1e-30, "weight_decay": 0.1},
            "decay times d·lr, before the step",
            CHANGING,
        ),
        Entry(
            "Prodigy d_coef",
            Prodigy,
            1.0,
            {"d0": 1e-2, "eps": 1e-30, "d_coef": 0.5, "betas": [0.8, 0.9]},
            "",
            CHANGING,
        ),
        Entry(
            "Prodigy growth_rate",
            Prodigy,
            1.0,
            {"d0": 1e-2, "eps": 1e-30, "growth_rate": 1.1},
            "while d is d0 it grows to its estimate at once, and later towards the largest estimate",
            CHANGING,
        ),
        Entry(
            "Prodigy corrected",
            Prodigy,
            1.0,
            {"d0": 1e-2, "eps": 1e-30, "use_bias_correction": True},
            "with Adam's bias corrections, which are off by default",
            CHANGING,
        ),
    ]


def d_adaptation() -> list[Entry]:
    from dadaptation import DAdaptAdam

    older = "the inner product is weighted with the v before the step"
    return [
        Entry("DAdaptAdam", DAdaptAdam, 1.0, {"d0": 1e-2}, older),
        Entry(
            "DAdaptAdam growth_rate",
            DAdaptAdam,
            1.0,
            {"d0": 1e-2, "growth_rate": 1.1, "betas": [0.8, 0.9]},
            f"{older}, which does not show here: d grows as fast as it may",
            CHANGING,
        ),
        Entry(
            "DAdaptAdam decay",
            DAdaptAdam,
            1.0,
            {"d0": 1e-2, "weight_decay": 0.1, "decouple": True},
            "decay times d·lr, before the step",
            CHANGING,
        ),
    ]


def schedule_free() -> list[Entry]:
    from schedulefree import AdamWScheduleFree, SGDScheduleFree

    return [
        Entry("SGDScheduleFree", SGDScheduleFree, 0.2),
        Entry(
            "SGDScheduleFree weighted",
            SGDScheduleFree,
            0.2,
            {"momentum": 0.8, "r": 1.0, "weight_lr_power": 1.5, "weight_decay": 0.1},
            "decay in the gradient, at y",
            CHANGING,
        ),
        Entry(
            "AdamWScheduleFree",
            AdamWScheduleFree,
            0.05,
            {"eps": 1e-3, "weight_decay": 0.1},
            "decay in the update, at y",
        ),
    ]


def distance_over_gradients() -> list[Entry]:
    from dog import DoG, LDoG

    return [
        Entry("DoG", DoG, 1.0, {"reps_rel": 1e-2}),
        Entry("LDoG", LDoG, 1.0, {"reps_rel": 1e-2}),
    ]


def adabelief() -> list[Entry]:
    from adabelief_pytorch import AdaBelief

    plain = {"eps": 1e-4, "rectify": False, "print_change_log": False}
    return [
        Entry("AdaBelief", AdaBelief, 0.05, plain),
        Entry(
            "AdaBelief rectified",
            AdaBelief,
            0.05,
            {"eps": 1e-4, "print_change_log": False},
            "by default rectified as RAdam",
            CHANGING,
        ),
    ]


def adabound() -> list[Entry]:
    from adabound import AdaBound

    return [
        Entry(
            "AdaBound",
            AdaBound,
            0.05,
            {"final_lr": 0.1, "gamma": 0.05},
            "without the paper's 1/√t",
        )
    ]


def adopt() -> list[Entry]:
    from adopt import ADOPT

    return [
        Entry("ADOPT", ADOPT, 0.05),
        Entry(
            "ADOPT l2",
            ADOPT,
            0.05,
            {"betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1},
            "decay in the gradient",
            CHANGING,
        ),
        Entry(
            "ADOPT decoupled",
            ADOPT,
            0.05,
            {"betas": [0.9, 0.99], "weight_decay": 0.1, "decouple": True},
            "decay times lr, before the step; none in the first",
            CHANGING,
        ),
    ]


def lion() -> list[Entry]:
    from lion_pytorch import Lion
    from lion_pytorch.cautious_lion import Lion as CautiousLion

    return [
        Entry("Lion", Lion, 0.03, {"weight_decay": 0.1}, "decay times lr, before the step"),
        Entry(
            "Lion cautious decay",
            CautiousLion,
            0.03125,
            {"cautious_factor": 1.0, "cautious_wd": True, "weight_decay": 0.25},
            "decay where the update and the parameter have the same sign; the factor in float32",
            ("constant",),
        ),
    ]


def adan() -> list[Entry]:
    from adan_pytorch import Adan

    return [
        Entry(
            "Adan",
            Adan,
            0.05,
            {},
            "the first gradient enters no mean, though the bias corrections count it",
            CHANGING,
        )
    ]


def main() -> None:
    write("prodigyopt", COMMAND, prodigy())
    write("dadaptation", COMMAND, d_adaptation())
    write("schedulefree", COMMAND, schedule_free())
    write("dog-optimizer", COMMAND, distance_over_gradients())
    write("adabelief-pytorch", COMMAND, adabelief())
    write("adabound", COMMAND, adabound())
    write("torch-adopt", COMMAND, adopt())
    write("lion-pytorch", COMMAND, lion())
    write("adan-pytorch", COMMAND, adan())


if __name__ == "__main__":
    main()
