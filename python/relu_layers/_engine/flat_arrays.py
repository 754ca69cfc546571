"""Putting layers together: checking them, and moving their parameters into two contiguous arrays."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from relu_layers._engine.abilities import is_managed
from relu_layers._support.arrays import zeros
from relu_layers._support.configured import Array
from relu_layers.layers import Dropout, Layer, ParameterLayer

# Which model a layer works for. Layers hold the state of a training pass and views of one model's arrays, so
# a layer serves one model at a time.
_owners: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()


def inner_layers(layer: Any) -> tuple[Layer, ...]:
    """Return the built-in layers that a user's layer names in its attribute ``layers``."""
    return () if isinstance(layer, Layer) else tuple(getattr(layer, "layers", ()))


def parts_of(layers: Iterable[Any]) -> list[Any]:
    """Return ``layers``, each followed by the layers that it is made of."""
    return [part for layer in layers for part in (layer, *inner_layers(layer))]


def named(index: int, layer: object) -> str:
    """Return how messages name a layer."""
    return f"layer {index}, {layer!r}"


def raise_with_layer(error: Exception, index: int, layer: object) -> NoReturn:
    """Raise ``error`` again, its message closed by the layer's number and repr."""
    context = f"(layer {index}, {layer!r})"
    if type(error) in (ValueError, TypeError, IndexError):
        error.args = (f"{error} {context}",)
    else:
        error.add_note(context)
    raise error


def own_views(views: dict[str, Array], names: Iterable[str]) -> dict[str, Array]:
    """Return those of ``views`` that have one of the names."""
    return {name: views[name] for name in names}


def check_layers(layers: tuple[Any, ...]) -> None:
    """Raise unless ``layers`` follow the layer protocol and fit together where their sizes are known."""
    if not layers:
        raise ValueError("Sequential: no layers; pass at least one, such as Dense(784, 10)")
    if len(layers) == 1 and isinstance(layers[0], (list, tuple)):
        raise TypeError("Sequential: pass the layers one by one: Sequential(*layers)")
    seen: set[int] = set()
    for index, layer in enumerate(layers):
        if isinstance(layer, type):
            raise TypeError(
                f"Sequential: layer {index} is the class {layer.__name__}; pass {layer.__name__}(...)"
            )
        # Built-in layers are not asked: reading their params would draw values before the model does.
        arrays = () if getattr(layer, "layers", ()) else ("params", "grads")
        protocol = () if isinstance(layer, Layer) else ("forward", "backward", *arrays)
        lacking = [name for name in protocol if not hasattr(layer, name)]
        if lacking:
            raise TypeError(
                f"Sequential: layer {index} is a {type(layer).__name__} without {', '.join(lacking)}; "
                "a layer has forward(x, training=False), backward(dy), params and grads"
            )
        if hasattr(layer, "flat_params"):
            raise TypeError(
                f"Sequential: layer {index} is itself a model; pass its layers: *copy.deepcopy(model).layers"
            )
        if not isinstance(layer, Layer):
            _check_inner(index, layer, seen)
        if id(layer) in seen:
            raise ValueError(
                f"Sequential: {named(index, layer)} appears twice; make one object for each place"
            )
        seen.add(id(layer))
    _check_sizes(layers)


def _check_inner(index: int, layer: Any, seen: set[int]) -> None:
    """Raise unless the layers that a user's layer is made of are named in ``layers``, and can be bound with it.

    ``seen`` holds the ids of the layers so far; those of the inner layers are added.
    """
    what, inner = f"Sequential: {named(index, layer)}", inner_layers(layer)
    for part in inner:
        if not isinstance(part, Layer):
            raise TypeError(f"{what} has {part!r} in layers, expected built-in layers, such as Dense(4, 4)")
        if isinstance(part, Dropout):
            raise TypeError(
                f"{what} has {part!r} in layers; make Dropout a layer of the model, where its masks are kept"
            )
        if id(part) in seen:
            raise ValueError(
                f"{what} has {part!r} in layers, which appears twice; make one object for each place"
            )
        seen.add(id(part))
    for attribute, value in getattr(layer, "__dict__", {}).items():
        held = value.values() if isinstance(value, dict) else value
        for part in held if isinstance(value, (dict, list, tuple)) else (value,):
            if isinstance(part, ParameterLayer) and not any(part is other for other in inner):
                raise ValueError(
                    f"{what} holds {part!r} in its attribute {attribute!r}, which would not be trained: "
                    "name the layers it is made of, self.layers = (...); they need no entries in params and grads"
                )


def _check_sizes(layers: tuple[Any, ...]) -> None:
    """Raise if a layer takes another number of features than the one before it gives."""
    features: int | None = None
    source = ""
    for index, layer in enumerate(layers):
        wanted = getattr(layer, "in_features", None)
        if features is not None and wanted is not None and wanted != features:
            raise ValueError(
                f"Sequential: {named(index, layer)} takes {wanted} features but {source} gives {features}"
            )
        before, features = features, features_after(layer, features)
        if features != before or wanted is not None:
            source = named(index, layer)


def features_after(layer: Any, features: int | None) -> int | None:
    """Return the size of the last axis after ``layer``, given the one before it; None if unknown."""
    if not is_managed(layer):
        return None
    given: int | None = getattr(layer, "out_features", None)
    if given is not None:
        return given
    if features is None:
        before: int | None = getattr(layer, "in_features", None)
        return before
    try:
        return int(layer.output_shape((1, features))[-1])
    except (ValueError, IndexError):  # such as a softmax over an axis that two dimensions lack
        return None


