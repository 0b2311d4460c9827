"""The script that saves tables, run by Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from thalweg.report.parts.offline import asset

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="no Node on this machine")
def test_what_begins_like_a_formula_is_saved_as_text_and_numbers_as_numbers() -> None:
    cells: list[Any] = [
        *("=1+1", "+cmd", "-cmd", "@sum", "\tx", "\rx", "-", "adam", "a=b", ""),
        *(-1.5, "-1e-05", "+3", 1e-7, -1e21, None, True),
    ]
    script = f"{asset('save.js')}\nprocess.stdout.write(saving.csv([{json.dumps(cells)}]))"
    done = subprocess.run([str(NODE), "-e", script], capture_output=True, check=True)
    assert done.stdout.decode() == (
        "'=1+1,'+cmd,'-cmd,'@sum,'\tx,\"'\rx\",'-,adam,a=b,,-1.5,-1e-05,+3,1e-7,-1e+21,,true\n"
    )
