"""What the doctor says: a verdict, the statistic it stands on, its remedy and the measured effect."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from thalweg.numeric import without_nonfinite

if TYPE_CHECKING:
    from thalweg.doctor.forks.arm import Arm

Kind = Literal["fault", "warning", "information"]
Status = Literal["confirmed", "refuted", "suspected", "cannot be told"]
KINDS: tuple[Kind, ...] = ("fault", "warning", "information")
STATUSES: tuple[Status, ...] = ("confirmed", "suspected", "cannot be told", "refuted")


@dataclass(frozen=True)
class Statistic:
    """A measured number with its standard error, and the range of healthy runs.

    `stderr` is NaN where none is known; `low` and `high` are infinite where nothing bounds that side.

    >>> print(Statistic("share of steps that raise the loss", 0.8, 0.05, high=0.5))
    share of steps that raise the loss = 0.8 ± 0.05 (healthy: below 0.5)
    """

    name: str
    value: float
    stderr: float = math.nan
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        error = "" if math.isnan(self.stderr) else f" ± {self.stderr:.2g}"
        return f"{self.name} = {self.value:.3g}{error}{self._healthy()}"

    def _healthy(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return ""
        if math.isinf(self.low):
            return f" (healthy: below {self.high:.3g})"
        if math.isinf(self.high):
            return f" (healthy: above {self.low:.3g})"
        return f" (healthy: {self.low:.3g} to {self.high:.3g})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; what is not finite is None."""
        names = ("name", "value", "stderr", "low", "high")
        plain: dict[str, Any] = without_nonfinite({name: getattr(self, name) for name in names})
        return plain


@dataclass(frozen=True)
class Remedy:
    """A change of what is trained, in words and as something that can be done.

    Args:
        name: short, such as "lower_rate".
        words: what to do, such as "lr / 10".
        settings: the same as plain data, for those who change a recipe: {"lr_factor": 0.1}.
        change: applies it to one arm of a fork; None where a fork cannot try it.
        from_start: whether it changes how training begins, so that both arms must begin there.
        from_end: whether it leads away from where the run ended, so that both arms begin there.
        for_speed: whether it is enough that the loss falls faster.
        least: the ratio of losses below which it is said to help.
        under: a loss that it must come below in every fork, such as the one with which the run ended.
        guessed: the loss of guessing, where the arms are measured by another loss than the run's.
        both: is done to both arms before, where they must have more in common than the batches.
        steps: how long a fork trains; None for the usual 40 steps.
        forks: how many there are at least, where without the remedy luck decides.
    """

    name: str
    words: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Arm], None] | None = field(default=None, repr=False, compare=False)
    from_start: bool = False
    from_end: bool = False
    for_speed: bool = False
    least: float = 0.9
    under: float = math.inf
    guessed: float = 0.0
    both: Callable[[Arm], None] | None = field(default=None, repr=False, compare=False)
    steps: int | None = None
    forks: int = 0

    def __str__(self) -> str:
        return self.words

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "name": self.name,
            "words": self.words,
            "settings": dict(self.settings),
            "from_start": self.from_start,
            "can_be_tried": self.change is not None,
        }


@dataclass(frozen=True)
class Effect:
    """What forks measured of a remedy: the loss after as many steps without and with it.

    `without` and `with_remedy` are geometric means over the forks; `low` and `high` enclose their ratio
    with / without, below 1 where the remedy helps. `before` is the loss where the forks begin, `worst` the
    highest loss with the remedy. Where losses are negative, ratios are those of the losses plus `shift`.

    >>> print(Effect("loss", 2.0, 0.5, 0.2, 0.3, steps=30, forks=6))
    loss 2 → 0.5 over 30 steps (ratio, 95 %: 0.2 to 0.3, 6 forks)
    >>> print(Effect("loss", 2.0, 2.1, 0.0, math.inf, steps=30, forks=2))
    loss 2 → 2.1 over 30 steps (2 forks, too few for an interval)
    """

    measure: str
    without: float
    with_remedy: float
    low: float
    high: float
    steps: int
    forks: int
    before: float = math.nan
    worst: float = math.nan
    shift: float = 0.0

    @property
    def ratio(self) -> float:
        """The loss with the remedy as a share of the loss without."""
        without = self.without + self.shift
        return (self.with_remedy + self.shift) / without if without else math.nan

    @property
    def progress(self) -> float:
        """How far the loss fell with the remedy, as a multiple of that without; infinite where it did
        not fall without.
        """
        without, treated = self.before - self.without, self.before - self.with_remedy
        return treated / without if without > 0 else math.copysign(math.inf, treated)

    def __str__(self) -> str:
        change = (
            f"{self.measure} {self.without:.3g} → {self.with_remedy:.3g} over {self.steps} steps"
        )
        if self.low <= 0 and self.high == math.inf:
            return f"{change} ({self.forks} forks, too few for an interval)"
        of = f" of the loss + {self.shift:.2g}" if self.shift else ""
        return f"{change} (ratio{of}, 95 %: {self.low:.2g} to {self.high:.2g}, {self.forks} forks)"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        names = ("measure", "without", "with_remedy", "low", "high", "steps", "forks", "before")
        plain: dict[str, Any] = without_nonfinite({name: getattr(self, name) for name in names})
        return plain | ({"shift": self.shift} if self.shift else {})


@dataclass(frozen=True)
class Verdict:
    """One thing that the doctor says of a run.

    `kind` is how much it matters; `status` how well it is known: confirmed (by a fork, or because it is
    evident, such as a loss that is not finite), suspected (nothing could be tried), refuted (the remedy does
    not help) or "cannot be told". What is refuted is information only.

    `where` is a layer or parameter, empty for the whole run; `since` the step when it was first seen.
    `others` are remedies that are tried where the first does not help; `behind` names symptoms that say more
    than this one: where they are found, too, they are told first. With `only_by_fork` the evidence alone says
    little: where nothing could be tried, it cannot be told.

    >>> print(Verdict("lr_too_high", Statistic("share", 0.8, high=0.5), words="Steps overshoot."))
    lr_too_high (fault, suspected): share = 0.8 (healthy: below 0.5). Steps overshoot.
    """

    symptom: str
    statistic: Statistic | None = None
    kind: Kind = "fault"
    status: Status = "suspected"
    where: str = ""
    since: int | None = None
    words: str = ""
    remedy: Remedy | None = None
    effect: Effect | None = None
    others: tuple[Remedy, ...] = ()
    behind: tuple[str, ...] = ()
    only_by_fork: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether it says that something is wrong: a fault that was not refuted."""
        return self.kind == "fault" and self.status in ("confirmed", "suspected")

    def __str__(self) -> str:
        place = f" in {self.where}" if self.where else ""
        measured = f" {self.statistic}" if self.statistic is not None else ""
        since = "" if self.since is None else f", since step {self.since}"
        parts = [f"{self.symptom}{place} ({self.kind}, {self.status}):{measured}{since}"]
        parts[0] = (parts[0] if measured or since else parts[0].rstrip(":")) + "."
        parts += [self.words] if self.words else []
        parts += [f"Remedy: {self.remedy}."] if self.remedy is not None else []
        parts += [f"Effect measured: {self.effect}."] if self.effect is not None else []
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        parts = {name: getattr(self, name) for name in ("statistic", "remedy", "effect")}
        names = ("symptom", "kind", "status", "where", "since", "words")
        return {
            **{name: getattr(self, name) for name in names},
            **{name: None if part is None else part.to_dict() for name, part in parts.items()},
        }
