"""What the outputs say: nothing of the targets, nothing of the inputs, or what the loss does not want."""

from __future__ import annotations

import math

import numpy as np

from thalweg.doctor.forks.remedies import advice, half_dropout
from thalweg.doctor.symptoms.reading import INFORMED, gradient_norms, has_diverged
from thalweg.doctor.symptoms.starts import guessing
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Kind, Statistic, Verdict
from thalweg.doctor.watched import StaleStatistics, Watched

FEWEST_STEPS = 100
CONSTANT = 1e-5
GUESSED = 0.95
"""Loss of the validation set as a share of that of guessing."""
EASIER = 0.1
"""The validation set is too easy if its loss is lower by more than this share of the loss of guessing."""
LEARNED = 0.85
"""The validation set is too easy only if its loss is below this share of that of the training set."""
STALE = 1.1
"""Loss by stale statistics as a multiple of that by fresh ones."""
WORSE = 2.0
"""Loss in evaluation mode as a multiple of that in training mode, on the same batches, and the other way."""
CARRIED = 0.5
"""Share of the gradient of the step before; it is 1 where nothing sets gradients to 0."""
ROUNDED = 1e-4
"""What rounding may do to a gradient that is computed again, as a share of it: sums in another order."""
BOUNDED = {
    "ReluBackward0": (0.0, math.inf),
    "SigmoidBackward0": (0.0, 1.0),
    "TanhBackward0": (-1.0, 1.0),
}
"""What the last operation can give."""
DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
POSITIVE = 1e-3
"""A value above this is not a log-probability."""
PROBABLE = ("SoftmaxBackward0", "SigmoidBackward0")


class LearnsNothing(Symptom):
    """The outputs say no more of their targets than those of other rows do."""

    name = "learns_nothing"
    after = ("*",)

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where exchanging the outputs of rows does not raise the loss."""
        seen = watched.check
        if seen is None or watched.steps < FEWEST_STEPS or not seen.shuffled > 0:
            return []
        if has_diverged(watched):
            return []  # a loss so high does not show its targets
        ratio = seen.loss / seen.shuffled
        if not ratio > INFORMED:
            return []
        found = Statistic("loss / loss with the outputs of other rows", ratio, high=INFORMED)
        remedy = advice(
            "look_at_pairs",
            "see whether inputs and targets belong together, and what the loss compares",
        )
        words = f"After {watched.steps} steps the outputs do not depend on the targets."
        return [Verdict(self.name, found, since=1, words=words, remedy=remedy)]


class ConstantOutputs(Symptom):
    """The outputs do not depend on the inputs."""

    name = "constant_outputs"
    after = ("*",)

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict where all rows have the same outputs, and the loss compares them with targets."""
        if watched.pairs is not None and not watched.pairs.targets_matter:
            return []  # the outputs are what is minimized
        seen = watched.check
        if seen is None or seen.spread > CONSTANT * max(seen.size, 1e-12):
            return []
        if has_diverged(watched):
            return []  # units that are saturated lose the inputs, too
        found = Statistic("spread of the outputs / their size", seen.spread / max(seen.size, 1e-12))
        remedy = advice("look_at_forward", "see where the model loses its inputs")
        words = "All rows get the same outputs."
        return [Verdict(self.name, found, words=words, remedy=remedy)]


class MixedRows(Symptom):
    """The outputs of a row depend on the other rows of the batch, in evaluation mode."""

    name = "mixed_rows"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict where other rows, in another order, change the outputs of rows that stay."""
        if watched.check is None or not watched.check.mixes_rows:
            return []
        remedy = advice("look_at_shapes", "look for a reshape or a sum over the axis of the rows")
        words = "In evaluation mode, the outputs of a row depend on the other rows of its batch."
        return [Verdict(self.name, status="confirmed", words=words, remedy=remedy)]


class RandomEvaluation(Symptom):
    """Outputs are random in evaluation mode."""

    name = "random_evaluation"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict where two evaluations of one batch differ."""
        if watched.check is None or not watched.check.is_random:
            return []
        remedy = advice("use_modules", "nn.Dropout, or training=self.training in functions")
        words = (
            "Two evaluations of a batch differ: something draws random numbers in evaluation mode."
        )
        kind: Kind = "fault" if self._matters(watched) else "information"
        return [Verdict(self.name, kind=kind, status="confirmed", words=words, remedy=remedy)]

    def _matters(self, watched: Watched) -> bool:
        """Return whether PyTorch's dropout is in the model, or nothing says that drawing is meant."""
        outputs = watched.loss_name
        return outputs in ("cross_entropy", "nll_loss", *DISTANCES)


