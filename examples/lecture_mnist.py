"""The lecture's program: a 784-32-10 sigmoid network on MNIST, by plain stochastic gradient
descent.

In Keras it reads: Dense(32, sigmoid), Dense(10, softmax), SGD(lr=0.01), categorical cross-entropy,
fit(batch_size=128, epochs=10, validation_split=0.1), evaluate. Here the softmax is part of the
loss.

    python examples/lecture_mnist.py            # scikit-learn's digits, 64-32-10, in a second
    python examples/lecture_mnist.py FOLDER     # MNIST from the IDX files in FOLDER
    python examples/lecture_mnist.py FOLDER --raw    # pixels from 0 to 255, as on the slides
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

from thalweg.errors import ThalwegError
from thalweg.objective import Cost
from thalweg.tasks import Data, Task, mlp
from thalweg.tasks.built_in.mnist import mnist
from thalweg.train import fit


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", help="folder with the four IDX files of MNIST")
    parser.add_argument("--raw", action="store_true", help="leave the pixels unscaled")
    options = parser.parse_args()
    task = mnist(options.folder, scale=not options.raw) if options.folder else digits(options.raw)
    model = task.build()
    print(model)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    # The digits have 11 batches an epoch, MNIST 422: 380 epochs are as many steps as MNIST's 10.
    torch.set_num_threads(1)  # so small a network trains fastest on one
    epochs = 10 if options.folder else 380
    run = fit(task, torch.optim.SGD, lr=0.01, batch_size=128, epochs=epochs, progress=False)
    for record in run.history[:: epochs // 10]:
        figures = {name: round(value, 4) for name, value in record.as_dict().items()}
        print({name: figures[name] for name in ("epoch", "step", "train_loss", "validation_loss")})
    test = run.evaluate("test")
    print(f"test loss {test.loss:.4f}, accuracy {test['accuracy']:.4f}")


def digits(raw: bool) -> Task:
    """The same program on 8 × 8 images: the last 10 % of the training rows validate."""
    x, y = load_digits(return_X_y=True)
    x = x.astype("float32") / (1 if raw else 16)
    return Task(
        data=Data.arrays(
            x[:1500], y[:1500], validation=0.1, split="last", test=(x[1500:], y[1500:])
        ),
        cost=Cost("cross_entropy", metrics="accuracy"),
        model=lambda: mlp([64, 32, 10], nn.Sigmoid),
        name="digits, as in the lecture",
    )


if __name__ == "__main__":
    try:
        main()
    except ThalwegError as error:
        raise SystemExit(f"lecture_mnist: {error}") from None
