"""How far each function of a vector is from the truth, at most, and which is the fastest.

Figures of `python tests/engine/cpu/function_errors.py`, of glibc 2.36 and PyTorch 2.13: those that are
never further than 2 units in the last place (ulp) from the true value, the fastest first. "wide" are
functions of float64 that serve float32 alone. Without entry are SLEEF's sinh, cosh, asinh and acosh, which
overflow early, and its sin, cos and tan of float32: where one number of a vector is large, the last bits of
the others change. Those of float64 do so only from the bound on.
"""

from __future__ import annotations

from typing import NamedTuple


class Measured(NamedTuple):
    """A function, its greatest measured error in ulp, and the bound of `VectorFunction`."""

    symbol: str
    ulp: float
    bound: float = 0.0


Table = dict[tuple[str, str], tuple[Measured, ...]]

AVX2: Table = {
    ("exp", "float32"): (Measured("Sleef_expf8_u10avx2", 0.99),),
    ("exp", "float64"): (Measured("Sleef_expd4_u10avx2", 0.81),),
    ("exp2", "float32"): (
        Measured("_ZGVdN8v_exp2f", 0.82),
        Measured("Sleef_exp2f8_u10avx2", 0.88),
        Measured("Sleef_exp2f8_u35avx2", 0.88),
    ),
    ("exp2", "float64"): (
        Measured("_ZGVdN4v_exp2", 1.63),
        Measured("Sleef_exp2d4_u10avx2", 0.78),
        Measured("Sleef_exp2d4_u35avx2", 0.78),
    ),
    ("expm1", "float32"): (
        Measured("_ZGVdN8v_expm1f", 1.68),
        Measured("Sleef_expm1f8_u10avx2", 1.00),
    ),
    ("expm1", "float64"): (Measured("Sleef_expm1d4_u10avx2", 1.00),),
    ("log", "float32"): (Measured("Sleef_logf8_u10avx2", 0.63),),
    ("log", "float64"): (
        Measured("_ZGVdN4v_log", 1.52),
        Measured("Sleef_logd4_u10avx2", 0.75),
    ),
    ("log2", "float32"): (Measured("Sleef_log2f8_u10avx2", 0.67),),
    ("log2", "float64"): (Measured("Sleef_log2d4_u10avx2", 0.85),),
    ("log10", "float32"): (Measured("Sleef_log10f8_u10avx2", 0.71),),
    ("log10", "float64"): (
        Measured("_ZGVdN4v_log10", 1.97),
        Measured("Sleef_log10d4_u10avx2", 0.76),
    ),
    ("log1p", "float32"): (
        Measured("_ZGVdN8v_log1pf", 1.96),
        Measured("Sleef_log1pf8_u10avx2", 1.00),
    ),
    ("log1p", "float64"): (
        Measured("_ZGVdN4v_log1p", 1.56),
        Measured("Sleef_log1pd4_u10avx2", 1.00),
    ),
    ("sin", "wide"): (Measured("_ZGVdN4v_sin", 0.51),),
    ("sin", "float64"): (
        Measured("Sleef_sind4_u35avx2", 1.59, 15.0),
        Measured("Sleef_sind4_u10avx2", 0.69, 15.0),
    ),
    ("cos", "wide"): (Measured("_ZGVdN4v_cos", 0.51),),
    ("cos", "float64"): (
        Measured("Sleef_cosd4_u35avx2", 1.64, 15.0),
        Measured("Sleef_cosd4_u10avx2", 0.71, 15.0),
    ),
    ("tan", "wide"): (Measured("_ZGVdN4v_tan", 0.51),),
    ("tan", "float64"): (Measured("Sleef_tand4_u10avx2", 1.00, 15.0),),
    ("asin", "float32"): (Measured("Sleef_asinf8_u10avx2", 0.78),),
    ("asin", "float64"): (Measured("Sleef_asind4_u10avx2", 0.85),),
    ("acos", "float32"): (
        Measured("Sleef_acosf8_u35avx2", 1.28),
        Measured("Sleef_acosf8_u10avx2", 0.68),
    ),
    ("acos", "float64"): (
        Measured("Sleef_acosd4_u35avx2", 1.16),
        Measured("_ZGVdN4v_acos", 1.64),
        Measured("Sleef_acosd4_u10avx2", 0.72),
    ),
    ("atan", "float32"): (Measured("Sleef_atanf8_u10avx2", 0.94),),
    ("atan", "float64"): (
        Measured("_ZGVdN4v_atan", 1.77),
        Measured("Sleef_atand4_u35avx2", 1.89),
        Measured("Sleef_atand4_u10avx2", 0.82),
    ),
    ("sinh", "float32"): (Measured("_ZGVdN8v_sinhf", 1.89),),
    ("sinh", "float64"): (Measured("_ZGVdN4v_sinh", 1.87),),
    ("cosh", "float64"): (Measured("_ZGVdN4v_cosh", 1.49),),
    ("tanh", "float32"): (
        Measured("_ZGVdN8v_tanhf", 1.03),
        Measured("Sleef_tanhf8_u10avx2", 1.00),
    ),
    ("tanh", "float64"): (Measured("Sleef_tanhd4_u10avx2", 1.00),),
    ("atanh", "float32"): (Measured("Sleef_atanhf8_u10avx2", 1.00),),
    ("atanh", "float64"): (Measured("Sleef_atanhd4_u10avx2", 0.50),),
    ("erf", "float32"): (
        Measured("_ZGVdN8v_erff", 1.93),
        Measured("Sleef_erff8_u10avx2", 1.00),
    ),
    ("erf", "float64"): (Measured("Sleef_erfd4_u10avx2", 0.62),),
    ("erfc", "float32"): (
        Measured("_ZGVdN8v_erfcf", 1.53),
        Measured("Sleef_erfcf8_u15avx2", 1.36),
    ),
    ("erfc", "float64"): (
        Measured("_ZGVdN4v_erfc", 1.33),
        Measured("Sleef_erfcd4_u15avx2", 0.75),
    ),
    ("cbrt", "float32"): (
        Measured("Sleef_cbrtf8_u35avx2", 1.31),
        Measured("Sleef_cbrtf8_u10avx2", 0.50),
    ),
    ("cbrt", "float64"): (
        Measured("_ZGVdN4v_cbrt", 1.63),
        Measured("Sleef_cbrtd4_u35avx2", 1.50),
        Measured("Sleef_cbrtd4_u10avx2", 0.52),
    ),
    ("pow", "float32"): (
        Measured("_ZGVdN8vv_powf", 0.92),
        Measured("Sleef_powf8_u10avx2", 0.80),
    ),
    ("pow", "float64"): (
        Measured("_ZGVdN4vv_pow", 1.00),
        Measured("Sleef_powd4_u10avx2", 0.72),
    ),
    ("atan2", "float32"): (Measured("Sleef_atan2f8_u10avx2", 0.96),),
    ("hypot", "float32"): (
        Measured("_ZGVdN8vv_hypotf", 1.16),
        Measured("Sleef_hypotf8_u35avx2", 1.97),
        Measured("Sleef_hypotf8_u05avx2", 0.98),
    ),
    ("hypot", "float64"): (
        Measured("_ZGVdN4vv_hypot", 1.08),
        Measured("Sleef_hypotd4_u35avx2", 1.86),
        Measured("Sleef_hypotd4_u05avx2", 0.66),
    ),
    ("atan2", "float64"): (
        Measured("Sleef_atan2d4_u35avx2", 1.61),
        Measured("Sleef_atan2d4_u10avx2", 0.89),
    ),
}
SSE: Table = {
    ("exp2", "float32"): (Measured("_ZGVbN4v_exp2f", 1.08),),
    ("exp2", "float64"): (Measured("_ZGVbN2v_exp2", 1.63),),
    ("expm1", "float32"): (Measured("_ZGVbN4v_expm1f", 1.79),),
    ("log", "float64"): (Measured("_ZGVbN2v_log", 1.49),),
    ("log2", "float64"): (Measured("_ZGVbN2v_log2", 1.77),),
    ("log10", "float64"): (Measured("_ZGVbN2v_log10", 1.70),),
    ("log1p", "float32"): (Measured("_ZGVbN4v_log1pf", 1.95),),
    ("log1p", "float64"): (Measured("_ZGVbN2v_log1p", 1.49),),
    ("sin", "wide"): (Measured("_ZGVbN2v_sin", 0.51),),
    ("cos", "float32"): (Measured("_ZGVbN4v_cosf", 1.98),),
    ("cos", "wide"): (Measured("_ZGVbN2v_cos", 0.51),),
    ("tan", "wide"): (Measured("_ZGVbN2v_tan", 0.51),),
    ("acos", "float64"): (Measured("_ZGVbN2v_acos", 1.69),),
    ("atan", "float64"): (Measured("_ZGVbN2v_atan", 1.54),),
    ("sinh", "float64"): (Measured("_ZGVbN2v_sinh", 1.84),),
    ("cosh", "float32"): (Measured("_ZGVbN4v_coshf", 1.82),),
    ("cosh", "float64"): (Measured("_ZGVbN2v_cosh", 1.41),),
    ("tanh", "float32"): (Measured("_ZGVbN4v_tanhf", 1.02),),
    ("atanh", "float64"): (Measured("_ZGVbN2v_atanh", 1.85),),
    ("erf", "float32"): (Measured("_ZGVbN4v_erff", 1.90),),
    ("erf", "float64"): (Measured("_ZGVbN2v_erf", 1.74),),
    ("erfc", "float32"): (Measured("_ZGVbN4v_erfcf", 1.76),),
    ("erfc", "float64"): (Measured("_ZGVbN2v_erfc", 1.33),),
    ("cbrt", "float64"): (Measured("_ZGVbN2v_cbrt", 1.63),),
    ("pow", "float32"): (Measured("_ZGVbN4vv_powf", 0.92),),
    ("pow", "float64"): (Measured("_ZGVbN2vv_pow", 1.00),),
    ("hypot", "float32"): (Measured("_ZGVbN4vv_hypotf", 1.39),),
    ("hypot", "float64"): (Measured("_ZGVbN2vv_hypot", 1.78),),
}