class ModesDiffer(Symptom):
    """The loss of the same batches differs much between training and evaluation mode."""

    name = "modes_differ"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where one mode is far worse than the other."""
        if has_diverged(watched):
            return []  # running statistics are far behind weights that run away
        if watched.stale is not None and watched.stale.loss > STALE * watched.stale.fresh > 0:
            return [self._stale(watched.stale)]
        if not watched.modes:
            return []
        seen = watched.modes[-1]
        first = watched.losses.first(1)
        floor = 0.05 * abs(float(first[0])) if len(first) and math.isfinite(first[0]) else 0.0
        low = max(min(seen.training, seen.evaluation), 1e-12)
        high = max(seen.training, seen.evaluation)
        if not high > WORSE * low or high < floor:
            return []
        worse = "evaluation" if seen.evaluation > seen.training else "training"
        words = "more momentum or more passes for running statistics"
        remedy = half_dropout() if worse == "training" else advice("look_at_modes", words)
        found = Statistic(f"loss in {worse} mode / in the other", high / low, high=WORSE)
        words = f"The same batches have {high / low:.2g} times the loss in {worse} mode."
        return [Verdict(self.name, found, words=words, remedy=remedy)]

    def _stale(self, seen: StaleStatistics) -> Verdict:
        found = Statistic(
            "share of the running statistics that is from initialization", seen.kept, high=0.5
        )
        words = (
            f"The running statistics of {seen.name or 'the model'} have hardly moved from 0 and 1; with "
            f"those of the batches the loss in evaluation mode is {seen.fresh:.3g}, not {seen.loss:.3g}."
        )
        remedy = advice(
            "look_at_momentum", "a larger momentum, such as 0.1; statistics that are not frozen"
        )
        return Verdict(
            self.name, found, status="confirmed", where=seen.name, words=words, remedy=remedy
        )


class WrongOutputs(Symptom):
    """The last operation gives what the loss does not want, or what cannot reach the targets."""

    name = "wrong_outputs"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict by the last operation of the model, the loss and the range of the targets."""
        seen = watched.check
        if seen is None:
            return []
        wants_logits = watched.loss_name in ("cross_entropy", "binary_cross_entropy_with_logits")
        if wants_logits and seen.made_by in PROBABLE:
            words = f"The outputs are probabilities; {watched.loss_name} expects logits."
            remedy = advice("logits", "leave out the softmax or sigmoid at the end")
            return [Verdict(self.name, status="confirmed", words=words, remedy=remedy)]
        if watched.loss_name == "nll_loss" and seen.range[1] > POSITIVE:
            words = f"The outputs reach {seen.range[1]:.3g}; nll_loss expects log-probabilities, at most 0."
            remedy = advice("log_softmax", "put log_softmax at the end, or take cross_entropy")
            return [Verdict(self.name, status="confirmed", words=words, remedy=remedy)]
        if watched.loss_name in DISTANCES and seen.made_by in BOUNDED:
            low, high = BOUNDED[seen.made_by]
            margin = 0.05 * (seen.targets[1] - seen.targets[0])
            if seen.targets[0] < low - margin or seen.targets[1] > high + margin:
                kind = seen.made_by.removesuffix("Backward0")
                words = (
                    f"The outputs come from {kind} and lie in {low:g} to {high:g}; targets reach from "
                    f"{seen.targets[0]:.3g} to {seen.targets[1]:.3g}."
                )
                remedy = advice("linear_outputs", "leave out the activation at the end")
                return [Verdict(self.name, status="confirmed", words=words, remedy=remedy)]
        return []


