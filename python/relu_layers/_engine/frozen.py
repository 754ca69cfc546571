"""Frozen models: inference alone, with weights that are packed once instead of in every call."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np

from relu_layers import _core
from relu_layers import ops as native_ops
from relu_layers._engine.abilities import BUILT_IN_LAYERS, is_replaced
from relu_layers._engine.alive import apart
from relu_layers._engine.captures import InferenceCaptures
from relu_layers._engine.flat_arrays import named
from relu_layers._engine.inference import Inference
from relu_layers._engine.passes import Passes
from relu_layers._support.arrays import empty
from relu_layers._support.configured import Array
from relu_layers.layers import Dense, ParameterLayer

if TYPE_CHECKING:
    from relu_layers._support.files import AnyPath


class FrozenModel(Inference):
    """A model as it was when `relu_layers.freeze` made this of it: for inference alone, and never changed.

    A call, `predict`, `predict_table`, `predict_proba` and `save` are those of the model, with results that are equal
    to its own to the last bit. Any number of threads may call it at once, and long calls run without the GIL.

    Attributes
    ----------
    dtype : np.dtype
        Of inputs, parameters and results.
    params : mapping
        ``"0.weight"`` -> ndarray that cannot be written.
    preprocessing, predicts
        Those of the model.

    Notes
    -----
    Weights are in memory twice: as they are, and in panels for the instruction set in use. After ``rl.use_target`` has
    chosen another, results are those of that one, at the speed of the model. A pickle holds the weights as they are,
    and packs them where it is loaded. ``copy.copy`` and ``copy.deepcopy`` return the object itself.
    """

    params: Mapping[str, Array]
    _NAME: ClassVar[str] = "FrozenModel"

    def __init__(self, model: Any) -> None:
        _check(model)
        self._thawed_type: Any = type(model)
        state = model.__getstate__()
        self._state = state | {"rng": copy.deepcopy(state["rng"])}
        self.dtype, self.ops = model.dtype, native_ops
        self.preprocessing, self.predicts = state["preprocessing"], state["predicts"]
        flat, params = _read_only(state["layers"], model.dtype)
        self.params = MappingProxyType(params)
        # Stand-ins, whose weights are the panels.
        layers = tuple(apart(state["layers"]))
        for layer in layers:
            if isinstance(layer, Dense):
                packed: Any = _core.PackedWeight(layer._values["weight"])
                layer._values = layer._values | {"weight": packed}
        self._guard = _core.UsageGuard()
        views = [(dict(part._values) if isinstance(part, ParameterLayer) else {},) * 2 for part in layers]
        self._passes = Passes(layers, views, model.dtype)
        self._captures = InferenceCaptures(self._passes, layers, native_ops, self._guard, flat)
        self._made = True

    def save(self, path: AnyPath, **options: Any) -> None:
        """Write the model to ``path``, as `Sequential.save` does; `relu_layers.load` returns one that is not frozen."""
        self._thawed().save(path, **options)

    def _thawed(self) -> Any:
        """Return a model of the kind that was frozen, with these values."""
        state = copy.deepcopy(self._state)
        for layer in state["layers"]:
            if isinstance(layer, ParameterLayer):
                layer._gradients = {name: np.zeros_like(value) for name, value in layer._values.items()}
        result = self._thawed_type.__new__(self._thawed_type)
        result.__setstate__(state)
        return result

    def __setattr__(self, name: str, value: object) -> None:
        if "_made" in self.__dict__:
            self._refuse(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        raise AttributeError(
            f"FrozenModel: {name} cannot be set or deleted: change the model and freeze it again"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenModel, (self._thawed(),)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self._state["layers"]))
        return f"FrozenModel({layers}, dtype=np.{self.dtype})"


def _check(model: Any) -> None:
    """Raise unless the model's layers can be shared by threads, and its weights packed."""
    for index, layer in enumerate(model.layers):
        if type(layer) not in BUILT_IN_LAYERS or is_replaced(layer):
            raise TypeError(
                f"freeze: {named(index, layer)} computes in a way of your own, and may keep something from call to "
                "call: call the model itself, with a copy for each thread: copy.deepcopy(model)"
            )
    if any(part.ops is not native_ops for part in (model, *model.layers)):
        raise ValueError("freeze: the model runs on other ops; write model.ops = rl.ops before")


def _read_only(layers: tuple[Any, ...], dtype: np.dtype[Any]) -> tuple[Array, dict[str, Array]]:
    """Move the parameters of layers that nothing else uses into an array that cannot be written; drop gradients.

    Returns
    -------
    flat : ndarray, 1-D
    params : dict
        ``"0.weight"`` -> view.
    """
    holders = [(i, layer) for i, layer in enumerate(layers) if isinstance(layer, ParameterLayer)]
    flat = empty((sum(value.size for _, layer in holders for value in layer._values.values()),), dtype)
    params: dict[str, Array] = {}
    start = 0
    for index, layer in holders:
        for name, value in layer._values.items():
            view = flat[start : start + value.size].reshape(value.shape)
            np.copyto(view, value)
            view.flags.writeable = False
            layer._values[name] = params[f"{index}.{name}"] = view
            start += value.size
        layer._gradients = {}
    flat.flags.writeable = False
    return flat, params
