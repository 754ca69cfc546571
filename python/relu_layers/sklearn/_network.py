"""The network of an estimator, with the initial weights that scikit-learn would draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from relu_layers.layers import Dense, Dropout, ReLU, Sigmoid, Tanh
from relu_layers.model import Sequential
from relu_layers.sklearn._parameters import hidden_sizes, per_layer

Array = np.ndarray[Any, np.dtype[Any]]


def build(estimator: Any, features: int, outputs: int, dtype: np.dtype[Any]) -> Sequential:
    """Return the network up to the last linear layer, its weights drawn from ``estimator._random_state``.

    Glorot's uniform distribution (Glorot and Bengio 2010) for weights and biases alike, with a bound of
    ``sqrt(6 / (fan_in + fan_out))``, ``sqrt(2 / ...)`` for the logistic activation: layer by layer, the weights
    first, in float64, so that a seed gives the weights that it gives in scikit-learn.
    """
    sizes = hidden_sizes(estimator)
    slopes = per_layer(estimator, "negative_slope", len(sizes))
    rates = per_layer(estimator, "dropout", len(sizes))
    layers: list[Any] = []
    width = features
    for size, slope, rate in zip(sizes, slopes, rates, strict=True):
        layers += [Dense(width, size, weight_init="zeros"), *_activation(estimator, slope)]
        if rate:
            layers.append(Dropout(rate))
        width = size
    layers.append(Dense(width, outputs, weight_init="zeros"))
    random = estimator._random_state
    drawn = [_drawn(random, layer, estimator.activation) for layer in layers if isinstance(layer, Dense)]
    # Only masks need more random numbers: without dropout the sequence stays scikit-learn's.
    seed = int(random.randint(np.iinfo(np.int32).max)) if any(rates) else 0
    model = Sequential(*layers, dtype=dtype, rng=seed)
    for target, values in zip([*coefs(model), *intercepts(model)], _by_kind(drawn), strict=True):
        target[...] = values
    return model


class Parameters(list[Array]):
    """Views of a network's parameters: an item that is assigned is copied in, and their number stays."""

    def __init__(self, name: str, views: Iterable[Array]) -> None:
        super().__init__(views)
        self._name = name

    def __setitem__(self, index: Any, value: Any) -> None:
        """Copy one array, or several for a slice, into the network."""
        if isinstance(index, slice):
            set_all(self._name, self[index], value)
        else:
            set_all(f"{self._name}[{index}]", [self[index]], [value])

    def _refuse(self, *args: Any, **settings: Any) -> NoReturn:
        raise TypeError(f"{self._name} has an array for each layer: assign items, or change them in place")

    append = extend = insert = pop = remove = clear = sort = reverse = __delitem__ = __iadd__ = __imul__ = (
        _refuse
    )

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def coefs(model: Sequential) -> list[Array]:
    """Return the weights of the dense layers, views of shape (fan_in, fan_out)."""
    return Parameters("coefs_", _of_dense(model, "weight"))


def intercepts(model: Sequential) -> list[Array]:
    """Return the biases of the dense layers, views of shape (fan_out,)."""
    return Parameters("intercepts_", _of_dense(model, "bias"))


def _of_dense(model: Sequential, name: str) -> Iterator[Array]:
    return (layer.params[name] for layer in model.layers if isinstance(layer, Dense))


def set_all(name: str, targets: Sequence[Array], values: Any) -> None:
    """Copy arrays into the model's parameters: all of them, or none if one does not fit."""
    given = [np.asarray(value) for value in values]
    shapes = [target.shape for target in targets]
    if [value.shape for value in given] != shapes:
        raise ValueError(f"{name}: arrays of shapes {[value.shape for value in given]}, expected {shapes}")
    for target, value in zip(targets, given, strict=True):
        target[...] = value


def _activation(estimator: Any, slope: float) -> list[Any]:
    if slope and estimator.activation != "relu":
        raise ValueError(
            f"{type(estimator).__name__}: negative_slope is {slope:g}, but activation is "
            f"{estimator.activation!r}: only 'relu' has a slope"
        )
    kinds: dict[str, list[Any]] = {
        "identity": [],
        "logistic": [Sigmoid()],
        "tanh": [Tanh()],
        "relu": [ReLU(slope)],
    }
    return kinds[estimator.activation]


def _drawn(random: np.random.RandomState, layer: Dense, activation: str) -> tuple[Array, Array]:
    factor = 2.0 if activation == "logistic" else 6.0
    bound = np.sqrt(factor / (layer.in_features + layer.out_features))
    weight = random.uniform(-bound, bound, (layer.in_features, layer.out_features))
    return weight, random.uniform(-bound, bound, layer.out_features)


def _by_kind(drawn: Sequence[tuple[Array, Array]]) -> list[Array]:
    return [weight for weight, _ in drawn] + [bias for _, bias in drawn]
