"""The doctor in any training loop: it watches, suspects, and confirms by forks what it suspects."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg.doctor.arguments import check_arguments, check_step
from thalweg.doctor.clock import Clock, is_power_of_two
from thalweg.doctor.confirm import confirmed
from thalweg.doctor.examine import examine
from thalweg.doctor.forks.fork import Forks, OutOfBudgetError
from thalweg.doctor.forks.origin import MOST_BYTES, Origin, size_of
from thalweg.doctor.gauges.carried import CarriedGradient
from thalweg.doctor.gauges.data import DataGauge
from thalweg.doctor.gauges.gauge import Gauge
from thalweg.doctor.gauges.layers import LayerGauge
from thalweg.doctor.gauges.updates import UpdateGauge, named_parameters
from thalweg.doctor.kept import Kept
from thalweg.doctor.notes import MOST, Notes
from thalweg.doctor.recorded import gauges_of
from thalweg.doctor.report import Report, WatchingCost
from thalweg.doctor.series import curve
from thalweg.doctor.symptoms.all import SYMPTOMS
from thalweg.doctor.symptoms.starts import guessing
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.undisturbed import losses_of, matching, modes_of
from thalweg.doctor.unwatched import blind_spots, trained_by
from thalweg.doctor.verdict import Verdict
from thalweg.doctor.watched import BatchLoss, NotFinite, Watched
from thalweg.errors import ThalwegError
from thalweg.objective.cost import Cost
from thalweg.objective.losses import as_loss
from thalweg.train.folder.gauges import Gauges

EARLIEST_ORIGIN = 32
"""From this step on a state of the run is kept at powers of 2."""


class Doctor:
    """Watches a training loop and says why it is slow or bad; the training stays bitwise the same.

    Without `loss` and batches it only suspects; with both it tries each remedy in forks of the run.

    Args:
        model: what is trained.
        optimizer: any `torch.optim.Optimizer`.
        budget: the time of watching as a share of that of training.
        loss: the name of a loss, a module, a function (outputs, targets), or a `Cost` with its penalty; None
            where nothing is to be tried. Outputs are `model(inputs)`.
        forks: gradient-equivalents that forks may cost, reported apart; 0 for none.
        planned: how many steps the run will have, where that is known.
        symptoms: what is looked for; None for all that are known.

    Raises:
        TaskError: a model or an optimizer that is not one, or a budget that is not a number of at least 0.

    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> model = nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> x = torch.randn(64, 3)
    >>> with Doctor(model, optimizer, loss="mse") as doctor:
    ...     for _ in range(20):
    ...         optimizer.zero_grad()
    ...         loss = nn.functional.mse_loss(model(x), x[:, :1])
    ...         loss.backward()
    ...         optimizer.step()
    ...         doctor.step(loss, batch=(x, x[:, :1]))
    >>> doctor.report().healthy
    True
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        budget: float = 0.05,
        loss: Any = None,
        forks: float = 5000.0,
        planned: int | None = None,
        symptoms: Iterable[Symptom] | None = None,
    ) -> None:
        began = time.perf_counter()
        check_arguments(model, optimizer, budget, forks)
        self._unwatched = blind_spots(model, optimizer)
        self.model, self.optimizer = trained_by(model), optimizer
        self.clip_norm: float | None = None
        """The norm to which the loop cuts gradients, so that forks do it, too; None where it does not."""
        self.penalty = loss.penalty if isinstance(loss, Cost) else None
        surrogate = loss.surrogate if isinstance(loss, Cost) else loss
        self.loss = None if surrogate is None else matching(as_loss(surrogate))
        self.symptoms = tuple(SYMPTOMS if symptoms is None else symptoms)
        self.clock = Clock(budget)
        self.spent = 0.0
        self._forks, self._is_closed, self._last = forks, False, math.nan
        self.watched = Watched(self.model, optimizer, planned=planned)
        self.watched.loss_name = "" if surrogate is None else as_loss(surrogate).name
        _, self.watched.parameters = named_parameters(self.model, optimizer)
        self._gauges: list[Gauge] = [UpdateGauge(self.watched, self._failed)]
        if "activations" not in self._unwatched:
            self._gauges.append(LayerGauge(self.watched, self._failed))
        self._data, self._kept, self._carried = DataGauge(self.watched), Kept(), CarriedGradient()
        self._notes = Notes()
        self._read = 0
        """The steps of which the notes were read."""
        self._is_attached, self._until, self._sees_data = False, 0, False
        self._quiet = 0
        """While there are fewer notes than these, nothing of a step is kept but a note."""
        self._origins: list[Origin] = []
        self._guard("forks", self._keep_origin)
        self._prepare()
        self.clock.watched(time.perf_counter() - began)

    def step(self, loss: Tensor | float, batch: Any = None) -> None:
        """Tell the doctor of a step, after `optimizer.step()`.

        Args:
            loss: that of the batch, before the update: one number.
            batch: (inputs, targets), where the doctor may look at them and keep some.

        Raises:
            TaskError: the loss is not a number, or the batch is not a pair. Whatever else fails is reported
                and does not end the training.
        """
        began = time.perf_counter()
        notes = self._notes.rows
        if len(notes) < self._quiet and type(loss) is Tensor and loss.is_cpu:
            try:  # as little as can be: in a step of .4 ms each microsecond shows
                rate = self.optimizer.param_groups[0].get("lr", math.nan)
                notes.append((loss.item(), float(rate), began, time.perf_counter()))
                return
            except Exception:  # noqa: S110 — what is wrong is said below
                pass
        check_step(loss, batch)
        if self._is_closed:
            return
        self.watched.steps = self._steps + 1
        try:
            self._note(loss, batch, began)
        except Exception as error:  # the doctor's own: it must not end the training
            self._failed("steps", error)
        if self.watched.steps >= self._until:
            self._settle(batch)
        if not self._sees_data:
            unseen = self._until if batch is None else min(self._until, self._kept.next)
            self._quiet = len(self._notes.rows) + unseen - 1 - self.watched.steps

    def _note(self, loss: Tensor | float, batch: Any, began: float) -> None:
        """Write down what a step leaves, as cheaply as can be, and keep what is to be kept of the batch."""
        step = self.watched.steps
        rate = float(self.optimizer.param_groups[0].get("lr", math.nan))
        try:
            if batch is not None and (self._sees_data or step >= self._kept.next):
                is_kept = self._kept.see(step, batch)
                if self._sees_data and not is_kept:  # kept ones are read at the report
                    self._data.see(step, batch)
        finally:
            self._notes.add(loss, rate, began)

    def _settle(self, batch: Any) -> None:
        """Read the notes, look at the step if it was to be looked at, and see whether the next one is."""
        was_looked_at, steps = self._is_attached, self.watched.steps
        if not was_looked_at and is_power_of_two(steps + 1) and len(self._notes.rows) < MOST:
            self._prepare()  # whatever the clock says: the notes are read after that step
            self._notes.prolong()
            return
        hooks = sum(g.seconds for g in self._gauges) if was_looked_at else None
        if steps == 1:
            self.watched.modules = modes_of(self.model)
        self._guard("steps", lambda: self._read_notes(hooks))
        if was_looked_at:
            self._look(batch)
        if steps >= EARLIEST_ORIGIN and is_power_of_two(steps):
            self._guard("forks", self._keep_origin)
        self._prepare()
        noted, self._last = self._last, time.perf_counter()
        if was_looked_at:
            self.clock.looked(self._last - noted)
        else:
            self.clock.watched(self._last - noted)

    def report(self, *, confirm: bool = True) -> Report:
        """Return the verdicts up to now; with `confirm`, remedies are tried in forks where they can be."""
        self._detach()
        self._guard("steps", self._read_notes)
        self.watched.kept = self._kept.batches
        self._guard("data", lambda: self._data.read(self._kept.batches))
        if "examination" not in self._unwatched:
            self._guard("examination", self._examine)
        suspected: list[Verdict] = []
        for symptom in self.symptoms:
            self._guard(symptom.name, lambda s=symptom: suspected.extend(s.looks(self.watched)))  # type: ignore[misc]
        forks = self._make_forks() if confirm and suspected else None
        guessed = guessing(self.watched)
        verdicts = confirmed(suspected, forks, self.symptoms, self._failed, guessed)
        if forks is not None:
            self.spent += forks.spent
        if not self._is_closed:
            self._prepare()
        spent = self.spent + self.watched.gradients
        cost = WatchingCost(self.clock.watching, self.clock.training, spent)
        unwatched = tuple(f"{what}: {why}" for what, why in self._unwatched.items())
        losses = curve(self.watched.losses)
        return Report(tuple(verdicts), unwatched, cost, self.watched.steps, losses)

    @property
    def gauges(self) -> Gauges:
        """What was read of the steps that were looked at, as arrays; `write_gauges` puts it on disk."""
        return gauges_of(self.watched)

    def validated(self, loss: float) -> None:
        """Tell the doctor the loss of the validation set."""
        self.watched.validations.append((self._steps, float(loss)))

    def diverged(self, batch: Any = None) -> None:
        """Tell the doctor that the loss of the next batch is not finite, so that no step is taken on it."""
        self._guard("steps", self._read_notes)
        if batch is not None:
            self._guard("data", lambda: self._data.see(self.watched.steps + 1, batch))
            self._kept.force(self.watched.steps + 1, batch)
        self._guard(
            "losses", lambda: self._add_losses(np.array([math.nan]), self.watched.steps + 1)
        )

    def close(self) -> None:
        """Remove all hooks; `report` still tells what was seen."""
        self._is_closed, self._quiet = True, 0
        self._detach()

    def __enter__(self) -> Doctor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _examine(self) -> None:
        left = self._forks - self.spent
        examine(self.watched, self.loss, self._start, self._failed, left)

    @property
    def _steps(self) -> int:
        """The steps up to now, those of which nothing but a note was kept among them."""
        return self._read + len(self._notes.rows)

    @property
    def _start(self) -> Origin | None:
        return self._origins[0] if self._origins and self._origins[0].step == 0 else None

    def _read_notes(self, hooks: float | None = None) -> None:
        """Read what was written down of the last steps; the time between two of them is training.

        `hooks` are the seconds in hooks of the last one, if it was looked at.
        """
        self._quiet = 0
        noted = self._notes.taken()
        if not len(noted):
            return
        first = self._read + 1
        self._read = self.watched.steps = self._read + len(noted)
        gaps = noted.begun - np.concatenate([[self._last], noted.done[:-1]])
        self._last = float(noted.done[-1])
        self.watched.rates.extend(noted.rates.tolist())
        self._add_losses(noted.losses, first)
        self.clock.watched(float((noted.done - noted.begun).sum()))
        self.clock.went_on(gaps if hooks is None else gaps[:-1])
        if hooks is not None:
            self.clock.stepped(float(gaps[-1]), hooks)

    def _add_losses(self, values: NDArray[np.float64], first: int) -> None:
        """Keep the losses of some steps from this one on."""
        watched, is_finite = self.watched, np.isfinite(values)
        watched.losses.extend(values.tolist())
        if watched.not_finite is None and not is_finite.all():
            watched.not_finite = NotFinite(first + int(is_finite.argmin()), "loss", "forward")

    def _keep_origin(self) -> None:
        """Keep the state of the run for forks: the start, and the last two states of powers of 2."""
        if self.loss is None or "forks" in self._unwatched:
            return
        if size_of(self.model) > MOST_BYTES:
            self._unwatched["forks"] = (
                f"the parameters take more than {MOST_BYTES >> 20} MB, so no state of the run is kept."
            )
            return
        if self.watched.not_finite is None:
            self._origins.append(Origin(self.model, self.optimizer, self.watched.steps))
            del self._origins[1:-2]

    def _look(self, batch: Any) -> None:
        """Read the gauges after a step that was looked at."""
        step = self.watched.steps
        for gauge in self._gauges:
            gauge.unhook()  # what is computed here is none of the run
        if batch is not None and self.clock.looks % 2 == 0:
            self._guard("the loss after a step", lambda: self._compare(step, batch))
        if step <= 2 and self._origins:
            self._guard("gradients of steps before", lambda: self._carry(step, batch))
        for gauge in list(self._gauges):
            self._guard(gauge.name, lambda g=gauge: g.read(step))  # type: ignore[misc]
        self._detach()

    def _before(self) -> dict[str, Tensor]:
        """Return the weights before the step by name; none where they are not known, or are of no use."""
        if self.loss is None or "functional" in self._unwatched:
            return {}
        return next((g.before() for g in self._gauges if isinstance(g, UpdateGauge)), {})

    def _compare(self, step: int, batch: Any) -> None:
        """Compute the loss of a batch before and after the update that was made on it."""
        before = self._before()
        if self.loss is not None and before:
            losses = losses_of(self.model, self.loss, batch, before, None)
            self.watched.batch_losses.add(BatchLoss(step, *losses))

    def _carry(self, step: int, batch: Any) -> None:
        """Keep the gradient of the first step, and look for it in that of the second."""
        if step == 1:
            self._carried.keep(self.model)
            return
        before = self._before()
        if batch is not None and self.loss is not None and before:
            self.watched.forgotten = self._carried.share(self.model, self.loss, batch, before)

    def _prepare(self) -> None:
        """Attach the gauges if the next step is to be looked at, and say up to which step notes suffice."""
        steps = self.watched.steps
        self._is_attached = self.clock.is_due(steps + 1)
        silent = 0 if self._is_attached else self.clock.next_look(steps + 1) - 1 - steps
        self._until = steps + min(max(silent, 1), MOST)
        self._sees_data, self._quiet = self.clock.has_time and self._data.has_room, 0
        if self._is_attached:
            for gauge in list(self._gauges):
                gauge.seconds = 0.0
                self._guard(gauge.name, gauge.attach)

    def _detach(self) -> None:
        self._is_attached = False
        for gauge in self._gauges:
            gauge.detach()
            gauge.seconds = 0.0

    def _make_forks(self) -> Forks | None:
        start = self._start
        if self.loss is None or start is None or not self._forks or "forks" in self._unwatched:
            return None
        later = [o for o in self._origins[1:] if o.step >= EARLIEST_ORIGIN]
        rates = self.watched.rates.last()
        lr = float(sorted(rates)[len(rates) // 2]) if len(rates) else None
        budget = self._forks - self.spent
        middle = later[0] if later else start
        return Forks(
            *(self.model, self.optimizer, self.loss, start, middle, self._kept.batches),
            lr=lr,
            budget=budget,
            penalty=self.penalty,
            clip=self.clip_norm,
            modes=self.watched.modules,
            end=Origin(self.model, self.optimizer, self.watched.steps),
        )

    def _guard(self, name: str, do: Callable[[], Any]) -> None:
        """Do something; what it raises is told in the report."""
        try:
            do()
        except Exception as error:  # the doctor's own: it must not end the training
            self._failed(name, error)

    def _failed(self, name: str, error: Exception) -> None:
        """Keep in mind what could not be watched, and leave its gauge out from now on."""
        is_ours = isinstance(error, (ThalwegError, OutOfBudgetError))
        why = str(error) if is_ours else f"{type(error).__name__}: {error}".rstrip(": ")
        self._unwatched.setdefault(name, why)
        for gauge in [g for g in self._gauges if g.name == name]:
            self._gauges.remove(gauge)
            gauge.detach()
