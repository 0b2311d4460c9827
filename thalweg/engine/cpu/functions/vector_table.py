"""How far each function of a vector is from the truth, at most, and which is the fastest.

What `python -m tests.engine.cpu.function_table` prints, of glibc 2.36 and PyTorch 2.13: of each library the
fastest function that is never further than 2 units in the last place (ulp) from the true value and faster
than the C library's, the fastest first. "wide" are functions of float64 that serve float32 where no other
does. Without entry are SLEEF's sinh, cosh, asinh and acosh, which overflow early, its sin, cos and tan of
float32 (where one number of a vector is large, the last bits of the others change; those of float64 do so
only from the bound on), and what `printed.py` prints.
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
    ("exp", "float64"): (Measured("Sleef_expd4_u10avx2", 0.82),),
    ("exp2", "float32"): (
        Measured("Sleef_exp2f8_u35avx2", 0.84),
        Measured("_ZGVdN8v_exp2f", 0.81),
    ),
    ("exp2", "float64"): (
        Measured("Sleef_exp2d4_u35avx2", 0.75),
        Measured("_ZGVdN4v_exp2", 1.62),
    ),
    ("expm1", "float32"): (
        Measured("_ZGVdN8v_expm1f", 1.68),
        Measured("Sleef_expm1f8_u10avx2", 1.00),
    ),
    ("expm1", "float64"): (Measured("Sleef_expm1d4_u10avx2", 0.50),),
    ("log", "float64"): (
        Measured("_ZGVdN4v_log", 1.48),
        Measured("Sleef_logd4_u10avx2", 0.70),
    ),
    ("log2", "float32"): (Measured("Sleef_log2f8_u10avx2", 0.67),),
    ("log2", "float64"): (Measured("Sleef_log2d4_u10avx2", 0.60),),
    ("log10", "float32"): (Measured("Sleef_log10f8_u10avx2", 0.71),),
    ("log10", "float64"): (Measured("Sleef_log10d4_u10avx2", 0.60),),
    ("log1p", "float32"): (
        Measured("_ZGVdN8v_log1pf", 1.96),
        Measured("Sleef_log1pf8_u10avx2", 1.00),
    ),
    ("log1p", "float64"): (
        Measured("_ZGVdN4v_log1p", 1.57),
        Measured("Sleef_log1pd4_u10avx2", 1.00),
    ),
    ("sin", "float64"): (Measured("Sleef_sind4_u35avx2", 1.42, 15.0),),
    ("cos", "float64"): (Measured("Sleef_cosd4_u35avx2", 1.50, 15.0),),
    ("tan", "wide"): (
        Measured("_ZGVdN4v_tan", 0.50),
        Measured("Sleef_tand4_u10avx2", 0.50),
    ),
    ("tan", "float64"): (Measured("Sleef_tand4_u10avx2", 1.00, 15.0),),
    ("asin", "float32"): (Measured("Sleef_asinf8_u10avx2", 0.77),),
    ("asin", "float64"): (Measured("Sleef_asind4_u10avx2", 0.74),),
    ("acos", "float32"): (Measured("Sleef_acosf8_u35avx2", 1.27),),
    ("acos", "float64"): (
        Measured("_ZGVdN4v_acos", 1.60),
        Measured("Sleef_acosd4_u35avx2", 1.11),
    ),
    ("atan", "float32"): (Measured("Sleef_atanf8_u10avx2", 0.92),),
    ("atan", "float64"): (
        Measured("_ZGVdN4v_atan", 1.62),
        Measured("Sleef_atand4_u35avx2", 1.68),
    ),
    ("sinh", "float32"): (Measured("_ZGVdN8v_sinhf", 1.89),),
    ("sinh", "float64"): (Measured("_ZGVdN4v_sinh", 1.88),),
    ("cosh", "wide"): (
        Measured("Sleef_coshd4_u35avx2", 0.50),
        Measured("_ZGVdN4v_cosh", 0.50),
    ),
    ("cosh", "float64"): (Measured("_ZGVdN4v_cosh", 1.40),),
    ("tanh", "float32"): (
        Measured("_ZGVdN8v_tanhf", 1.03),
        Measured("Sleef_tanhf8_u10avx2", 1.00),
    ),
    ("tanh", "float64"): (Measured("Sleef_tanhd4_u10avx2", 1.00),),
    ("asinh", "wide"): (
        Measured("_ZGVdN4v_asinh", 0.50),
        Measured("Sleef_asinhd4_u10avx2", 0.50),
    ),
    ("acosh", "wide"): (
        Measured("_ZGVdN4v_acosh", 0.50),
        Measured("Sleef_acoshd4_u10avx2", 0.50),
    ),
    ("atanh", "float32"): (Measured("Sleef_atanhf8_u10avx2", 1.00),),
    ("atanh", "float64"): (Measured("Sleef_atanhd4_u10avx2", 0.50),),
    ("erf", "float32"): (
        Measured("_ZGVdN8v_erff", 1.92),
        Measured("Sleef_erff8_u10avx2", 1.00),
    ),
    ("erf", "float64"): (Measured("Sleef_erfd4_u10avx2", 0.62),),
    ("erfc", "float32"): (Measured("_ZGVdN8v_erfcf", 1.61),),
    ("erfc", "float64"): (Measured("_ZGVdN4v_erfc", 1.00),),
    ("cbrt", "float32"): (Measured("Sleef_cbrtf8_u35avx2", 1.28),),
    ("cbrt", "float64"): (
        Measured("_ZGVdN4v_cbrt", 1.48),
        Measured("Sleef_cbrtd4_u35avx2", 1.49),
    ),
    ("pow", "float32"): (Measured("_ZGVdN8vv_powf", 1.08),),
    ("pow", "float64"): (
        Measured("_ZGVdN4vv_pow", 0.98),
        Measured("Sleef_powd4_u10avx2", 0.70),
    ),
    ("atan2", "float32"): (Measured("Sleef_atan2f8_u10avx2", 1.00),),
    ("atan2", "float64"): (Measured("Sleef_atan2d4_u35avx2", 1.86),),
    ("hypot", "float32"): (
        Measured("_ZGVdN8vv_hypotf", 1.19),
        Measured("Sleef_hypotf8_u05avx2", 1.00),
    ),
    ("hypot", "float64"): (
        Measured("_ZGVdN4vv_hypot", 1.12),
        Measured("Sleef_hypotd4_u05avx2", 0.56),
    ),
}
SSE: Table = {
    ("exp2", "float32"): (Measured("_ZGVbN4v_exp2f", 1.08),),
    ("exp2", "float64"): (Measured("_ZGVbN2v_exp2", 1.62),),
    ("expm1", "float32"): (Measured("_ZGVbN4v_expm1f", 1.80),),
    ("log", "float64"): (Measured("_ZGVbN2v_log", 1.55),),
    ("log10", "wide"): (Measured("_ZGVbN2v_log10", 0.50),),
    ("log1p", "wide"): (Measured("_ZGVbN2v_log1p", 0.50),),
    ("log1p", "float64"): (Measured("_ZGVbN2v_log1p", 1.57),),
    ("tan", "wide"): (Measured("_ZGVbN2v_tan", 0.50),),
    ("acos", "wide"): (Measured("_ZGVbN2v_acos", 0.50),),
    ("acos", "float64"): (Measured("_ZGVbN2v_acos", 1.80),),
    ("atan", "wide"): (Measured("_ZGVbN2v_atan", 0.50),),
    ("atan", "float64"): (Measured("_ZGVbN2v_atan", 1.62),),
    ("sinh", "wide"): (Measured("_ZGVbN2v_sinh", 0.50),),
    ("cosh", "float32"): (Measured("_ZGVbN4v_coshf", 1.89),),
    ("cosh", "float64"): (Measured("_ZGVbN2v_cosh", 1.40),),
    ("tanh", "float32"): (Measured("_ZGVbN4v_tanhf", 1.03),),
    ("asinh", "wide"): (Measured("_ZGVbN2v_asinh", 0.50),),
    ("acosh", "wide"): (Measured("_ZGVbN2v_acosh", 0.50),),
    ("atanh", "wide"): (Measured("_ZGVbN2v_atanh", 0.50),),
    ("erf", "float32"): (Measured("_ZGVbN4v_erff", 1.92),),
    ("erfc", "float32"): (Measured("_ZGVbN4v_erfcf", 1.76),),
    ("cbrt", "wide"): (Measured("_ZGVbN2v_cbrt", 0.50),),
    ("cbrt", "float64"): (Measured("_ZGVbN2v_cbrt", 1.48),),
    ("pow", "float32"): (Measured("_ZGVbN4vv_powf", 1.08),),
    ("atan2", "wide"): (Measured("_ZGVbN2vv_atan2", 0.50),),
    ("hypot", "float32"): (Measured("_ZGVbN4vv_hypotf", 1.38),),
    ("hypot", "float64"): (Measured("_ZGVbN2vv_hypot", 1.67),),
}
