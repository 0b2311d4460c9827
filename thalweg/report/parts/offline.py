"""What a page needs to stand alone in a browser, without network: policy, data, assets, Plotly."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from thalweg.errors import MissingExtraError

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
"""The content security policy: nothing is loaded from elsewhere."""


def embedded(value: Any) -> str:
    """Return JSON that is safe inside a script element: no text in it can end the element."""
    compact = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return compact.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def asset(name: str) -> str:
    """Return the text of a file beside this package: a style or a script."""
    return files("thalweg.report").joinpath("assets", name).read_text(encoding="utf-8")


def plotly() -> str:
    """Return the source of Plotly.js, or say that Plotly is missing."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtraError("plotly", "The report") from None
    return str(get_plotlyjs())
