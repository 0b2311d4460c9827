"""How many examples hypothesis draws: few in `make test`, more of the same kind in `make full`."""

from __future__ import annotations

import os

MORE = int(os.environ.get("THALWEG_TEST_EXAMPLES", "1"))
"""What every number of examples is multiplied by."""
