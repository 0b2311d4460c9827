"""What a check found, and the findings on one optimizer together."""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thalweg.numeric import plural

CheckOutcome = Literal["pass", "fail", "skip"]


class Failed(Exception):  # noqa: N818 (an outcome, which never leaves the kit)
    """Ends a check: the optimizer breaks the contract, in the way the message says."""


class Skipped(Exception):  # noqa: N818
    """Ends a check: it does not apply to this optimizer, for the reason given."""


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one check on one optimizer.

    Attributes:
        name: the check's name, a key of `CHECKS`.
        outcome: "pass", "fail" or "skip" (the check does not apply).
        detail: what was expected and what came, why the check was skipped, or a remark.
        contract: what the check demands, in one sentence.
    """

    name: str
    outcome: CheckOutcome
    detail: str = ""
    contract: str = ""


@dataclass(frozen=True)
class Conformance:
    """The verdicts of all checks on one optimizer; `print` shows them as a table.

    Attributes:
        optimizer: the name of the optimizer's class.
        results: one `CheckResult` a check, in the order they ran.
        notes: how the optimizer was run where that is not the usual way.
    """

    optimizer: str
    results: Sequence[CheckResult]
    notes: Sequence[str] = ()

    @property
    def failed(self) -> list[CheckResult]:
        """The results of the checks that failed."""
        return [result for result in self.results if result.outcome == "fail"]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def causes(self) -> list[list[CheckResult]]:
        """The failed results, those with the same detail together."""
        alike: dict[str, list[CheckResult]] = {}
        for result in self.failed:
            alike.setdefault(result.detail, []).append(result)
        return list(alike.values())

    def __getitem__(self, name: str) -> CheckResult:
        """Return the result of the check called `name`."""
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(name)

    def raise_for_failures(self) -> None:
        """Raise an `AssertionError` that lists every failure, if there is one."""
        if self.ok:
            return
        count = len(self.failed)
        parts = [f"{self.optimizer} fails {plural(count, 'check')}:"]
        for alike in self.causes:
            parts += [""] + [f"{result.name}: {result.contract}" for result in alike]
            parts.append(textwrap.indent(_fold(alike[0].detail, 96), "    "))
        raise AssertionError("\n".join(parts))

    def __str__(self) -> str:
        counts = Counter(result.outcome for result in self.results)
        lines = [
            f"{self.optimizer}: {counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped"
        ]
        lines += [f"  note: {note}" for note in self.notes]
        width = max((len(result.name) for result in self.results), default=0)
        indent = " " * (width + 10)
        first = {result.name: alike[0].name for alike in self.causes for result in alike}
        for alike in _runs(self.results):
            result = alike[0]
            word = "FAIL" if result.outcome == "fail" else result.outcome
            detail = result.detail
            if word == "FAIL" and first[result.name] != result.name:
                detail = f"The same as `{first[result.name]}`."
            text = f"{result.contract} {detail}" if word == "FAIL" else detail
            if len(alike) > 1:
                text += f"; the same for the {len(alike) - 1} checks after it"
            text = _fold(text, max(100 - len(indent), 40)).replace("\n", f"\n{indent}")
            lines.append(f"  {word}  {result.name:<{width}}  {text}".rstrip())
        return "\n".join(lines)


def _runs(results: Sequence[CheckResult]) -> list[list[CheckResult]]:
    """Group consecutive results that were skipped for the same reason, if there are many."""
    groups = itertools.groupby(results, lambda r: (r.outcome == "skip", r.detail))
    runs = []
    for (skipped, _), group in groups:
        alike = list(group)
        runs += [alike] if skipped and len(alike) > 5 else [[result] for result in alike]
    return runs


def _fold(text: str, width: int) -> str:
    return textwrap.fill(" ".join(text.split()), width, break_long_words=False)
