"""scikit-learn's scalers and its imputer of numbers, fitted, as the package's own preprocessing."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from relu_layers.preprocessing import NumberColumn, Preprocessing

Array = np.ndarray[Any, np.dtype[Any]]
SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
READ = (*SCALERS, SimpleImputer)


def preprocessing_of(steps: list[Any]) -> Preprocessing:
    """Return what fitted steps of `READ` do, one after another, as one scale for each column.

    Columns have the names of the frame that was fitted, or x0, x1, ... as for an array.

    Raises
    ------
    ValueError
        A step clips, or fills columns after they were scaled, drops or adds columns.
    """
    for step in steps:
        check_is_fitted(step)
    count = steps[0].n_features_in_
    mean, scale = np.zeros(count), np.ones(count)
    fill = None
    for place, step in enumerate(steps):
        if isinstance(step, SimpleImputer):
            if place > 0:
                raise ValueError("to_model: a SimpleImputer stands behind a scaler, expected before")
            fill = _filled(step, count)
        else:
            # (x - mean) / scale, then (. - m) / s: the mean moves by m of the scaled unit.
            m, s = _moved(step, count)
            mean, scale = mean + m * scale, scale * s
    names = getattr(steps[0], "feature_names_in_", [f"x{i}" for i in range(count)])
    result = Preprocessing(missing="error" if fill is None else "mean")
    fills = mean if fill is None else fill
    result.columns = tuple(
        NumberColumn(str(name), *map(float, numbers))
        for name, *numbers in zip(names, mean, scale, fills, strict=True)
    )
    return Preprocessing.from_dict(result.to_dict())  # which checks the numbers


def _filled(step: Any, count: int) -> Array:
    if step.add_indicator or len(step.statistics_) != count or not isinstance(step.missing_values, float):
        raise ValueError(f"to_model: {step} does not only fill what is missing (NaN) with numbers")
    values = np.asarray(step.statistics_)
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise ValueError(f"to_model: {step} fills with {values}, expected a number for each column")
    return values


def _moved(step: Any, count: int) -> tuple[Array, Array]:
    """Return what a scaler subtracts, and what it divides by then."""
    if getattr(step, "clip", False):
        raise ValueError(f"to_model: {step} clips, which a preprocessing of a model file does not")
    nothing, one = np.zeros(count), np.ones(count)
    if isinstance(step, MinMaxScaler):
        return -step.min_ / step.scale_, 1.0 / step.scale_
    centre = {StandardScaler: "mean_", RobustScaler: "center_"}.get(type(step), "")
    mean, scale = getattr(step, centre, None), step.scale_
    if not getattr(step, "with_mean", True):
        mean = None
    return (nothing if mean is None else mean), (one if scale is None else scale)
