"""Groups the entrants of a ranking that the data do not tell apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def groups_of(ordered: Sequence[str], alike: Callable[[str, str], bool]) -> dict[str, int]:
    """Return the number of each entrant's group.

    Group 1 holds the best and all that are not told from it. The next group is made the same way of
    those that are left, and so on. An entrant whose times scatter may therefore be ranked lower and
    yet be in the first group.

    Args:
        ordered: the names, the best first.
        alike: whether two of them are not distinguishable.

    Example:
        >>> groups_of(["a", "b", "c"], lambda one, other: {one, other} == {"a", "c"})
        {'a': 1, 'c': 1, 'b': 2}
    """
    groups: dict[str, int] = {}
    left = list(ordered)
    number = 0
    while left:
        number += 1
        best = left[0]
        groups |= {name: number for name in left if name == best or alike(name, best)}
        left = [name for name in left if name not in groups]
    return groups
