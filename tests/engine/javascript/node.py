"""Printed JavaScript, run by Node or, where there is none, by Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

needs_javascript = pytest.mark.skipif(
    NODE is None and CHROMIUM is None, reason="neither node nor chromium is on this machine"
)


def run(script: str, folder: Path, given: Any = None) -> Any:
    """Return what a function body returns for `given`, by way of JSON."""
    body = f"const given = {json.dumps(given)};\nconst returned = (() => {{\n{script}\n}})();\n"
    if NODE is not None:
        file = folder / "script.js"
        file.write_text(f"{body}process.stdout.write(JSON.stringify(returned));", encoding="utf-8")
        command = [NODE, str(file)]
    else:
        assert CHROMIUM is not None
        file = folder / "script.html"
        shown = body + "out.textContent = JSON.stringify(returned);"
        page = '<pre id="out"></pre><script>' + shown.replace("</", "<\\/") + "</script>"
        file.write_text(page, encoding="utf-8")
        command = [CHROMIUM, "--headless", "--no-sandbox", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = done.stdout
    if NODE is None:
        printed = unescape(printed.partition('<pre id="out">')[2].partition("</pre>")[0])
    return json.loads(printed)
