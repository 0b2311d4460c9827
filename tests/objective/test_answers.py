"""What outputs say under a loss; an output that is NaN says no class."""

import pytest
import torch

from thalweg.errors import TaskError
from thalweg.objective.answers import answers
from thalweg.objective.losses import as_loss


@pytest.mark.parametrize(
    ("loss", "outputs", "classes"),
    [
        ("cross_entropy", [[0.0, 2.0, 1.0], [5.0, -1.0, float("inf")]], [1, 2]),
        ("nll_loss", [[-0.1, -3.0], [-3.0, -0.1]], [0, 1]),
        ("multi_margin_loss", [[1.0, 0.0]], [0]),
        ("binary_cross_entropy_with_logits", [[0.5], [-0.5]], [[1], [0]]),
        ("binary_cross_entropy", [0.4, 0.6], [0, 1]),
    ],
)
def test_classes(loss, outputs, classes):
    said = answers(as_loss(loss), torch.tensor(outputs), "class")
    assert said.tolist() == classes


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_row_whose_outputs_are_nan_has_no_class(loss, flat):
    outputs = torch.zeros(4, 2)
    outputs[2, 1] = float("nan")
    first = "1 of 4 rows .* row 2 "
    if flat and loss == "cross_entropy":  # the scores of one row
        outputs, first = outputs[2], "1 of 1 rows .* row 0 "
    elif flat:  # an output a row
        outputs = outputs[:, 1]
    with pytest.raises(TaskError, match=first):
        answers(as_loss(loss), outputs, "class")
    assert answers(as_loss(loss), outputs, "raw") is outputs
