"""Model to ONNX file."""

from __future__ import annotations

import json
from os import fsdecode
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, checker, defs, helper, numpy_helper

from relu_layers._files.card import checked_card
from relu_layers._support.arguments import boolean, integer
from relu_layers._support.files import AnyPath, write_atomically
from relu_layers.formats.onnx._metadata import CARD, CLASS_NAMES, NETWORK, PREDICTS, PREPROCESSING
from relu_layers.formats.onnx._nodes import LayerNodes, nodes_of
from relu_layers.formats.onnx._opsets import ML
from relu_layers.formats.onnx._table import FEATURES, ML_OPSET, after, before, check_names
from relu_layers.model import Sequential
from relu_layers.runtime import __version__

_OLDEST_OPSET = 13
# Nothing that is written has changed its meaning since, so the oldest reaches the most programs.
_DEFAULT_OPSET = 13
# A message of protobuf ends at 2 GiB; the rest is room for names.
_LARGEST = 2**31 - 2**20


def save(
    model: Sequential,
    path: AnyPath,
    *,
    opset: int | None = None,
    batch: str | int = "batch",
    input_name: str = "input",
    output_name: str = "output",
    dropout: bool = False,
    preprocessing: bool = False,
) -> None:
    """Write a model as an ONNX file that computes ``model(x)``, for rows ``x`` of shape (batch, features).

    Parameters are initializers with the names that they have in ``model.params``. What went before (the model's
    preprocessing), what `model.predict` returns (``model.predicts``) and its card travel in the file's metadata; with
    ``preprocessing`` the first is part of the graph. The file is checked by `onnx.checker` before it takes its place.

    Parameters
    ----------
    model : Sequential
    path : str, bytes or path-like
    opset : int, optional
        Version of ONNX's operators, 13 up to the newest that the installed onnx knows; None is 13. The file's IR
        version is the oldest that allows it.
    batch : str or int
        Name of the open number of rows, or the fixed number.
    input_name, output_name : str
        What a runtime calls input and output.
    dropout : bool
        Whether Dropout layers are written too. They do nothing in inference, so by default they are left out;
        written, they come back on loading.
    preprocessing : bool
        Whether the graph takes the raw columns of a table and standardises and encodes them itself. Numbers alone are
        one input; with text each column is an input of shape (batch, 1) with its own name. More outputs follow the
        network's: ``label`` and ``probabilities``, or ``prediction`` in the unit of the target.

    Raises
    ------
    ValueError
        A layer has no operator, the model is too large for the format, or ``preprocessing`` is asked of a model
        without one.
    """
    _check_options(opset, batch, input_name, output_name)
    boolean("save", "dropout", dropout)
    where = fsdecode(path)
    source = FEATURES if boolean("save", "preprocessing", preprocessing) else input_name
    written = nodes_of(model, source, output_name, dropout=dropout)
    size = sum(array.nbytes for array in written.initializers.values())
    if size > _LARGEST:
        raise ValueError(f"{where}: {size} bytes of parameters, an ONNX file holds {_LARGEST}")
    version = _DEFAULT_OPSET if opset is None else opset
    proto = _model_proto(model, written, version, batch, source, output_name)
    if preprocessing:
        _put_around(proto, model, written, batch, input_name)
    data = proto.SerializeToString()
    checker.check_model(data, full_check=True)
    write_atomically(where, lambda file: file.write(data))


def _check_options(opset: Any, batch: Any, input_name: Any, output_name: Any) -> None:
    newest = defs.onnx_opset_version()
    if opset is not None and not _OLDEST_OPSET <= integer("save", "opset", opset) <= newest:
        raise ValueError(
            f"save: opset is {opset}, expected {_OLDEST_OPSET} to {newest} (onnx {onnx.__version__})"
        )
    if not isinstance(batch, str):
        integer("save", "batch", batch, minimum=1)
    for name, value in (("batch", batch), ("input_name", input_name), ("output_name", output_name)):
        if name != "batch" and not isinstance(value, str):
            raise TypeError(f"save: {name} is {value!r}, expected a name")
        if value == "":
            raise ValueError(f"save: {name} is empty, expected a name")
    if input_name == output_name:
        raise ValueError(f"save: input_name and output_name are both {input_name!r}")


def _model_proto(
    model: Sequential, written: LayerNodes, opset: int, batch: str | int, input_name: str, output_name: str
) -> Any:
    kind = TensorProto.FLOAT if model.dtype == np.float32 else TensorProto.DOUBLE
    ends = [
        helper.make_tensor_value_info(name, kind, [batch, features or "features"])
        for name, features in ((input_name, written.in_features), (output_name, written.out_features))
    ]
    graph = helper.make_graph(
        written.nodes,
        "relu_layers",
        ends[:1],
        ends[1:],
        [numpy_helper.from_array(array, name) for name, array in written.initializers.items()],
        doc_string=repr(model),
    )
    imports = [helper.make_opsetid("", opset)]
    proto = helper.make_model(
        graph,
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports),
        producer_name="relu_layers",
        producer_version=__version__,
        doc_string="A network of relu_layers, for inference.",
    )
    helper.set_model_props(proto, _metadata(model))
    return proto


def _put_around(
    proto: Any, model: Sequential, written: LayerNodes, batch: str | int, input_name: str
) -> None:
    """Put the preprocessing into a graph whose input are its features."""
    graph = proto.graph
    (features,), (output,) = list(graph.input), list(graph.output)
    ends = [before(model, input_name), after(model, output.name, written.out_features)]
    check_names(ends, {*written.initializers, *(name for node in written.nodes for name in node.output)})
    nodes = [*ends[0].nodes, *graph.node, *ends[1].nodes]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.value_info.append(features)
    for end, values in zip(ends, (graph.input, graph.output), strict=True):
        values.extend(
            helper.make_tensor_value_info(name, kind, [batch, *lengths]) for name, kind, lengths in end.values
        )
        graph.initializer.extend(
            numpy_helper.from_array(array, name) for name, array in end.initializers.items()
        )
    proto.opset_import.append(helper.make_opsetid(ML, ML_OPSET))
    proto.metadata_props.add(key=NETWORK, value=json.dumps([features.name, output.name]))


def _metadata(model: Sequential) -> dict[str, str]:
    """Return what travels beside the graph: preprocessing, names of the classes, what is predicted, card."""
    card = checked_card(model.card)
    found = {} if card is None else {CARD: json.dumps(card)}
    if model.predicts is not None:
        found[PREDICTS] = model.predicts
    if model.preprocessing is None:
        return found
    entries = model.preprocessing.to_dict()
    found[PREPROCESSING] = json.dumps(entries, allow_nan=False)
    classes = (entries.get("target") or {}).get("classes")
    if classes is not None:
        found[CLASS_NAMES] = json.dumps(classes)
    return found
