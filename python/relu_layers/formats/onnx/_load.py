"""ONNX file to model."""

from __future__ import annotations

import json
import os
from os import fsdecode
from typing import Any

import numpy as np
import onnx

from relu_layers._files.card import checked_card
from relu_layers._support.arguments import boolean
from relu_layers._support.files import AnyPath, open_regular
from relu_layers.formats.onnx._chain import Chain
from relu_layers.formats.onnx._classes import makes_labels, named_classes
from relu_layers.formats.onnx._external import External
from relu_layers.formats.onnx._graph import check_texts, graph_of
from relu_layers.formats.onnx._labels import scores_among
from relu_layers.formats.onnx._metadata import CARD, NETWORK, PREDICTS, PREPROCESSING
from relu_layers.formats.onnx._readers import chain_of
from relu_layers.formats.onnx._wire import check_bytes
from relu_layers.layers import Dense
from relu_layers.model import Sequential
from relu_layers.preprocessing import Preprocessing

_LARGEST = 2**31 - 1  # a message of protobuf ends there


def load(path: AnyPath, *, output: str | None = None, finite: bool = True) -> Sequential:
    """Return the network in an ONNX file: one input, layers in a row, one output.

    Weights keep their values; a transposed Gemm is transposed, its alpha and beta and constants that are added or
    multiplied beside it go into weight and bias. Data beside the file are read from its folder. What does nothing
    in inference is left out, except Dropout, which becomes a layer. Where the file flattens its input, the model
    takes rows that are flat already. Preprocessing that `save` wrote comes back, and so does ``model.predicts``. Where
    the file makes labels of the scores, their names are the classes of the model's preprocessing.

    Parameters
    ----------
    path : str, bytes or path-like
    output : str, optional
        Which output to read, where the file has several; what only the others need is not looked at. Labels that
        are made of another output's scores need no choice.
    finite : bool
        Whether NaN and infinities among the weights are refused.

    Returns
    -------
    Sequential
        float32 or float64, as the file's input; float32 for a file in half precision.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is damaged, holds something that is not supported (the message names the node), or keeps data
        outside its folder.
    """
    if output is not None and not isinstance(output, str):
        raise TypeError(f"load: output is {output!r}, expected the name of an output")
    boolean("load", "finite", finite)
    where = fsdecode(path)
    data = bytes_of(where)
    # Constants that overflow are found among the weights.
    try:
        with np.errstate(all="ignore"):
            return _model_in(data, output, finite, External(os.path.dirname(where)))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{where} cannot be loaded: {error}") from None


def bytes_of(where: str) -> bytes:
    """Return the content of a file, if it is no longer than a message may be."""
    with open_regular(where) as file:
        size = file.seek(0, os.SEEK_END)
        if size > _LARGEST:
            raise ValueError(
                f"{where} cannot be loaded: it has {size} bytes, more than the {_LARGEST} of a message"
            )
        file.seek(0)
        return file.read(size)


def proto_of(data: bytes) -> Any:
    """Return the ModelProto of a file's bytes, or raise a ValueError."""
    check_bytes(data)
    try:
        return onnx.ModelProto.FromString(data)
    except Exception as error:  # the parser's own exceptions are of a package that is onnx's affair
        raise ValueError(f"it is no ONNX model: {error}") from None


def _model_in(data: bytes, output: str | None, finite: bool, external: External) -> Sequential:
    proto = proto_of(data)
    names = [value.name for value in proto.graph.output]
    check_texts(names)
    source, end = _network(proto)
    if output is None:
        output = end
    if output is None and len(names) > 1:
        output = scores_among(proto.graph.node, names)
    if output is None and len(names) > 1:
        raise ValueError(
            f"it has {len(names)} outputs ({', '.join(names)}), expected one; choose with output="
        )
    graph = graph_of(proto, output, external, source=source)
    chain = chain_of(graph)
    if finite:
        _check_finite(chain)
    # First: they may be damaged, and the layers are large.
    preprocessing, card = _preprocessing(graph.metadata.get(PREPROCESSING)), _card(graph.metadata.get(CARD))
    predicts = graph.metadata.get(PREDICTS)
    if predicts not in (None, "numbers", "classes"):
        raise ValueError(f"its entry {PREDICTS} is {predicts[:100]!r}, expected numbers or classes")
    model = Sequential(*(made.make() for made in chain.layers), dtype=chain.dtype)
    model.load_params({f"{i}.{name}": np.asarray(value) for i, made in enumerate(chain.layers)
                       for name, value in made.params.items()})  # fmt: skip
    if source is None and preprocessing is None and makes_labels(proto.graph.node, names):
        outputs = next(
            (layer.out_features for layer in reversed(model.layers) if isinstance(layer, Dense)), 0
        )
        predicts, preprocessing = "classes", named_classes(proto.graph, outputs)
    model.preprocessing, model.predicts, model.card = preprocessing, predicts, card
    return model


def _network(proto: Any) -> tuple[str | None, str | None]:
    """Return where the network begins and ends in a graph that `save` wrote with preprocessing, else None twice."""
    text = next((entry.value for entry in proto.metadata_props if entry.key == NETWORK), None)
    if text is None:
        return None, None
    try:
        source, end = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        source = end = None
    if not isinstance(source, str) or not isinstance(end, str):
        raise ValueError(f"its entry {NETWORK} is damaged: {str(text)[:100]!r}")
    return source, end


def _check_finite(chain: Chain) -> None:
    for index, made in enumerate(chain.layers):
        for name, value in made.params.items():
            wrong = value.size - int(np.count_nonzero(np.isfinite(value)))
            if wrong:
                raise ValueError(
                    f"{wrong} of {value.size} numbers of the {name} of layer {index} are NaN or infinite; "
                    "finite=False reads them all the same"
                )


def _card(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        return checked_card(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its card is damaged: {str(error)[:200]}") from None


def _preprocessing(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return Preprocessing.from_dict(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its preprocessing is damaged: {str(error)[:200]}") from None
