"""The constants of numbers in fewer bits, which every engine prints (`narrow.py`, `coded.py`)."""

from __future__ import annotations

SEED = 0x726F756E64
"""Instead of a rule's seed, so that no rule draws the same."""
MIX32 = ((16, 0x7FEB352D), (15, 0x846CA68B), (16, None))
"""Shift right and xor, then multiply, three times (the last without the product)."""
WORD = 0xFFFFFFFF
SHARE = 16
"""Random bits for a state; a draw has two shares."""
NAN = 0x7FC00000
"""The bits of a float32 that is not a number."""
BLOCK = 256
"""Numbers with one scale."""
SIGNED, UNSIGNED = 127, 255
"""The largest codes."""
SIGNED_ZERO, UNSIGNED_ZERO = 0x3B888889, 0x37880088
"""The bits of V(0), so chosen that V(largest code) − V(0) is exactly 1."""
SMALLEST = 2.0**-126
"""A block whose largest number is smaller, and has no reciprocal, is zero."""
STEP = 19
"""The bit of a float32 that counts codes."""
REMAINDER = "remainder"
"""What the state is called that holds what rounding left of a parameter."""
