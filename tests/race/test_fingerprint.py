"""The fingerprint of data: what is stored, whatever the strides."""

from __future__ import annotations

import torch

from thalweg.race.fingerprint import _bytes


def test_one_row_cut_from_a_matrix_is_read_as_its_copy() -> None:
    matrix = torch.arange(12.0).reshape(1, 12)
    column = matrix[:, ::4][:, 0]
    assert column.stride() != (1,)
    assert _bytes(column) == _bytes(column.clone(memory_format=torch.contiguous_format))
    assert _bytes(matrix.T) == matrix.numpy().tobytes()
