"""Functions 20 to 35 at their standard starts, with the minima in the paper and some others.

Where the paper has no minimizer, the one here was found by Newton steps in float64.
"""

from __future__ import annotations

import functools

from . import many
from .problem import Minimum, Problem, zero


def ramp(n: int) -> list[float]:
    """Return 1/(n+1), … , n/(n+1)."""
    return [j / (n + 1) for j in range(1, n + 1)]


def watson(n: int, value: float, published: float, *x: float) -> Problem:
    return Problem(20, "Watson", 31, many.watson, (0,) * n, (Minimum(value, x, published),))


WATSON = (
    watson(
        6,
        0.002287670053552365,
        2.28767e-3,
        *(-0.015725086401, 1.01243486936, -0.232991625957),
        *(1.26043008780, -1.51372892272, 0.992996432432),
    ),
    watson(
        9,
        1.39976013809e-06,
        1.39976e-6,
        *(-1.53070365214e-05, 0.999789703932, 0.0147639636936, 0.146342328299, 1.000821103),
        *(-2.61773114052, 4.10440316448, -3.14361227856, 1.05262640801),
    ),
    watson(
        12,
        4.722381e-10,
        4.72238e-10,
        *(-6.63805963778e-09, 1.00000164412, -0.00056393221041, 0.347820540505),
        *(-0.156731504099, 1.05281517721, -3.24727115344, 7.28843489786),
        *(-10.2718482412, 9.07411364698, -4.54137546665, 1.01201188855),
    ),
)


