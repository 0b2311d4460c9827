"""Functions 1 to 19 at their standard starts, with the minima in the paper and one other.

Where the paper has no minimizer, the one here was found by Newton steps in float64.
"""

from __future__ import annotations

import math

from . import few
from .problem import Minimum, Problem, zero

INF = math.inf

FEW = (
    Problem(1, "Rosenbrock", 2, few.rosenbrock, (-1.2, 1), (zero(1, 1),)),
    Problem(
        2,
        "Freudenstein and Roth",
        2,
        few.freudenstein_roth,
        (0.5, -2),
        (zero(5, 4), Minimum(48.98425367924003, (11.4127789869, -0.896805253274), 48.9842)),
    ),
    Problem(
        3,
        "Powell badly scaled",
        2,
        few.powell_badly_scaled,
        (0, 1),
        (zero(1.0981593297e-05, 9.10614673987),),
    ),
    Problem(4, "Brown badly scaled", 3, few.brown_badly_scaled, (1, 1), (zero(1e6, 2e-6),)),
    Problem(5, "Beale", 3, few.beale, (1, 1), (zero(3, 0.5),)),
    Problem(
        6,
        "Jennrich and Sampson",
        10,
        few.jennrich_sampson,
        (0.3, 0.4),
        (Minimum(124.36218235561483, (0.25782521367, 0.25782521367), 124.362),),
    ),
    Problem(7, "helical valley", 3, few.helical_valley, (-1, 0, 0), (zero(1, 0, 0),)),
    Problem(
        8,
        "Bard",
        15,
        few.bard,
        (1, 1, 1),
        (
            Minimum(
                0.008214877306578973, (0.0824105597498, 1.13303609203, 2.34369517864), 8.21487e-3
            ),
            Minimum(17.428693333333335, (0.8406666666666667, -INF, -INF), 17.4286),
        ),
    ),
    Problem(
        9,
        "Gaussian",
        15,
        few.gaussian,
        (0.4, 1, 0),
        (Minimum(1.1279327696185e-08, (0.39895613784, 1.0000190845, 0), 1.12793e-8),),
    ),
    Problem(
        10,
        "Meyer",
        16,
        few.meyer,
        (0.02, 4000, 250),
        (Minimum(87.9458551705728, (0.00560963647693, 6181.34634541, 345.223634595), 87.9458),),
    ),
    Problem(
        11, "Gulf research and development", 99, few.gulf, (5, 2.5, 0.15), (zero(50, 25, 1.5),)
    ),
    Problem(  # and wherever x₁ = x₂ and x₃ = 0
        12, "Box three-dimensional", 10, few.box, (0, 10, 20), (zero(1, 10, 1), zero(10, 1, -1))
    ),
    Problem(13, "Powell singular", 4, few.powell_singular, (3, -1, 0, 1), (zero(0, 0, 0, 0),)),
    Problem(14, "Wood", 6, few.wood, (-3, -1, -3, -1), (zero(1, 1, 1, 1),)),
    Problem(
        15,
        "Kowalik and Osborne",
        11,
        few.kowalik_osborne,
        (0.25, 0.39, 0.415, 0.39),
        (
            Minimum(
                0.0003075056038492367,
                (0.192806934577, 0.191282328693, 0.123056506926, 0.136062330712),
                3.07505e-4,
            ),
            Minimum(0.0010273430486954574, (INF, -14.0758832, -INF, -INF), 1.02734e-3),
        ),
    ),
    Problem(
        16,
        "Brown and Dennis",
        20,
        few.brown_dennis,
        (25, 5, -5, -1),
        (
            Minimum(
                85822.20162635625,
                (-11.5944399048, 13.2036300512, -0.403439488177, 0.236778774456),
                85822.2,
            ),
        ),
    ),
    Problem(
        17,
        "Osborne 1",
        33,
        few.osborne_1,
        (0.5, 1.5, -1, 0.01, 0.02),
        (
            Minimum(
                5.464894697482593e-05,
                (0.375410052107, 1.93584691271, -1.46468713661, 0.0128675346401, 0.0221226996617),
                5.46489e-5,
            ),
        ),
    ),
    Problem(
        18,
        "Biggs EXP6",
        13,
        few.biggs,
        (1, 2, 1, 1, 1, 1),
        (
            zero(1, 10, 1, 5, 4, 3),
            Minimum(  # the start has x₁ = x₅ and x₃ = x₆, which gradients keep: there it is a saddle
                0.00565564992549993,
                (
                    1.71141599472,
                    17.6831981809,
                    9.81436466798,
                    5.18656155199,
                    1.71141599472,
                    -7.48807734615,
                ),
                5.65565e-3,
            ),
            Minimum(0.30636677262479),
        ),
    ),
    Problem(
        19,
        "Osborne 2",
        65,
        few.osborne_2,
        (1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5),
        (
            Minimum(
                0.04013773629354772,
                (
                    1.30997715479,
                    0.43155379499,
                    0.633661699101,
                    0.599430535098,
                    0.75418322739,
                    0.904288576632,
                    1.36581183694,
                    4.82369881509,
                    2.39868486595,
                    4.56887459772,
                    5.67534147052,
                ),
                4.01377e-2,
            ),
        ),
    ),
)
