"""What a loss compares: each row with its own target, or rows with those of others."""

from __future__ import annotations

from thalweg.doctor.forks.remedies import advice, judged_as_classes
from thalweg.doctor.symptoms.starts import entropy
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Verdict
from thalweg.doctor.watched import Watched


class UnpairedLoss(Symptom):
    """The loss stays the same when rows exchange their targets, so outputs cannot learn their own."""

    name = "unpaired_loss"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict where targets matter to the loss, and their order does not."""
        if watched.pairs is None or not watched.pairs.is_unpaired:
            return []
        words = (
            "The loss stays the same when rows exchange their targets; it compares each output with all of "
            "them, as (rows,) less (rows, 1) does."
        )
        remedy = advice("look_at_loss", "give outputs and targets the same shape")
        return [
            Verdict(self.name, status="confirmed", where="the loss", words=words, remedy=remedy)
        ]


class MixedLoss(Symptom):
    """The loss of a batch lies outside of those of its rows, though targets are classes.

    Cross-entropy is tried where the run ended: of two losses that lead to the same end one is the quicker at
    first, and a start may hide for as long that the other leads nowhere.
    """

    name = "mixed_loss"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where no mean of the losses of single rows is that of the batch."""
        if watched.pairs is None or not watched.pairs.mixes_rows:
            return []
        words = (
            "The loss of a batch is not the mean of the losses of its rows: it compares rows with each "
            "other, which only contrastive losses should do."
        )
        remedy = judged_as_classes(entropy(watched.labels.counts))
        return [Verdict(self.name, where="the loss", words=words, remedy=remedy)]
