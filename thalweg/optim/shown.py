"""The arguments that a constructor shows, where it takes whatever the constructors below it take.

Tools that build optimizers from a file or a command line, such as LightningCLI, read the signature of
`__init__`, not that of the class: so each class has a constructor of its own, which shows them. A subclass
with another constructor shows that.
"""

from __future__ import annotations

import inspect
from typing import Any


def show_arguments(cls: Any, arguments: inspect.Signature) -> None:
    """Let the constructor of a class show these arguments; where it has none of its own, give it one."""
    if "__init__" not in vars(cls):
        cls.__init__ = _handing_on(cls)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    shown = arguments.replace(parameters=[this, *arguments.parameters.values()])
    cls.__init__.__signature__ = shown


def _handing_on(cls: Any) -> Any:
    def hand_on(self: Any, *args: Any, **kwargs: Any) -> None:
        super(cls, self).__init__(*args, **kwargs)

    hand_on.__name__, hand_on.__qualname__ = "__init__", f"{cls.__qualname__}.__init__"
    hand_on.__module__ = cls.__module__
    return hand_on
