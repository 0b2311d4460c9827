from __future__ import annotations

import io
import json
import sys

import pytest
from rich.cells import cell_len

from tests.cli.commands import call
from thalweg import meta, optim, rules, schedules
from thalweg.cli import main
from thalweg.cli.explain import fold
from thalweg.optim.cards.by_name import card

NAMES = [
    *(name for name in optim.__all__ if name != "Optimizer"),
    *(f"rules.{name}" for name in rules.__all__),
    *(name for name in schedules.__all__ if name != "Schedule"),
    *("SAM", "ASAM", "Accumulate", "NonFinite"),
]


def words(text: str) -> str:
    """Return a text without the differences that wrapping makes."""
    return "".join(text.split())


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", NAMES)
def test_every_card_is_printed_whole_within_80_columns(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = call("explain", name)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert "\x1b" not in result.stdout
    document = json.loads(call("explain", name, "--json").stdout)
    assert lines[0].split()[0] == document["name"]
    for field in ("title", "remarks", "signature", "example"):
        assert words(document[field]) in words(result.stdout) or field == "remarks"
    for field in ("paper", "use", "defaults", "deviations"):
        assert words(document[field]) in words(result.stdout)
    for equation in document["equation"].split("\n"):
        assert words(equation) in words(result.stdout)


def test_what_it_says_of_an_optimizer() -> None:
    result = call("explain", "lion")
    for part in (
        "Lion  optimizer",
        "    m ← β₂·m + (1 − β₂)·g",
        "Paper       Chen et al. 2023",
        "State       m: 4 bytes for each number of a float32 parameter",
        "Passes      1 over the data; fused on this CPU",
        "Decay       decoupled, l2, independent, cautious, proximal; the first",
        "    optim.Lion(params, lr=0.0001, betas=(0.9, 0.99)",
        "    optimizer = optim.Lion(model, lr=0.0001)",
    ):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("adam", ("with amsgrad=True exp_avg", "Dialects    torch, paper, keras, optax")),
        ("LAMB", ("\nadam:\n", "\ntrust_ratio:\n", "Made of     adam → trust_ratio")),
        ("prodigy", ("2 over the data, over all tensors together",)),
        ("ScheduleFreeSGD", ("inside optimizer.evaluating()",)),
        ("ema", ("ema  rule, acts after the step", "after=ema())", "rules.ema(decay=0.999")),
        ("SGLD", ("State       none",)),
        ("rules.adam", ("adam  rule, acts on the update", "rules.adam(beta1=0.9")),
        ("nesterov", ("SGD  optimizer", "SGD(model, lr=0.001, momentum=0.9, nesterov=True)")),
        ("optim.momentum", ("SGD  optimizer", "SGD(model, lr=0.001, momentum=0.9)")),
        ("momentum", ("momentum  rule",)),
        ("Cosine", ("cosine  schedule", "schedules.cosine(peak=1.0, *, steps", "  # 0.025")),
        ("sam", ("SAM  wrapper", "meta.SAM(optimizer, rho=0.05")),
        ("thalweg.optim.Adan", ("Adan  optimizer",)),
        ("meta.sam", ("SAM  wrapper",)),
    ],
)
def test_names_of_every_kind(name: str, parts: tuple[str, ...]) -> None:
    result = call("explain", name)
    assert result.exit_code == 0
    for part in parts:
        assert part in result.stdout


@pytest.mark.parametrize(
    ("name", "kind", "other"),
    [
        ("adam", "the rule adam", "rules.adam"),
        ("rules.Adam", "the optimizer Adam", "optim.Adam"),
        ("accumulate", "the rule accumulate", "rules.accumulate"),
        ("rules.accumulate", "the wrapper Accumulate", "meta.Accumulate"),
        ("momentum", "the optimizer momentum", "optim.momentum"),
    ],
)
def test_the_other_of_a_name_is_said_and_found(name: str, kind: str, other: str) -> None:
    result = call("explain", name)
    assert result.stdout.endswith(f"\nThere is also {kind}: `thalweg explain {other}`.\n")
    assert call("explain", other).stdout.splitlines()[0] != result.stdout.splitlines()[0]


def test_a_name_of_one_thing_has_no_other() -> None:
    for name in ("ema", "sam", "cosine", "nesterov", "LAMB"):
        assert "There is also" not in call("explain", name).stdout


def test_json_is_the_card() -> None:
    document = json.loads(call("explain", "Adan", "--json").stdout)
    assert document == json.loads(json.dumps(card("Adan").as_dict()))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adma", "Nothing is called 'adma'. Did you mean 'Ada"),
        ("cosin", "Did you mean 'cosine'"),
        ("rules.emma", "Did you mean 'ema'"),
        ("zzzzzz", "Nothing is called 'zzzzzz'. `thalweg list` shows the names."),
        ("rules.Lyon", "Did you mean 'Lion'"),
        ("schedules.adam", "'schedules.adam'"),
    ],
)
def test_a_wrong_name_is_said_as_other_wrong_input(name: str, message: str) -> None:
    result = call("explain", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


@pytest.mark.parametrize(
    ("line", "width", "parts"),
    [
        ("short", 80, ["short"]),
        ("a = b + c,   d = 1", 12, ["a = b + c,", "    d = 1"]),
        ("f(aaaa, bbbb, cccc)", 15, ["f(aaaa, bbbb,", "    cccc)"]),
        ("aaaa bbbb cccc", 10, ["aaaa bbbb", "    cccc"]),
        ("    indented bbbb", 14, ["    indented", "    bbbb"]),
        ("nowhereatall", 5, ["nowhereatall"]),
    ],
)
def test_long_lines_break_where_it_hurts_least(line: str, width: int, parts: list[str]) -> None:
    assert fold(line, width) == parts


def test_wrappers_are_all_described() -> None:
    assert {name for name in NAMES if hasattr(meta, name)} == {
        name for name in meta.__all__ if isinstance(getattr(meta, name), type)
    } - {"Wrapper"}


def run(
    monkeypatch: pytest.MonkeyPatch, command: str, encoding: str
) -> tuple[int | str | None, bytes, bytes]:
    """Run the command line with streams of an encoding; return its exit code and what it wrote."""
    written = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(each, encoding) for each in written]
    with monkeypatch.context() as patch:
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as ended:
            main(command.split())
    for stream in streams:
        stream.flush()
    return ended.value.code, *(each.getvalue() for each in written)  # type: ignore[return-value]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", ["explain lion", "list rules", "explain λ"])
def test_what_an_encoding_lacks_is_replaced(
    encoding: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(monkeypatch, command, encoding)
    assert b"Traceback" not in err
    if command == "explain λ":
        assert code == 2
        assert b"Nothing is called" in err
    else:
        assert (code, err) == (0, b"")
        assert b"?" in out
        out.decode(encoding)


def test_into_a_pipe_it_is_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run(monkeypatch, "explain Lion", "utf-8")
    assert code == 0
    text = out.decode("utf-8")
    assert "β₁·m" in text
    assert "\x1b" not in text