def rosenbrocks(n: int) -> Problem:
    start = (-1.2, 1) * (n // 2)
    minima = (zero(*[1.0] * n),)
    return Problem(21, "extended Rosenbrock", n, many.extended_rosenbrock, start, minima)


def powells(n: int) -> Problem:
    start = (3, -1, 0, 1) * (n // 4)
    minima = (zero(*[0.0] * n),)
    return Problem(22, "extended Powell singular", n, many.extended_powell_singular, start, minima)


def penalty_1(n: int, value: float, published: float, x: float) -> Problem:
    start = tuple(float(j) for j in range(1, n + 1))
    minimum = Minimum(value, (x,) * n, published)
    return Problem(23, "penalty I", n + 1, many.penalty_1, start, (minimum,))


def penalty_2(value: float, published: float, *x: float) -> Problem:
    n = len(x)
    minimum = Minimum(value, x, published)
    return Problem(24, "penalty II", 2 * n, many.penalty_2, (0.5,) * n, (minimum,))


def chebyquad(*minima: Minimum) -> Problem:
    n = len(minima[0].x or ())
    return Problem(35, "Chebyquad", n, many.chebyquad, tuple(ramp(n)), minima)


PENALTIES = (
    penalty_1(4, 2.2499775008999372e-05, 2.24997e-5, 0.250007499588),
    penalty_1(10, 7.087651467090369e-05, 7.08765e-5, 0.158122301113),
    penalty_2(
        9.37629300735544e-06,
        9.37629e-6,
        *(0.19999933335, 0.191316700993, 0.480101485333, 0.51884540439),
    ),
    penalty_2(
        0.00029366053745674594,
        2.93660e-4,
        *(0.199983605198, 0.0103506484713, 0.0196049344804, 0.0320890672207, 0.0499326773996),
        *(0.076513995154, 0.11862407287, 0.192144872336, 0.347320586942, 0.369164374159),
    ),
)

TRIGONOMETRIC = Problem(  # it has more minima than these
    26,
    "trigonometric",
    10,
    many.trigonometric,
    (0.1,) * 10,
    (
        zero(
            *(0.0479119473037, 0.0491845181666, 0.0506087028946, 0.0522230493898),
            *(0.0540830922949, 0.0562733034663, 0.0589321385353, 0.186397001384),
            *(0.154341960401, 0.124625376963),
        ),
        Minimum(
            2.7950561218788644e-05,
            (
                *(0.0551509039807, 0.0568406167947, 0.0587640017627, 0.0609906086568),
                *(0.0636262136959, 0.0668431794528, 0.20816151857, 0.164363095886),
                *(0.0850068956885, 0.0914314507147),
            ),
        ),
        Minimum(
            4.218633887925137e-05,
            (
                *(0.0539129253743, 0.0554965913797, 0.0572858809321, 0.0593366454436),
                *(0.0617301271543, 0.257886003596, 0.0681141821196, 0.0726229310941),
                *(0.0784615992521, 0.0837538640867),
            ),
        ),
    ),
)

BOUNDARY = (
    *(-0.0431649825188, -0.0815771565354, -0.114485714381, -0.140973576863, -0.159908696182),
    *(-0.169877202313, -0.169089983781, -0.155249535222, -0.125355891679, -0.0754165336859),
)
"""Where the boundary value problem and the integral equation, which is the same one, are solved."""

TRIDIAGONAL = (
    *(-0.570722132011, -0.681806949984, -0.702210076018, -0.705510629895, -0.704906155729),
    *(-0.70149660703, -0.691889322355, -0.665796514406, -0.596035109026, -0.416412257529),
)
BANDED = (
    *(-0.428302863587, -0.476596424356, -0.519652463647, -0.558099324832, -0.592506156829),
    *(-0.624503682199, -0.623239471441, -0.621393841797, -0.620453596659, -0.58646927072),
)

BANDED_LOCAL = Minimum(
    3.057278432425819,
    (
        *(0.210713858096, 0.260976685974, 0.227947672436, 0.197025588739, 0.203229694038),
        *(0.221915978031, 0.16281223659, 0.0483025282202, -0.0793565842405, -0.153125186683),
    ),
)
"""A minimum that conjugate gradients come to from the start."""

TENS = (
    Problem(
        25,
        "variably dimensioned",
        12,
        many.variably_dimensioned,
        tuple(1 - j / 10 for j in range(1, 11)),
        (zero(*[1.0] * 10),),
    ),
    TRIGONOMETRIC,
    Problem(  # and where nine x = α, the tenth α⁻⁹, 10 α¹⁰ − 11 α⁹ + 1 = 0
        27,
        "Brown almost-linear",
        10,
        many.brown_almost_linear,
        (0.5,) * 10,
        (zero(*[1.0] * 10), Minimum(1.0, (*[0.0] * 9, 11.0), 1.0)),
    ),
    Problem(
        28,
        "discrete boundary value",
        10,
        many.discrete_boundary_value,
        tuple(t * (t - 1) for t in ramp(10)),
        (zero(*BOUNDARY),),
    ),
    Problem(
        29,
        "discrete integral equation",
        10,
        many.discrete_integral_equation,
        tuple(t * (t - 1) for t in ramp(10)),
        (zero(*BOUNDARY),),
    ),
    Problem(
        30, "Broyden tridiagonal", 10, many.broyden_tridiagonal, (-1,) * 10, (zero(*TRIDIAGONAL),)
    ),
    Problem(
        31, "Broyden banded", 10, many.broyden_banded, (-1,) * 10, (zero(*BANDED), BANDED_LOCAL)
    ),
)


def linear(m: int = 20, n: int = 10) -> tuple[Problem, ...]:
    """Return functions 32 to 34, whose minima the paper gives as formulas."""
    full, one, zeros = (
        m - n,
        m * (m - 1) / (2 * (2 * m + 1)),
        (m**2 + 3 * m - 6) / (2 * (2 * m - 3)),
    )
    rest = [0.0] * (n - 1)
    x_one, x_zeros = (3 / (2 * m + 1), *rest), (0.0, 3 / (2 * (2 * m - 3)), *rest[1:])
    rows = (
        (32, "linear, full rank", many.linear_full_rank, Minimum(full, (-1.0,) * n, full)),
        (33, "linear, rank 1", many.linear_rank_1, Minimum(one, x_one, one)),
        (34, "linear, rank 1, zeros", many.linear_rank_1_zeros, Minimum(zeros, x_zeros, zeros)),
    )
    return tuple(
        Problem(number, name, m, functools.partial(function, m=m), (1,) * n, (minimum,))
        for number, name, function, minimum in rows
    )


CHEBYQUAD = (
    chebyquad(
        zero(
            *(0.058069149621, 0.235171612357, 0.33804409474, 0.5),
            *(0.66195590526, 0.764828387643, 0.941930850379),
        )
    ),
    chebyquad(
        Minimum(
            0.0035168737256779277,
            (
                *(0.043152760151, 0.193090840384, 0.26632870689, 0.5),
                *(0.5, 0.73367129311, 0.806909159616, 0.956847239849),
            ),
            3.51687e-3,
        )
    ),
    chebyquad(
        Minimum(
            0.004772713696375351,
            (
                *(0.0747481662146, 0.171518176948, 0.286434152584, 0.359646450629, 0.470750522867),
                *(0.616738335039, 0.616738335039, 0.799810801539, 0.844854642241, 0.967006626982),
            ),
        ),
        Minimum(
            0.006503954800882308,
            (
                *(0.0596199005358, 0.166708281836, 0.239170658943, 0.398884292306, 0.398884292306),
                *(0.601115707694, 0.601115707694, 0.760829341057, 0.833291718164, 0.940380099464),
            ),
            6.50395e-3,
        ),
    ),
)

MANY = (
    *WATSON,
    *(rosenbrocks(10), rosenbrocks(100), powells(12), powells(100)),
    *PENALTIES,
    *TENS,
    *linear(),
    *CHEBYQUAD,
)
