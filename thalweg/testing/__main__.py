"""`python -m thalweg.testing` prints what the kit finds on PyTorch's own optimizers."""

from __future__ import annotations

import sys

from thalweg.testing.torch_table import conformance_page

if __name__ == "__main__":
    sys.stdout.write(conformance_page())
