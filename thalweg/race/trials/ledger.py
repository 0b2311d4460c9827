"""The ledger of a race: the newest record of each trial, on disk and in memory."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from thalweg.race.trials.plan import Trial
from thalweg.race.trials.records import RecordFile, TrialRecord


class Ledger:
    """The newest record of each trial, kept in a file as well, if there is one.

    A trial that finished or diverged is done: it would do the same again. One that failed may have
    failed for a reason outside it (too little memory, a server away, a fault in a model that was
    mended since), so it is tried again, once in each call of `begin`. The file keeps every record.

    A record that cannot be written stays in memory, and is written with the next one.
    """

    def __init__(self, path: Path | None, *, fresh: bool = False) -> None:
        self._file = None if path is None else RecordFile(path)
        if fresh and self._file is not None:
            self._file.set_aside()
        self._stored: dict[str, TrialRecord] = {}
        self._again: set[str] = set()
        self._unsaved: list[TrialRecord] = []
        self._trouble = ""
        self.read()

    def read(self) -> None:
        """Read the records on disk, where another race may have written, too."""
        for record in () if self._file is None else self._file.read():
            held = self._stored.get(record.key)
            if held is None or held.status == "failed" or record.status != "failed":
                self._stored[record.key] = record

    def begin(self) -> None:
        """Let every trial that failed be tried again."""
        self._again = {key for key, held in self._stored.items() if held.status == "failed"}

    def check(self) -> None:
        """Raise OSError if no record could be written: better now than after the first trial."""
        if self._file is not None:
            self._file.check()

    def holds(self, key: str) -> bool:
        """Return whether there is a record of a trial."""
        return key in self._stored

    def awaits(self, key: str) -> bool:
        """Return whether a trial is to be run."""
        return key not in self._stored or key in self._again

    def get(self, key: str, trial: Trial) -> TrialRecord:
        """Return the record of a trial, as one of that trial.

        It may have been run by a race whose seeds of tuning were others, and so for another stage;
        and what the key stands for may have been edited in the file.
        """
        return replace(
            self._stored[key],
            entrant=trial.entrant.name,
            lr=trial.point.lr,
            seed=trial.seed,
            hyperparameters=dict(trial.point.others),
            stage=trial.stage,
            epochs=trial.epochs,
        )

    def keep(self, records: tuple[TrialRecord, ...]) -> None:
        """Keep the records of trials that have ended."""
        self._write([*self._unsaved, *records])
        for record in records:
            self._stored[record.key] = record
            self._again.discard(record.key)

    def _write(self, records: list[TrialRecord]) -> None:
        if self._file is None:
            return
        try:
            self._file.append(*records)
        except (
            OSError
        ) as error:  # with a full disk the race goes on, and keeps its records in memory
            first, self._trouble = not self._unsaved, str(error.strerror)
            self._unsaved = records
            if first:
                warnings.warn(
                    f"{self._file.path} cannot be written: {error.strerror}. The race goes on; its "
                    "records are kept in memory, and written as soon as that can be done.",
                    RuntimeWarning,
                    stacklevel=2,
                )
        else:
            self._unsaved = []

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the result should know, in sentences."""
        if not self._unsaved or self._file is None:
            return ()
        count = len(self._unsaved)
        subject = "The record of 1 trial is" if count == 1 else f"The records of {count} trials are"
        note = (
            f"{subject} in this result alone, since {self._file.path} could not be written: "
            f"{self._trouble}. A race that goes on runs them again."
        )
        return (note,)