class NoGeneralization(Symptom):
    """The sets do not belong together: the validation set is not guessed better than without inputs, or it is
    far easier than what was learned.
    """

    name = "no_generalization"
    after = ("*",)

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where the loss of the validation set is that of guessing, or above."""
        guessed = guessing(watched)
        if guessed is None or not watched.validations or watched.steps < FEWEST_STEPS:
            return []
        if has_diverged(watched):
            return []  # nothing was learned that could hold
        guessed *= 0.5 if watched.loss_name == "mse_loss" else 1.0
        step, seen = watched.validations[-1]
        if not guessed > 0 or not seen > GUESSED * guessed:
            return self._easier(watched, guessed, seen)
        found = Statistic(
            "loss of the validation set / loss of guessing", seen / guessed, high=GUESSED
        )
        remedy = advice(
            "look_at_sets",
            "compare the sets: scales, targets in the order of the inputs; then a penalty",
        )
        words = f"At step {step}, what is learned does not generalize to the validation set."
        return [Verdict(self.name, found, words=words, remedy=remedy)]

    def _easier(self, watched: Watched, guessed: float, seen: float) -> list[Verdict]:
        """Return a suspicion where the validation set is far easier than the training set, in one mode."""
        own = watched.modes[-1].evaluation if watched.modes else math.nan
        if not (own - seen > EASIER * guessed > 0 and seen < LEARNED * own):
            return []
        found = Statistic(
            "loss of the validation set / of the training set", seen / own, low=LEARNED
        )
        remedy = advice(
            "look_at_labels",
            "look for wrong labels in the training set; fine where its rows are changed on purpose",
        )
        words = "The validation set is easier than the training set."
        return [Verdict(self.name, found, words=words, remedy=remedy)]


class ForgottenZeroGrad(Symptom):
    """The gradient of a step still contains that of the step before."""

    name = "forgotten_zero_grad"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict where the second gradient is the sum of its own and the first one."""
        if not watched.forgotten > CARRIED or not self._is_resolved(watched):
            return []
        found = Statistic(
            "share of the first gradient in the second", watched.forgotten, high=CARRIED
        )
        words = "The gradient of a step still contains that of the step before."
        remedy = advice("zero_grad", "call optimizer.zero_grad() before each backward()")
        return [Verdict(self.name, found, status="confirmed", since=2, words=words, remedy=remedy)]

    def _is_resolved(self, watched: Watched) -> bool:
        """Return whether the first gradient is not lost in the rounding of a far larger second one."""
        steps, norms = [s.step for s in watched.updates][:2], gradient_norms(watched)[:2]
        if steps != [1, 2] or len(norms) < 2 or not np.isfinite(norms).all():
            return True  # not known
        return bool(ROUNDED * norms[1] < CARRIED * norms[0])


class WrongGradient(Symptom):
    """The gradient of a parameter is not the slope of the loss."""

    name = "wrong_gradient"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict for each parameter with a gradient of the other sign, or none."""
        found = []
        for error in watched.gradient_errors[:3]:
            statistic = Statistic(
                "slope of the loss along the gradient / its norm", error.ratio, low=0.3
            )
            what = "has no gradient" if not error.norm else "has a gradient of the wrong sign"
            words = f"{error.name} {what}, though the loss depends on it."
            remedy = advice("look_at_backward", "look for detach, no_grad, .data or a hook there")
            if error.norm:
                found.append(
                    Verdict(
                        self.name, statistic, status="confirmed", where=error.name, words=words,
                        remedy=remedy,
                    )
                )  # fmt: skip
            else:
                found.append(
                    Verdict(
                        self.name, status="confirmed", where=error.name, words=words, remedy=remedy
                    )
                )
        return found
