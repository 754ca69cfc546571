"""Modules without a counterpart: the advice in the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from relu_layers._support.arguments import nearest
from relu_layers.model import Sequential

_SMOOTH = ("CELU", "Hardswish", "Mish")
_ADVICE = {
    **dict.fromkeys(_SMOOTH, "the nearest that are supported are nn.ELU and nn.LeakyReLU"),
    **dict.fromkeys(("RReLU",), "the nearest that are supported are nn.ReLU and nn.LeakyReLU"),
    **dict.fromkeys(("Hardsigmoid", "LogSigmoid"), "the nearest that is supported is nn.Sigmoid"),
    **dict.fromkeys(("Softsign", "Tanhshrink"), "the nearest that is supported is nn.Tanh"),
    **dict.fromkeys(
        ("AlphaDropout", "Dropout1d", "Dropout2d", "FeatureAlphaDropout"),
        "the nearest that is supported is nn.Dropout",
    ),
    "BatchNorm1d": (
        "fold it into the Linear before it with torch.nn.utils.fusion.fuse_linear_bn_eval, in evaluation mode"
    ),
    "Unflatten": "models work on rows of features; the nearest that is supported is nn.Flatten",
    "Bilinear": "the nearest that is supported is nn.Linear",
}


def holds_a_model(module: Any) -> bool:
    """Return whether a module is the `Module` of a model of this package."""
    return isinstance(getattr(module, "model", None), Sequential)


def refuse(owner: str, place: str, module: Any, supported: Sequence[str]) -> NoReturn:
    """Raise the ValueError for a module that has no counterpart."""
    name = type(module).__name__
    inherited = next((base.__name__ for base in type(module).__mro__[1:] if base.__name__ in supported), None)
    children = ", ".join(f"{key} ({type(child).__name__})" for key, child in module.named_children())
    if holds_a_model(module):
        advice = "it holds a model of this package already, in its attribute model"
    elif inherited is not None:
        advice = f"it has a forward of its own; the nearest that is supported is nn.{inherited} itself"
    elif name in _ADVICE:
        advice = _ADVICE[name]
    elif children:
        advice = f"put its children in their order into an nn.Sequential: {children}"
    else:
        advice = f"supported are {', '.join(supported)}{nearest(name, supported)}"
    raise ValueError(f"{owner}: {place} has no counterpart here: {advice}")
