"""From a CSV file to a prediction: read it, train with early stopping, save the run, use it later.

    python examples/from_csv.py

The file holds measurements of flats, and whether each was let within a week. It is made up here, so that the
example runs as it stands; with a file of your own, only `FILE` and the names of its columns change.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np

from thalweg import Cost, Data, EarlyStopping, Task, fit
from thalweg.tasks import mlp
from thalweg.train import load_run

COLUMNS = ["size", "rent", "floor", "minutes to the centre"]
LABEL = "let"


def write_flats(path: Path, rows: int = 600) -> None:
    """Make the file up: a flat is let soon if its rent is low for its size, floor and place."""
    rng = np.random.default_rng(0)
    size = rng.uniform(20, 120, rows)
    floor = rng.integers(0, 6, rows)
    minutes = rng.uniform(2, 45, rows)
    usual = 200 + 14 * size + 15 * floor - 8 * minutes
    rent = usual * rng.normal(1, 0.2, rows)
    let = rent + 60 * rng.normal(size=rows) < usual
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*COLUMNS, LABEL])
        table.writerows(
            zip(size.round(1), rent.round(), floor, minutes.round(), let.astype(int), strict=True)
        )


def read(path: Path, columns: list[str]) -> np.ndarray:
    """Return columns of a CSV file by their names, as `pandas.read_csv(path)[columns].to_numpy()` does."""
    with path.open(newline="", encoding="utf-8") as file:
        return np.array([[float(row[name]) for name in columns] for row in csv.DictReader(file)])


def flats(path: Path) -> Task:
    """Whether a flat is let within a week."""
    x = read(path, COLUMNS).astype("float32")
    y = read(path, [LABEL])[:, 0].astype("int64")
    return Task(
        # The columns are brought to mean 0 and deviation 1, as fitted on the training rows.
        data=Data.arrays(x, y, validation=0.2, test=0.2, split="stratified", scale="standard"),
        cost=Cost("cross_entropy", metrics="accuracy"),
        model=lambda: mlp([4, 32, 2]),
        name="flats",
        batch_size=64,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_flats(folder / "flats.csv")
        task = flats(folder / "flats.csv")

        run = fit(
            task,
            "adam+cosine",  # Adam, whose learning rate falls along a cosine
            lr=1e-2,
            epochs=60,
            callbacks=[EarlyStopping("validation loss", patience=10)],
            progress=False,
        )
        print(f"{run.epochs} epochs, stopped by {run.stopped}; the best was epoch {run.best.epoch}")
        print(f"accuracy on the test set: {run.evaluate('test')['accuracy']:.3f}")
        run.save(folder / "run")
        run.plot(folder / "run.html")  # loss and accuracy over the epochs, a page of its own

        # Another day, another program: rows are given in the units of the file.
        saved = load_run(folder / "run", task)
        new = np.array([[50, 500, 2, 10], [50, 1400, 2, 10]], dtype="float32")
        classes = saved.predict(new, output="class")
        chances = saved.predict(new, output="probability")[:, 1]
        for row, label, chance in zip(new, classes, chances, strict=True):
            said = "let within a week" if label == 1 else "not let within a week"
            print(f"{row[0]:.0f} m², rent {row[1]:.0f}: {said} (probability {chance:.2f})")
        assert classes.tolist() == [1, 0]


if __name__ == "__main__":
    main()
