"""What PyTorch calls the parameters of a model of these layers, and in which layout it keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array

# Names of layers -> our name of a parameter -> PyTorch's, and whether the axes are exchanged.
_IN_TORCH = {
    "Dense": {"weight": ("weight", True), "bias": ("bias", False)},
    "PReLU": {"slope": ("weight", False)},
}


def torch_names(layers: Iterable[str], keys: Iterable[str]) -> dict[str, tuple[str, bool]]:
    """Return for each of ``keys`` its name in an ``nn.Sequential`` of the same layers, and whether it is transposed.

    Parameters
    ----------
    layers : iterable of str
        Names of the layers' classes, in their order.
    keys : iterable of str
        Such as ``"0.weight"``.
    """
    names = list(layers)
    found = {}
    for key in keys:
        index, _, own = key.partition(".")
        theirs, transposed = _IN_TORCH[names[int(index)]][own]
        found[key] = f"{index}.{theirs}", transposed
    return found


def fitted(model: Any, given: Mapping[str, Array], names: str) -> dict[str, Array]:
    """Return arrays from another program as `Sequential.load_params` takes them: our names, layouts and dtype.

    Parameters
    ----------
    model : Sequential
    given : mapping of str to ndarray
    names : {"torch", "relu_layers"}
        Whose names and layouts they have.

    Raises
    ------
    ValueError
        A parameter is missing or unknown, or its dtype holds more than the model's.
    """
    own = {key: (key, False) for key in model.params}
    if names == "torch":
        own = torch_names((type(layer).__name__ for layer in model.layers), model.params)
    wanted = {name for name, _ in own.values()}
    for name in given:
        if name not in wanted:
            known = ", ".join(sorted(wanted)) + nearest(name, wanted)
            raise ValueError(f"parameter {name!r} is none of the model's: {known}")
    result = {}
    for key, (name, transposed) in own.items():
        if name not in given:
            raise ValueError(f"parameter {name!r} is missing; there are {', '.join(sorted(given))}")
        array = given[name].T if transposed else given[name]
        if array.dtype != model.dtype and not np.can_cast(array.dtype, model.dtype, "safe"):
            raise ValueError(
                f"parameter {name!r} is {array.dtype}, more than a {model.dtype} model holds: "
                f"pass a model with dtype=np.{array.dtype}"
            )
        result[key] = np.ascontiguousarray(array, dtype=model.dtype)
    return result
