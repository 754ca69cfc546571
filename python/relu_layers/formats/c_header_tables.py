"""A model's preprocessing in a C header: tables of columns and classes, and the functions that read them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from relu_layers.formats import c_header_code as code
from relu_layers.formats.c_header_values import number, table, texts
from relu_layers.model import Sequential
from relu_layers.preprocessing import CategoryColumn, ClassTarget, NumberColumn, Preprocessing

_DOUBLE = np.dtype(np.float64)


class Extra(NamedTuple):
    """Macros, and the constants and functions that come after the network's."""

    definitions: str
    code: str


def preprocessing_tables(model: Sequential, name: str, inputs: int, outputs: int, sigmoid: bool) -> Extra:
    """Return the code of ``model.preprocessing``; nothing where there is none.

    Raises
    ------
    ValueError
        The preprocessing does not belong to the model: other numbers of features or classes.
    """
    preprocessing = model.preprocessing
    if preprocessing is None:
        return Extra("", "")
    if not isinstance(preprocessing, Preprocessing):
        raise ValueError(
            f"model.preprocessing is a {type(preprocessing).__name__}, which cannot be written to a C header, "
            "expected a relu_layers.preprocessing.Preprocessing or None"
        )
    real = "float" if model.dtype == np.float32 else "double"
    definitions = text = ""
    if preprocessing.columns:
        if preprocessing.n_features != inputs:
            raise ValueError(
                f"the model takes {inputs} features but its preprocessing gives {preprocessing.n_features}"
            )
        definitions += f"#define @U_COLUMNS {len(preprocessing.columns)} /* of the table */\n"
        text += _columns(preprocessing, name, real)
    target = preprocessing.target
    if isinstance(target, ClassTarget):
        if outputs != len(target.classes) and not (sigmoid and outputs == 1 and len(target.classes) == 2):
            raise ValueError(
                f"the model has {outputs} outputs but its target has {len(target.classes)} classes"
            )
        definitions += f"#define @U_CLASSES {len(target.classes)}\n"
        names = [one if isinstance(one, str) else str(one) for one in target.classes]
        text += f"\n{texts(f'{name}_class_names', 'class', names)}"
        text += code.adapted(code.CLASS_NAME, name, real)
    elif target is not None:
        if outputs != 1:
            raise ValueError(f"the model has {outputs} outputs but its target is one number")
        scale, mean = (number(np.float64(value), _DOUBLE) for value in (target.scale, target.mean))
        text += (
            f"\n/* An output in the unit of the target. */\nstatic inline double {name}_value(double y)\n"
            f"{{\n    return y * {scale} + {mean};\n}}\n"
        )
    return Extra(definitions, text)


def _columns(preprocessing: Preprocessing, name: str, real: str) -> str:
    columns = preprocessing.columns
    filled = preprocessing.missing == "mean"
    means: list[float] = []
    scales: list[float] = []
    fills: list[float] = []
    counts: list[str] = []
    codes: list[str] = []
    categories: list[str] = []
    for column in columns:
        if isinstance(column, NumberColumn):
            means.append(column.mean)
            scales.append(column.scale)
            fills.append(column.fill)
            counts.append("0")
            codes.append("-1")
            continue
        frequent = column.categories.index(column.fill)
        means.append(0.0)
        scales.append(1.0)
        fills.append(float(frequent))
        counts.append(str(len(column.categories)))
        codes.append(str(frequent) if filled else "-1")
        categories.extend(column.categories)
    parts = ["\n", texts(f"{name}_column_names", "column", [column.name for column in columns])]
    parts.append("/* Numbers become (value - mean) / scale. */\n")
    parts.append(_doubles(f"{name}_means", means))
    parts.append(_doubles(f"{name}_scales", scales))
    parts.append("/* How many categories a column has; 0 for numbers. */\n")
    parts.append(table(f"int {name}_category_counts[{len(columns)}]", counts))
    functions = code.COLUMN_FUNCTIONS
    if any(isinstance(column, CategoryColumn) for column in columns):
        parts.append(texts(f"{name}_category_names", "category", categories))
        parts.append("/* The category that stands for an empty text, or -1. */\n")
        parts.append(table(f"int {name}_category_filled[{len(columns)}]", codes))
        empty = "An empty text is missing: it counts as the most frequent one." if filled else ""
        functions += code.CATEGORY_FUNCTIONS.replace("EMPTY ", f"{empty} ".lstrip())
    missing = "NaN is missing and is filled as in training." if filled else "NaN is refused."
    fill = ""
    if filled:
        parts.append("/* What stands in for NaN. */\n")
        parts.append(_doubles(f"{name}_fills", fills))
        fill = "        if (isnan(value)) value = @_fills[column];\n"
    functions += code.FEATURES.replace("FILL", fill).replace("MISSING", missing)
    return "".join(parts) + code.adapted(functions, name, real)


def _doubles(name: str, values: list[float]) -> str:
    return table(f"double {name}[{len(values)}]", (number(np.float64(value), _DOUBLE) for value in values))
