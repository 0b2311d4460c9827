"""What names say of a parameter, as users write them: fused projections, experts, LoRA factors, heads."""

from __future__ import annotations

import re
from collections.abc import Iterable

_QKV = re.compile(r"(^|_)(w?qkv|c_attn|query_key_value)(_proj|_weight)?$", re.IGNORECASE)
_IN_PROJECTION = re.compile(r"^in_proj(_weight)?$")
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_LORA = re.compile(
    r"^lora(_?(a|b|down|up|left|right|q|k|v|o|qkv|embedding|magnitude)(_.*)?)?$", re.IGNORECASE
)
_FACTOR = re.compile(r"^(lora_?)?(a|b|down|up)(_.*)?$", re.IGNORECASE)
_EXPERTS = re.compile(r"expert|(^|[._])moe($|[._])", re.IGNORECASE)
_EMBEDDING = re.compile(
    r"embed|(^|_)(cls|mask|class|register)?_?tokens?$|(^|_)pos(ition(al|s)?)?($|_)|^w[tp]e$",
    re.IGNORECASE,
)
_BIAS = re.compile(r"bias|^b(\d+|_\w+)?$")
_MATRIX = re.compile(
    r"^weights?(_.*)?$|_(weight|proj|kernel)$|^kernel$|^[wW](_?[0-9a-zA-Z]{0,4})$|^(gate|up|down)_"
)
_HEAD = re.compile(r"^(head|.*_head|classifier|logits|to_logits|unembed(ding)?)$", re.IGNORECASE)
_STEM = re.compile(r"patch_?embed|(^|[._])stem($|[._])", re.IGNORECASE)


def is_qkv(name: str) -> bool:
    """Whether a weight holds the projections to queries, keys and values, one under the other.

    `name` is that of the parameter in its model; that of the module is looked at, too.

    >>> [
    ...     is_qkv(name)
    ...     for name in ("h.0.attn.c_attn.weight", "attn.in_proj_weight", "mamba.in_proj.weight")
    ... ]
    [True, True, False]
    """
    parts = _parts(name)
    last = parts[-1] if parts else ""
    fits_attention = _IN_PROJECTION.match(last) and any(map(_ATTENTION.search, parts[:-1]))
    return bool(_QKV.search(last) or last == "in_proj_weight" or fits_attention)


def is_lora(name: str, owner: str) -> bool:
    """Whether a parameter is one of the factors of a low-rank addition; `owner` is its module's class.

    >>> (
    ...     is_lora("q_proj.lora_A.default.weight", "Linear"),
    ...     is_lora("q_proj.base_layer.weight", "Linear"),
    ... )
    (True, False)
    """
    parts = name.split(".")
    own = "lora" in owner.lower() and _FACTOR.match(parts[-1]) is not None
    return own or any(_LORA.match(part) for part in parts)


def is_of_experts(name: str, owner: str) -> bool:
    """Whether a parameter belongs to several experts, by its name or the class of its module.

    >>> is_of_experts("mlp.experts.w1", "Experts"), is_of_experts("mlp.w1", "MLP")
    (True, False)
    """
    return bool(_EXPERTS.search(name) or _EXPERTS.search(owner) or "MoE" in owner)


def is_embedding(name: str, owner: str) -> bool:
    """Whether a parameter of a module of the user's own is a table of vectors: positions, tokens.

    >>> [is_embedding(name, "ViT") for name in ("pos_embed", "cls_token", "W_q")]
    [True, True, False]
    """
    return "embedding" in owner.lower() or bool(_EMBEDDING.search(name.split(".")[-1]))


def is_bias(name: str) -> bool:
    """Whether a parameter is added to something.

    >>> [is_bias(name) for name in ("fc.bias", "experts.b1", "in_proj_bias", "beta")]
    [True, True, True, False]
    """
    return bool(_BIAS.search(name.split(".")[-1]))


def is_matrix(name: str) -> bool:
    """Whether a parameter of a module of the user's own is called as a matrix that multiplies is.

    >>> [is_matrix(name) for name in ("c_fc.weight", "W_q", "w1", "gate_up_proj", "memory")]
    [True, True, True, True, False]
    """
    return bool(_MATRIX.search(name.split(".")[-1]))


def is_stem(name: str) -> bool:
    """Whether a layer cuts pictures into patches, or is called a stem."""
    return bool(_STEM.search(name))


def head_region(name: str) -> str | None:
    """Return the part of a model that its name says is a head, None for a layer that is in none.

    >>> head_region("classifier.3"), head_region("lm_head"), head_region("h.0.attn.head.key")
    ('classifier', 'lm_head', None)
    """
    parts = name.split(".")
    for k, part in enumerate(parts):
        if part.isdigit():  # within a block that is repeated: a head of attention
            return None
        if _HEAD.match(part) or (k == 0 and part == "heads"):
            return ".".join(parts[: k + 1])
    return None


def repeated(names: Iterable[str]) -> set[str]:
    """Return the names that differ from another one by a number alone.

    >>> sorted(repeated(["h.0.fc", "h.1.fc", "out"]))
    ['h.0.fc', 'h.1.fc']
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    return {name for group in alike.values() if len(group) > 1 for name in group}


def _parts(name: str) -> list[str]:
    """Return the parts of a name, without a last "weight"."""
    parts = name.split(".")
    return parts[:-1] if parts[-1] == "weight" else parts
