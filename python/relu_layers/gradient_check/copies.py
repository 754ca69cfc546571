"""Independent copies of models, on which a check may do as it likes."""

from __future__ import annotations

import copy
from typing import Any

from relu_layers.layers import Layer
from relu_layers.model import Sequential


def copied_model(owner: str, model: Any, dtype: Any) -> Sequential:
    """Return an independent model with the same values, masks and ops; one layer becomes a model of it.

    ``dtype`` is float64 or the model's own.
    """
    if isinstance(model, type):
        raise TypeError(f"{owner}: model is the class {model.__name__}; pass {model.__name__}(...)")
    layers = model.layers if isinstance(model, Sequential) else (model,)
    # Built-in layers are not asked: reading their params would draw values.
    protocol = () if isinstance(layers[0], Layer) else ("forward", "backward", "params", "grads")
    lacking = [name for name in protocol if not hasattr(layers[0], name)]
    if lacking:
        raise TypeError(
            f"{owner}: model is a {type(model).__name__} without {', '.join(lacking)}; "
            "expected a Sequential or one layer"
        )
    ops = model.__dict__.get("ops") if isinstance(model, (Sequential, Layer)) else None
    try:
        copies = [copy.deepcopy(layer) for layer in layers]
    except Exception as error:
        raise TypeError(
            f"{owner}: {model!r} works on a copy, but a layer cannot be copied "
            f"({type(error).__name__}: {error}); give it a __deepcopy__"
        ) from error
    result = Sequential(*copies, dtype=dtype, rng=0, ops=ops)
    for layer, original in zip(copies, layers, strict=True):
        restore(layer, saved(original))
    return result


# The names of a layer's random state, and those that were used before.
_STATE = ("state_dict", "load_state_dict"), ("state", "load_state")


def saved(layer: Any) -> Any:
    """Return the random state of a layer, such as Dropout's; None where it has none."""
    names = _state_methods(layer)
    return None if names is None else getattr(layer, names[0])()


def restore(layer: Any, state: Any) -> None:
    """Put back the result of `saved`."""
    names = _state_methods(layer)
    if names is not None:
        getattr(layer, names[1])(state)


def _state_methods(layer: Any) -> tuple[str, str] | None:
    pairs = (pair for pair in _STATE if all(callable(getattr(layer, name, None)) for name in pair))
    return next(pairs, None)
