from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.optim.kronecker import OF_MODELS
from tests.optim.solvers import SOLVERS
from thalweg import optim, rules
from thalweg.optim.cards import docs_page as catalogue
from thalweg.optim.cards.by_name import card

PAGE = Path(__file__).parent.parent.parent / "docs" / "optimizers.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == catalogue.optimizers_page(), "run `make docs`"


def test_every_optimizer_is_in_the_table_and_has_a_section() -> None:
    text = catalogue.optimizers_page()
    for name in optim.__all__:
        if name == "Optimizer":
            continue
        found = card(name)
        if name in (*SOLVERS, *OF_MODELS):
            assert f"| [{name}](#{name.lower()}) | {found.year} | – | – |" in text
            continue
        assert found.cost is not None
        states = len(found.cost.states) + len(found.cost.matrices)
        figures = f"| {found.year} | {states} | {found.cost.passes} |"
        assert f"| [{name}](#{name.lower()}) {figures}" in text
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for block in found.blocks:
            assert " ".join(block.text.split()) in " ".join(section.split())
        assert f"optim.{name}(params, lr=" in section


def test_every_rule_is_in_a_table() -> None:
    text = catalogue.optimizers_page()
    assert all(f"\n| `{name}` |" in text for name in rules.__all__)


def test_links_lead_somewhere() -> None:
    text = catalogue.optimizers_page()
    headings = {name.lower() for name in re.findall(r"^##+ `?([\w ]+)`?$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_prose_is_wrapped() -> None:
    lines = catalogue.optimizers_page().splitlines()
    assert all(len(line) <= catalogue.WIDTH for line in lines if not line.startswith("|"))


def test_it_is_written_or_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue.main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == catalogue.optimizers_page()
    assert capsys.readouterr().out == ""
    catalogue.main([])
    assert capsys.readouterr().out == catalogue.optimizers_page()