def claim(layers: tuple[Any, ...], model: Any) -> None:
    """Note that ``layers`` work for ``model``; one that works for another living model is a ValueError."""
    for index, layer in enumerate(parts_of(layers)):
        try:
            owner = _owners.get(layer)
        except TypeError:  # a user's layer without weak references or hash cannot be noted
            continue
        if owner is not None and owner() is not None and owner() is not model:
            what = named(index, layer) if layer in layers else repr(layer)
            raise ValueError(f"Sequential: {what} belongs to another model; pass copy.deepcopy(layer)")
    for layer in parts_of(layers):
        try:
            _owners[layer] = weakref.ref(model)
        except TypeError:
            continue


def bind(
    layers: tuple[Any, ...], dtype: np.dtype[Any], rng: np.random.Generator, may_round: bool = False
) -> tuple[Array, Array, dict[str, Array], dict[str, Array]]:
    """Move all parameters into one array and all gradients into another.

    Values that exist are kept (float32 ones also in a float64 model, exactly; float64 ones in a float32 model
    only with ``may_round``), missing ones are drawn from ``rng`` in the order of the layers.

    Returns
    -------
    flat_params, flat_grads : ndarray, 1-D
    params, grads : dict
        ``"0.weight"`` -> view of the flat arrays.
    """
    for layer in parts_of(layers):
        if isinstance(layer, ParameterLayer) and not layer.initialized:
            layer.initialize(rng, dtype)
    old: dict[str, Array] = {}
    for index, layer in enumerate(layers):
        for prefix, part in holders(index, layer):
            for name, value in dict(part.params).items():
                if not may_round:
                    _check_parameter(index, layer, name, value, dtype)
                old[prefix + name] = value
    total = sum(value.size for value in old.values())
    flat_params, flat_grads = zeros((total,), dtype), zeros((total,), dtype)
    params: dict[str, Array] = {}
    grads: dict[str, Array] = {}
    offset = 0
    for key, value in old.items():
        at = slice(offset, offset + value.size)
        params[key] = flat_params[at].reshape(value.shape)
        grads[key] = flat_grads[at].reshape(value.shape)
        offset += value.size
    for index, layer in enumerate(layers):
        for prefix, part in holders(index, layer):
            names = list(part.params)
            own_params = {name: params[prefix + name] for name in names}
            own_grads = {name: grads[prefix + name] for name in names}
            if not names:
                continue
            if isinstance(part, ParameterLayer):
                part.bind(own_params, own_grads)
            else:
                _bind_plain(index, part, own_params, own_grads)
    return flat_params, flat_grads, params, grads


def holders(index: int, layer: Any) -> list[tuple[str, Any]]:
    """Return what holds the parameters of layer ``index``, each with the beginning of its keys.

    The layer itself, which is given empty mappings where it has none, then those that it is made of.
    """
    inner = inner_layers(layer)
    for name in ("params", "grads"):
        if inner and not hasattr(layer, name):
            setattr(layer, name, {})
    return [(f"{index}.", layer), *((f"{index}.{place}.", part) for place, part in enumerate(inner))]


def views_of(
    index: int, layer: Any, params: dict[str, Array], grads: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the views of layer ``index``, by name: of an inner layer ``"0.weight"``."""
    start = f"{index}."
    first, second = (
        {key.removeprefix(start): view for key, view in arrays.items() if key.startswith(start)}
        for arrays in (params, grads)
    )
    return first, second


def _check_parameter(index: int, layer: object, name: str, value: Any, dtype: np.dtype[Any]) -> None:
    """Raise unless ``value`` can move into a model of ``dtype`` without losing digits."""
    what = f"parameter {name!r} of {named(index, layer)}"
    if not isinstance(value, np.ndarray):
        raise TypeError(f"Sequential: {what} is a {type(value).__name__}, expected a {dtype} array")
    if value.dtype == np.float64 and dtype == np.float32:
        raise TypeError(
            f"Sequential: {what} is float64 but the model is float32; "
            "pass dtype=np.float64, or make the layer's arrays float32"
        )
    if value.dtype not in (np.float32, np.float64):
        raise TypeError(f"Sequential: {what} is {value.dtype}, expected {dtype}")


def _bind_plain(index: int, layer: Any, params: dict[str, Array], grads: dict[str, Array]) -> None:
    """Put views in place of a user's arrays: in its mappings, and in attributes that are the same array."""
    attributes = getattr(layer, "__dict__", {})
    for mapping, views in ((layer.params, params), (layer.grads, grads)):
        for name, view in views.items():
            array = mapping.get(name, None)
            if array is not None:
                if np.shape(array) != view.shape:
                    raise ValueError(
                        f"Sequential: gradient {name!r} of {named(index, layer)} "
                        f"has shape {np.shape(array)}, its parameter {view.shape}"
                    )
                np.copyto(view, array)
            mapping[name] = view
            for attribute, value in list(attributes.items()):
                if value is array and array is not None:
                    setattr(layer, attribute, view)
    if any(layer.params[name] is not view for name, view in params.items()):
        raise TypeError(
            f"Sequential: {named(index, layer)} does not keep arrays that are put into its params; "
            "let params and grads be dicts that live as long as the layer"
        )


def adopt(mapping: Any, views: dict[str, Array]) -> None:
    """Copy arrays that a user's layer put in place of the model's views, and put the views back."""
    for name, view in views.items():
        array = mapping[name]
        if array is not view:
            if np.shape(array) != view.shape:
                raise ValueError(f"{name!r} has shape {np.shape(array)}, expected {view.shape}")
            np.copyto(view, array, casting="same_kind")
            mapping[name] = view
