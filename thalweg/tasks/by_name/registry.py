"""Tasks by name: the built-in ones, and those of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.errors import TaskError, suggest
from thalweg.tasks.built_in.adding import adding
from thalweg.tasks.built_in.breast_cancer import breast_cancer
from thalweg.tasks.built_in.char_language import char_lstm, char_transformer
from thalweg.tasks.built_in.deep_linear import deep_linear
from thalweg.tasks.built_in.diabetes import diabetes
from thalweg.tasks.built_in.digits import digits
from thalweg.tasks.built_in.digits_models import digits_cnn, digits_logistic
from thalweg.tasks.built_in.digits_vae import digits_vae
from thalweg.tasks.built_in.matrix_factorisation import matrix_factorisation
from thalweg.tasks.built_in.mnist import fashion_mnist, mnist
from thalweg.tasks.built_in.parity import parity
from thalweg.tasks.built_in.photo import photo
from thalweg.tasks.by_name.own import load_own
from thalweg.tasks.by_name.spec import check_options, read_spec, spec_text, typed
from thalweg.tasks.functions.deep_quadratic import deep_quadratic
from thalweg.tasks.functions.landscapes import beale, booth, himmelblau, rastrigin, ravine, saddle
from thalweg.tasks.functions.rosenbrock import rosenbrock
from thalweg.tasks.stated import FACTS, Facts
from thalweg.tasks.task import Task

_BUILT_IN: dict[str, Callable[..., Task]] = {
    make.__name__: make
    for make in (
        *(digits, digits_logistic, digits_cnn, digits_vae, breast_cancer, diabetes),
        *(mnist, fashion_mnist, char_transformer, char_lstm, photo, adding, parity),
        *(deep_linear, matrix_factorisation, deep_quadratic, rosenbrock),
        *(beale, booth, himmelblau, rastrigin, saddle, ravine),
    )
}


def list_tasks() -> dict[str, str]:
    """Return the built-in tasks: name, and one line on each.

    >>> list(list_tasks())[:3]
    ['digits', 'digits_logistic', 'digits_cnn']
    """
    return {name: (make.__doc__ or "").partition("\n")[0] for name, make in _BUILT_IN.items()}


def task_facts() -> dict[str, Facts]:
    """Return what is stated of each built-in task, without making it: target, budget, seconds a
    run, and the hash of its data.

    >>> facts = task_facts()["digits"]
    >>> str(facts.target), facts.epochs, facts.batch_size
    ('validation accuracy 0.95', 30, 128)
    """
    return {name: FACTS[name] for name in _BUILT_IN}


def load_task(name: str, **options: Any) -> Task:
    """Return the task called `name`.

    `name` is a built-in task ("digits"), or a function of the user's own that returns a `Task`:
    "file.py:function", "module:function" with a module that can be imported, also from the working
    folder, or "file.py" if the function is called `task`. The file or module is run as a program of
    the user's own. A task that it gives no name is named after the file or module, and after the
    function where that is not `task`: "file" or "file-function".

    `options` are arguments of the built-in task or of the function. They can also be part of
    `name`, after a colon and separated by commas: "parity:bits=12,relevant=3", "my_task.py:width=64".
    Annotations say of which type each is: int, float, str, bool (true or false) or Path.

    Raises:
        TaskError: for an unknown name or option, a file or module that cannot be run, and a function that
            is missing or returns no `Task`.

    >>> load_task("rosenbrock", dimensions=3).build().point.shape
    torch.Size([3])
    >>> load_task("rosenbrock:dimensions=3,noise=0.5").name
    'rosenbrock:dimensions=3,noise=0.5'
    """
    spec = read_spec(name, _BUILT_IN)
    for option in options:
        if option in spec.options:
            raise TaskError(f"The option {option!r} is given twice: in {name!r} and beside it.")
    text = spec_text(spec, options)
    make = _BUILT_IN.get(spec.home)
    if make is not None:
        check_options(make, {**options, **spec.options}, spec.home)
        return make(**options, **typed(make, spec.options)).replace(spec=text)
    if not (spec.is_file or spec.function):
        raise TaskError(
            f"There is no task {name!r}.{suggest(spec.home, _BUILT_IN)} Built in are "
            f"{', '.join(_BUILT_IN)}; one of your own is given as file.py, file.py:function or "
            "module:function."
        )
    return load_own(spec, options, _BUILT_IN).replace(spec=text)
