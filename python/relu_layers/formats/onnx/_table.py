"""The preprocessing of a model as nodes before and after its network: a raw table goes in, predictions come out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper

from relu_layers import layers
from relu_layers._support.configured import Array
from relu_layers.formats.onnx._opsets import ML
from relu_layers.model import Sequential
from relu_layers.preprocessing import CategoryColumn, ClassTarget, NumberColumn, NumberTarget

FEATURES = "table.features"
ML_OPSET = 2
_KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE}


class Ends(NamedTuple):
    """Nodes and arrays, and the values that a runtime gives or gets: (name, type, lengths behind the rows)."""

    nodes: list[Any]
    initializers: dict[str, Array]
    values: list[tuple[str, int, tuple[int, ...]]]

    def constant(self, name: str, value: Any) -> str:
        """Put an array among the initializers and return its name."""
        self.initializers[name] = np.asarray(value)
        return name

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output


def before(model: Sequential, input_name: str) -> Ends:
    """Return what turns the columns of a table into `FEATURES`.

    Columns of numbers alone are one input, of the model's type. With a column of text each is an input of its own, of
    shape (rows, 1), with the column's name.
    """
    preprocessing = model.preprocessing
    columns = () if preprocessing is None else preprocessing.columns
    if not columns:
        raise ValueError("save: preprocessing is asked for, but the model has none for its inputs")
    takes = next((layer.in_features for layer in model.layers if layer.in_features), None)
    if takes not in (None, preprocessing.n_features):
        raise ValueError(
            f"save: the preprocessing gives {preprocessing.n_features} features, the model takes {takes}"
        )
    ends = Ends([], {}, [])
    kind = _KINDS[model.dtype]
    fills = preprocessing.missing != "error"
    numbers = [column for column in columns if isinstance(column, NumberColumn)]
    if len(numbers) == len(columns):
        ends.values.append((input_name, kind, (len(columns),)))
        _numbers(ends, input_name, FEATURES, numbers, kind, fills=fills)
        return ends
    parts = []
    for index, column in enumerate(columns):
        part = f"table.{index}"
        if isinstance(column, NumberColumn):
            ends.values.append((column.name, kind, (1,)))
            parts.append(_numbers(ends, column.name, part, [column], kind, fills=fills))
        else:
            ends.values.append((column.name, TensorProto.STRING, (1,)))
            parts.append(_categories(ends, column, part, kind, fills=fills))
    ends.node("Concat", parts, FEATURES, axis=1)
    return ends


def _numbers(
    ends: Ends, source: str, target: str, columns: list[NumberColumn], kind: int, *, fills: bool
) -> str:
    """Standardise in float64 and round once, as `Preprocessing.transform` does."""
    fill, mean, scale = (
        ends.constant(
            f"{target}.{name}", np.array([[getattr(column, name) for column in columns]], np.float64)
        )
        for name in ("fill", "mean", "scale")
    )
    wide = ends.node("Cast", [source], f"{target}.wide", to=TensorProto.DOUBLE)
    if fills:
        gaps = ends.node("IsNaN", [wide], f"{target}.missing")
        wide = ends.node("Where", [gaps, fill, wide], f"{target}.filled")
    else:
        del ends.initializers[fill]
    centred = ends.node("Sub", [wide, mean], f"{target}.centred")
    scaled = ends.node("Div", [centred, scale], f"{target}.scaled")
    return ends.node("Cast", [scaled], target, to=kind)


def _categories(ends: Ends, column: CategoryColumn, target: str, kind: int, *, fills: bool) -> str:
    """Write 1 where a row's category is; one that is not known has no 1."""
    keys = list(column.categories)
    places = list(range(len(keys)))
    if fills:
        keys.append("")
        places.append(column.categories.index(column.fill))
    place = ends.node(
        "LabelEncoder", [column.name], f"{target}.place",
        domain=ML, keys_strings=keys, values_int64s=places, default_int64=-1,
    )  # fmt: skip
    every = ends.constant(f"{target}.places", np.arange(len(column.categories), dtype=np.int64)[None, :])
    here = ends.node("Equal", [place, every], f"{target}.here")
    return ends.node("Cast", [here], target, to=kind)


def after(model: Sequential, output: str, out_features: int | None) -> Ends:
    """Return what turns the network's output into ``label`` and ``probabilities``, or ``prediction``."""
    ends = Ends([], {}, [])
    target = model.preprocessing.target if model.preprocessing is not None else None
    if isinstance(target, NumberTarget) and out_features == 1:
        wide = ends.node("Cast", [output], "table.result", to=TensorProto.DOUBLE)
        factor, summand = (
            ends.constant(f"table.target.{name}", np.float64(getattr(target, name)))
            for name in ("scale", "mean")
        )
        ends.node("Mul", [wide, factor], "table.stretched")
        ends.node("Add", ["table.stretched", summand], "prediction")
        ends.values.append(("prediction", TensorProto.DOUBLE, (out_features,)))
    if isinstance(target, ClassTarget) and out_features == len(target.classes):
        _classes(ends, model, target, output, out_features)
    return ends


def _classes(ends: Ends, model: Sequential, target: ClassTarget, output: str, count: int) -> None:
    last = next((layer for layer in reversed(model.layers) if not isinstance(layer, layers.Dropout)), None)
    place = ends.node("ArgMax", [output], "table.place", axis=1, keepdims=0)
    text = isinstance(target.classes[0], str)
    names = np.array(target.classes, object if text else None)
    ends.node("Gather", [ends.constant("table.classes", names), place], "label", axis=0)
    number = TensorProto.INT64 if names.dtype == np.int64 else TensorProto.DOUBLE
    ends.values.append(("label", TensorProto.STRING if text else number, ()))
    if isinstance(last, (layers.Softmax, layers.Sigmoid)):
        ends.node("Identity", [output], "probabilities")
    else:
        ends.node("Softmax", [output], "probabilities", axis=1)
    ends.values.append(("probabilities", _KINDS[model.dtype], (count,)))


def check_names(ends: list[Ends], inside: set[str]) -> None:
    """Raise a ValueError if a column has the name of another value of the graph."""
    taken = set(inside)
    for end in ends:
        taken.update(end.initializers)
        taken.update(name for node in end.nodes for name in node.output)
    for name, _, _ in ends[0].values:
        if name in taken or not name:
            raise ValueError(
                f"save: column {name!r} has the name of another value of the file, or none; rename it"
            )
