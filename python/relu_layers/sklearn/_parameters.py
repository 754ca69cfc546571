"""The parameters of the estimators: scikit-learn's and ours, and the error for anything else."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils._param_validation import Interval, Options, StrOptions

from relu_layers._support.arguments import nearest

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
SOLVERS = ("lbfgs", "sgd", "adam")
STOCHASTIC = ("sgd", "adam")

CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "solver": [StrOptions(set(SOLVERS))],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "negative_slope": [Real, "array-like"],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "restore_best_weights": ["boolean"],
    "time_limit": [Interval(Real, 0, None, closed="neither"), None],
    "callbacks": [list, tuple, callable, None],
    "progress": ["boolean"],
}


def check_parameters(estimator: Any) -> None:
    """Raise scikit-learn's error for a parameter that is not supported; it names the nearest that is."""
    if get_config()["skip_parameter_validation"]:
        return
    try:
        estimator._validate_params()
    except ValueError as error:
        raise type(error)(f"{error}{_nearest_option(estimator)}") from None


def _nearest_option(estimator: Any) -> str:
    for name, constraints in estimator._parameter_constraints.items():
        value = getattr(estimator, name, None)
        options = [one for part in constraints if isinstance(part, StrOptions) for one in part.options]
        if isinstance(value, str) and options and value not in options:
            return nearest(value, sorted(options))
    return ""


def hidden_sizes(estimator: Any) -> list[int]:
    """Return the sizes of the hidden layers; a single number is one layer."""
    sizes = estimator.hidden_layer_sizes
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    for size in sizes:
        if isinstance(size, (bool, np.bool_)) or not isinstance(size, Integral):
            raise TypeError(f"hidden_layer_sizes is {sizes}, expected integers, got {size!r}")
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def per_layer(estimator: Any, name: str, layers: int) -> list[float]:
    """Return a parameter that is one number for all hidden layers, or one for each."""
    value = getattr(estimator, name)
    if not hasattr(value, "__iter__"):
        return [float(value)] * layers
    values = [float(one) for one in value]
    if len(values) != layers:
        raise ValueError(
            f"{type(estimator).__name__}: {name} has {len(values)} values, expected one number or {layers}, "
            "one per hidden layer"
        )
    if name == "dropout" and not all(0.0 <= one < 1.0 for one in values):
        raise ValueError(f"{type(estimator).__name__}: dropout is {value!r}, expected rates in [0, 1)")
    return values
