"""From a CSV file to a prediction: read it, train with early stopping, save the run, use it later.

    pip install "thalweg[data]"
    python examples/from_csv.py           # writes into a temporary folder
    python examples/from_csv.py mine      # keeps what it writes: mine/flats.csv, mine/run, mine/run.html

The file holds measurements of flats, and whether each was let within a week. It is made up here, so that the
example runs as it stands. With a file of your own, leave `write_flats` out, and write its path, the column to
predict and rows with its columns instead.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from thalweg import Cost, Data, EarlyStopping, Task, fit
from thalweg.tasks import mlp
from thalweg.train import load_run


def write_flats(path: Path, rows: int = 600) -> None:
    """Make the file up: a flat is let soon if its rent is low for its size, floor and place."""
    rng = np.random.default_rng(0)
    size = rng.uniform(20, 120, rows)
    floor = rng.integers(0, 6, rows)
    minutes = rng.uniform(2, 45, rows)
    usual = 200 + 14 * size + 15 * floor - 8 * minutes
    rent = usual * rng.normal(1, 0.2, rows)
    let = np.where(rent + 60 * rng.normal(size=rows) < usual, "let", "empty")
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["size", "rent", "floor", "minutes to the centre", "after a week"])
        table.writerows(zip(size.round(1), rent.round(), floor, minutes.round(), let, strict=True))


def flats(path: Path) -> Task:
    """Whether a flat is let or empty after a week: two classes, from four numbers."""
    data = Data.table(
        path,
        "after a week",  # the column to predict; all others are inputs
        validation=0.2,  # a fifth of the rows, by which the run below is stopped
        test=0.2,  # another fifth, which nothing looks at before the end
        split="stratified",  # each class has the same share in all three sets
        scale="standard",  # each input gets mean 0 and deviation 1, as fitted on the training rows
    )
    return Task(
        data=data,
        # What training descends, and what is reported beside it. Of a column of numbers to predict: "mse".
        cost=Cost("cross_entropy", metrics="accuracy"),
        # A function that builds the model: 4 inputs, 32 hidden units, an output for each class. There is no
        # softmax at the end: the loss takes it, and predict does for output="probability".
        model=lambda: mlp([len(data.features), 32, len(data.classes)]),
        name="flats",
        batch_size=64,
    )


def work_in(folder: Path) -> None:
    """Train on the file in a folder, keep the run there, and use it."""
    write_flats(folder / "flats.csv")
    task = flats(folder / "flats.csv")
    print(f"inputs: {', '.join(task.data.features)}; classes: {', '.join(task.data.classes)}")

    run = fit(
        task,
        "adam+cosine",  # Adam, whose learning rate falls from lr to 0 along a cosine
        lr=1e-2,
        epochs=60,  # passes over the training rows, at most
        # Stops after 10 epochs without a lower validation loss, and goes back to the best parameters.
        callbacks=[EarlyStopping("validation loss", patience=10)],
        progress=False,  # leave it out to see a line, or on a terminal a bar, for each epoch
    )
    print(f"{run.epochs} epochs, stopped by {run.stopped}; the best was epoch {run.best.epoch}")
    print(f"accuracy on the test set: {run.evaluate('test')['accuracy']:.3f}")
    run.save(folder / "run")
    run.plot(folder / "run.html")  # loss and accuracy over the epochs, a page of its own

    # Another day, another program. A run holds the weights; the task says how the model is built and how
    # columns become inputs. New rows have the columns of the file, in its units and in any order.
    saved = load_run(folder / "run", flats(folder / "flats.csv"))
    new = pd.DataFrame(
        {"rent": [500, 1400], "size": [50, 50], "floor": [2, 2], "minutes to the centre": [10, 10]}
    )
    numbers = saved.predict(new, output="class")  # a class number for each row
    chances = saved.predict(new, output="probability")  # a column for each class
    for (_, flat), number, chance in zip(new.iterrows(), numbers, chances, strict=True):
        said = task.data.classes[number]
        print(f"{flat['size']} m², rent {flat['rent']}: {said} (probability {chance[number]:.2f})")
    assert [task.data.classes[number] for number in numbers] == ["let", "empty"]


def main() -> None:
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True)  # an error if it is there: nothing is written over
        work_in(folder)
        return
    with tempfile.TemporaryDirectory() as name:
        work_in(Path(name))


if __name__ == "__main__":
    main()
