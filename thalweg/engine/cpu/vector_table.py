"""How far each function of a vector is from the truth, at most, and which is the fastest.

Written by `python tests/engine/cpu/function_errors.py --table`, which measures them. For each function and dtype
those that are never further than 2 units in the last place (ulp) from the true value, the fastest first.
"""

from __future__ import annotations

from typing import NamedTuple


class Measured(NamedTuple):
    """A function, and its greatest measured error in ulp."""

    symbol: str
    ulp: float


Table = dict[tuple[str, str], tuple[Measured, ...]]

AVX2: Table = {
    ("exp", "float32"): (
        Measured("Sleef_expf8_u10avx2", 0.96),
    ),
    ("exp", "float64"): (
        Measured("Sleef_expd4_u10avx2", 0.79),
    ),
    ("exp2", "float32"): (
        Measured("Sleef_exp2f8_u10avx2", 0.83),
        Measured("_ZGVdN8v_exp2f", 0.82),
        Measured("Sleef_exp2f8_u35avx2", 0.83),
    ),
    ("exp2", "float64"): (
        Measured("_ZGVdN4v_exp2", 1.63),
        Measured("Sleef_exp2d4_u35avx2", 0.74),
        Measured("Sleef_exp2d4_u10avx2", 0.74),
    ),
    ("expm1", "float32"): (
        Measured("_ZGVdN8v_expm1f", 1.66),
        Measured("Sleef_expm1f8_u10avx2", 1.00),
    ),
    ("expm1", "float64"): (
        Measured("Sleef_expm1d4_u10avx2", 0.99),
    ),
    ("log", "float32"): (
        Measured("Sleef_logf8_u10avx2", 0.63),
    ),
    ("log", "float64"): (
        Measured("_ZGVdN4v_log", 1.43),
        Measured("Sleef_logd4_u35avx2", 1.95),
        Measured("Sleef_logd4_u10avx2", 0.69),
    ),
    ("log2", "float32"): (
        Measured("_ZGVdN8v_log2f", 1.93),
        Measured("Sleef_log2f8_u10avx2", 0.64),
    ),
    ("log2", "float64"): (
        Measured("_ZGVdN4v_log2", 1.77),
        Measured("Sleef_log2d4_u10avx2", 0.75),
    ),
    ("log10", "float32"): (
        Measured("_ZGVdN8v_log10f", 1.69),
        Measured("Sleef_log10f8_u10avx2", 0.62),
    ),
    ("log10", "float64"): (
        Measured("_ZGVdN4v_log10", 1.70),
        Measured("Sleef_log10d4_u10avx2", 0.70),
    ),
    ("log1p", "float32"): (
        Measured("_ZGVdN8v_log1pf", 1.89),
        Measured("Sleef_log1pf8_u10avx2", 1.00),
    ),
    ("log1p", "float64"): (
        Measured("_ZGVdN4v_log1p", 1.49),
        Measured("Sleef_log1pd4_u10avx2", 1.00),
    ),
    ("sin", "float32"): (
        Measured("Sleef_sinf8_u10avx2", 0.85),
    ),
    ("sin", "float64"): (
        Measured("Sleef_sind4_u35avx2", 1.59),
        Measured("Sleef_sind4_u10avx2", 0.67),
    ),
    ("cos", "float32"): (
        Measured("Sleef_cosf8_u10avx2", 0.90),
    ),
    ("cos", "float64"): (
        Measured("Sleef_cosd4_u35avx2", 1.64),
        Measured("Sleef_cosd4_u10avx2", 0.69),
    ),
    ("tan", "float32"): (
        Measured("Sleef_tanf8_u10avx2", 0.93),
    ),
    ("tan", "float64"): (
        Measured("Sleef_tand4_u10avx2", 1.00),
    ),
    ("asin", "float32"): (
        Measured("Sleef_asinf8_u10avx2", 0.75),
    ),
    ("asin", "float64"): (
        Measured("Sleef_asind4_u10avx2", 0.69),
    ),
    ("acos", "float32"): (
        Measured("Sleef_acosf8_u35avx2", 1.27),
        Measured("_ZGVdN8v_acosf", 2.00),
        Measured("Sleef_acosf8_u10avx2", 0.64),
    ),
    ("acos", "float64"): (
        Measured("_ZGVdN4v_acos", 1.61),
        Measured("Sleef_acosd4_u35avx2", 1.11),
        Measured("Sleef_acosd4_u10avx2", 0.69),
    ),
    ("atan", "float32"): (
        Measured("Sleef_atanf8_u10avx2", 0.94),
    ),
    ("atan", "float64"): (
        Measured("_ZGVdN4v_atan", 1.54),
        Measured("Sleef_atand4_u35avx2", 1.79),
        Measured("Sleef_atand4_u10avx2", 0.82),
    ),
    ("sinh", "float32"): (
        Measured("_ZGVdN8v_sinhf", 1.82),
    ),
    ("sinh", "float64"): (
        Measured("_ZGVdN4v_sinh", 1.84),
    ),
    ("cosh", "float32"): (
        Measured("_ZGVdN8v_coshf", 2.00),
    ),
    ("cosh", "float64"): (
        Measured("_ZGVdN4v_cosh", 1.41),
    ),
    ("tanh", "float32"): (
        Measured("_ZGVdN8v_tanhf", 1.02),
        Measured("Sleef_tanhf8_u10avx2", 1.00),
    ),
    ("tanh", "float64"): (
        Measured("_ZGVdN4v_tanh", 1.94),
        Measured("Sleef_tanhd4_u10avx2", 1.00),
    ),
    ("asinh", "float32"): (
        Measured("_ZGVdN8v_asinhf", 1.99),
    ),
    ("atanh", "float32"): (
        Measured("_ZGVdN8v_atanhf", 1.99),
        Measured("Sleef_atanhf8_u10avx2", 1.00),
    ),
    ("atanh", "float64"): (
        Measured("_ZGVdN4v_atanh", 1.85),
        Measured("Sleef_atanhd4_u10avx2", 0.50),
    ),
    ("erf", "float32"): (
        Measured("_ZGVdN8v_erff", 1.90),
        Measured("Sleef_erff8_u10avx2", 0.99),
    ),
    ("erf", "float64"): (
        Measured("_ZGVdN4v_erf", 1.74),
        Measured("Sleef_erfd4_u10avx2", 0.62),
    ),
    ("erfc", "float32"): (
        Measured("_ZGVdN8v_erfcf", 1.53),
        Measured("Sleef_erfcf8_u15avx2", 1.36),
    ),
}
SSE: Table = {
    ("exp2", "float32"): (
        Measured("_ZGVbN4v_exp2f", 1.05),
    ),
    ("exp2", "float64"): (
        Measured("_ZGVbN2v_exp2", 1.62),
    ),
    ("expm1", "float32"): (
        Measured("_ZGVbN4v_expm1f", 1.66),
    ),
    ("log", "float64"): (
        Measured("_ZGVbN2v_log", 1.37),
    ),
    ("log2", "float64"): (
        Measured("_ZGVbN2v_log2", 1.09),
    ),
    ("log10", "float32"): (
        Measured("_ZGVbN4v_log10f", 1.63),
    ),
    ("log10", "float64"): (
        Measured("_ZGVbN2v_log10", 1.14),
    ),
    ("log1p", "float32"): (
        Measured("_ZGVbN4v_log1pf", 1.99),
    ),
    ("log1p", "float64"): (
        Measured("_ZGVbN2v_log1p", 1.40),
    ),
    ("sin", "float32"): (
        Measured("_ZGVbN4v_sinf", 1.86),
    ),
    ("cos", "float32"): (
        Measured("_ZGVbN4v_cosf", 1.97),
    ),
    ("asin", "float64"): (
        Measured("_ZGVbN2v_asin", 1.98),
    ),
    ("acos", "float64"): (
        Measured("_ZGVbN2v_acos", 1.54),
    ),
    ("atan", "float64"): (
        Measured("_ZGVbN2v_atan", 1.38),
    ),
    ("sinh", "float32"): (
        Measured("_ZGVbN4v_sinhf", 1.89),
    ),
    ("sinh", "float64"): (
        Measured("_ZGVbN2v_sinh", 1.64),
    ),
    ("cosh", "float32"): (
        Measured("_ZGVbN4v_coshf", 1.75),
    ),
    ("cosh", "float64"): (
        Measured("_ZGVbN2v_cosh", 1.40),
    ),
    ("tanh", "float32"): (
        Measured("_ZGVbN4v_tanhf", 1.02),
    ),
    ("tanh", "float64"): (
        Measured("_ZGVbN2v_tanh", 1.94),
    ),
    ("asinh", "float64"): (
        Measured("_ZGVbN2v_asinh", 1.73),
    ),
    ("acosh", "float64"): (
        Measured("_ZGVbN2v_acosh", 1.50),
    ),
    ("atanh", "float32"): (
        Measured("_ZGVbN4v_atanhf", 1.96),
    ),
    ("atanh", "float64"): (
        Measured("_ZGVbN2v_atanh", 1.69),
    ),
    ("erf", "float32"): (
        Measured("_ZGVbN4v_erff", 1.88),
    ),
    ("erf", "float64"): (
        Measured("_ZGVbN2v_erf", 1.86),
    ),
    ("erfc", "float32"): (
        Measured("_ZGVbN4v_erfcf", 1.62),
    ),
    ("cbrt", "float64"): (
        Measured("_ZGVbN2v_cbrt", 1.47),
    ),
    ("pow", "float32"): (
        Measured("_ZGVbN4vv_powf", 0.85),
    ),
}
