"""What a page needs to stand alone in a browser, without network: its frame, policy, data, assets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
"""The content security policy: nothing is loaded from elsewhere."""


def framed(
    body: str,
    *,
    title: str,
    style: str,
    data: Mapping[str, Any] | None = None,
    scripts: Sequence[str] = (),
    head: str = "",
    layout: str = "",
) -> str:
    """Return the text of a page.

    Args:
        body: HTML that stands in `<main>`.
        title: of the window, escaped.
        style: CSS, and `head`, HTML that stands before the policy, such as the colour schemes.
        data: what scripts read, each as JSON in an element of that id.
        scripts: JavaScript, in the order in which it runs.
        layout: the class of `<main>`.
    """
    below = [
        *(
            f'<script type="application/json" id="{name}">{embedded(each)}</script>\n'
            for name, each in (data or {}).items()
        ),
        *(f"<script>{script}</script>\n" for script in scripts),
    ]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main{f' class="{layout}"' if layout else ""}>
{body}
</main>
{"".join(below)}</body>
</html>
"""


def embedded(value: Any) -> str:
    """Return JSON that is safe inside a script element: no text in it can end the element."""
    compact = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return compact.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def asset(name: str, package: str = "thalweg.report") -> str:
    """Return the text of a file in the assets of a package: a style or a script."""
    return files(package).joinpath("assets", name).read_text(encoding="utf-8")


def chart_scripts() -> list[str]:
    """Return the scripts that draw charts, in the order in which they run."""
    return [asset(name) for name in ("axes.js", "chart.js", "pointing.js")]
