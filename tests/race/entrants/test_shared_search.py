"""One search for many: each entrant searches the hyperparameters that it has."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from thalweg import chain, optim, rules
from thalweg.errors import TaskError
from thalweg.race import Entrant, find_entrant
from thalweg.race.entrants.shared_search import with_search
from thalweg.race.entrants.space import log_uniform, uniform

DECAY = log_uniform(1e-4, 1.0)
MOMENTUM = uniform(0.5, 0.99)


def searched(entrants: list[Entrant], **spaces: Any) -> dict[str, list[str]]:
    return {entrant.name: list(entrant.search) for entrant in with_search(entrants, spaces)}


def test_each_searches_what_it_has() -> None:
    entrants = [find_entrant(name) for name in ("sgd", "adam", "adamw", "lion")]
    assert searched(entrants, momentum=MOMENTUM, weight_decay=DECAY) == {
        "sgd": ["momentum", "weight_decay"],
        "adam": ["weight_decay"],
        "adamw": ["weight_decay"],
        "lion": ["weight_decay"],
    }


def test_what_an_entrant_has_fixed_is_not_searched_of_it() -> None:
    entrants = [find_entrant("momentum"), find_entrant("sgd")]
    assert searched(entrants, momentum=MOMENTUM) == {"momentum": [], "sgd": ["momentum"]}


def test_chains_links_rules_functions_and_torchs_classes_are_known_by_their_names() -> None:
    def own(params: Any, lr: float, heat: float = 1.0, **others: Any) -> torch.optim.Optimizer:
        raise NotImplementedError

    entrants = [
        Entrant("chain", chain(rules.clip_by_norm(1.0), rules.adam)),
        Entrant("link", rules.adam(beta1=0.5)),
        Entrant("rule", rules.adam),
        Entrant("own", own),
        Entrant("torch", torch.optim.SGD),
    ]
    found = searched(entrants, beta1=MOMENTUM, max_norm=DECAY, heat=DECAY, momentum=MOMENTUM)
    assert found == {
        "chain": ["beta1", "max_norm"],
        "link": ["beta1"],
        "rule": ["beta1"],
        "own": ["heat"],
        "torch": ["momentum"],
    }
    with pytest.raises(TaskError, match="The learning rate is searched always"):
        searched(entrants, lr=DECAY)
    for name in ("others", "params", "maximize"):
        with pytest.raises(TaskError, match=f"has a hyperparameter '{name}'"):
            searched(entrants, **{name: DECAY})


def test_the_first_parameter_is_not_one_whatever_it_is_called() -> None:
    def own(weights: Any, lr: float) -> torch.optim.Optimizer:
        raise NotImplementedError

    with pytest.raises(TaskError, match="hyperparameter 'weights'"):
        searched([Entrant("own", own)], weights=DECAY)


@pytest.mark.parametrize(
    ("name", "hint"), [("momentun", "'momentum'"), ("zzz", "They have: .*momentum")]
)
def test_what_nobody_has_is_a_mistake(name: str, hint: str) -> None:
    with pytest.raises(TaskError, match=f"'{name}'.*{hint}"):
        searched([find_entrant("sgd"), find_entrant("adam")], **{name: MOMENTUM})


def test_the_rest_of_an_entrant_stays() -> None:
    entrant = Entrant("mine", optim.SGD, {"nesterov": True}, (0.1,), schedule="cosine")
    (found,) = with_search([entrant], {"momentum": MOMENTUM})
    assert (found.name, found.factory, found.lrs) == ("mine", optim.SGD, (0.1,))
    assert (found.hyperparameters, found.schedule) == ({"nesterov": True}, "cosine")
    assert found.search == {"momentum": MOMENTUM}
