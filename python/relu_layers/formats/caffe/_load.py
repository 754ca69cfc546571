"""``load``: a prototxt, a caffemodel, or both, as a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relu_layers._support.arguments import choice, integer
from relu_layers._support.files import AnyPath, open_regular
from relu_layers.formats.caffe._chain import Chain, chain_of
from relu_layers.formats.caffe._layers import Flow
from relu_layers.formats.caffe._net import State, layers_of, leading_to
from relu_layers.formats.caffe._schema import Message
from relu_layers.formats.caffe._text import read_text
from relu_layers.formats.caffe._wire import read_wire
from relu_layers.losses import Loss
from relu_layers.model import Sequential

# Protobuf's own limit, and more text than any net has.
_LARGEST_BINARY = 2**31
_LARGEST_TEXT = 16 * 2**20


class Net(NamedTuple):
    """The content of a net's files: a model, the loss if it has one, and ``{"0.bias": (lr_mult, decay_mult)}``."""

    model: Sequential
    loss: Loss | None
    multipliers: Mapping[str, tuple[float, float]]


def load(
    path: str,
    *,
    weights: AnyPath | None = None,
    phase: str = "test",
    stages: Sequence[str] = (),
    output: str | None = None,
    in_features: int | None = None,
    dtype: Any = np.float32,
    rng: np.random.Generator | int | None = None,
    most_parameters: int = 2**26,
) -> Sequential:
    """Return the model in a ``.prototxt`` or ``.caffemodel`` file.

    Parameters
    ----------
    path : str
        A prototxt describes the net; its parameters are drawn by its fillers, or come from ``weights``. A
        caffemodel is a net by itself.
    weights : path-like, keyword
        A caffemodel, whose layers are found by name. Every layer with parameters must be in it.
    phase : {"test", "train"}, keyword
        In either case of letters. Which layers count, where they have rules. Not of a caffemodel, whose layers have
        been chosen already.
    stages : sequence of str, keyword
        The stages of the net, for the same rules.
    output : str, keyword
        The blob that the net is read up to, where it branches; what leads to others is not looked at.
    in_features : int, keyword
        Size of a row, where neither the input's shape nor the weights give it.
    dtype : np.float32 or np.float64, keyword
    rng : np.random.Generator, int or None, keyword
        For the fillers and for dropout.
    most_parameters : int, keyword
        More are refused before memory is asked for them.

    Returns
    -------
    Sequential
        ReLU slopes and the like are rounded to float32, as in Caffe.

    Raises
    ------
    ValueError
        A file is damaged; a layer is of a type that there is none for here; the layers branch; blobs do not fit.
    """
    phase = choice("load", "phase", phase.lower() if isinstance(phase, str) else phase, ("test", "train"))
    if output is not None and not isinstance(output, str):
        raise TypeError(f"load: output is {output!r}, expected the name of a blob")
    net = load_net(
        path,
        None if weights is None else os.fsdecode(weights),
        State(phase.upper(), stages=tuple(stages)),
        output=output,
        in_features=in_features,
        dtype=dtype,
        rng=rng,
        most_parameters=most_parameters,
    )
    return net.model


def load_net(path: str | Message, weights: str | None, state: State, **options: Any) -> Net:
    """Return the net of a file, or of a message that another file held; the options are those of `load`."""
    shown = "the net" if isinstance(path, Message) else path
    binary = not isinstance(path, Message) and Path(path).suffix.lower() == ".caffemodel"
    net = path if isinstance(path, Message) else read_message(path, "NetParameter")
    trained = None
    if weights is not None:
        trained = _blobs(weights, read_message(weights, "NetParameter"))
    elif binary:
        trained = _blobs(shown, net)
    try:
        return _built(net, trained, None if binary else state, **options)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{shown}: {error or type(error).__name__}") from None


def _built(
    net: Message,
    blobs: Mapping[str, list[Message]] | None,
    state: State | None,
    *,
    output: str | None = None,
    in_features: int | None = None,
    dtype: Any = np.float32,
    rng: np.random.Generator | int | None = None,
    most_parameters: int = 2**26,
) -> Net:
    shape = None if in_features is None else (integer("load", "in_features", in_features, minimum=1),)
    flow = Flow(shape, integer("load", "most_parameters", most_parameters, minimum=1))
    layers = layers_of(net, state)
    if output is not None:
        layers = leading_to(layers, output)
    chain: Chain = chain_of(net, layers, blobs, flow, alone=state is None)
    model = Sequential(*chain.layers, dtype=dtype, rng=rng)
    # A double that no float32 holds becomes infinite, and is then refused.
    with np.errstate(over="ignore"):
        model.load_params({**model.params, **{k: v.astype(model.dtype) for k, v in chain.params.items()}})
    if not np.isfinite(model.flat_params).all():
        raise ValueError(f"some parameters are not finite in {model.dtype}")
    return Net(model, chain.loss, chain.multipliers)


def _blobs(path: str, net: Message) -> dict[str, list[Message]]:
    """Return the blobs of a caffemodel by layer."""
    try:
        found: dict[str, list[Message]] = {}
        for layer in layers_of(net, None):
            if layer.name in found and layer.message["blobs"]:
                raise ValueError(f"two layers with blobs are called {layer.name!r}")
            found.setdefault(layer.name, layer.message["blobs"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return found


def read_message(path: str, kind: str) -> Message:
    """Return the message in a file, text unless it is a ``.caffemodel``."""
    binary = Path(path).suffix.lower() == ".caffemodel"
    most = _LARGEST_BINARY if binary else _LARGEST_TEXT
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"{path} is larger than {most} bytes")
        data = file.read(size)
    try:
        return read_wire(data, kind) if binary else read_text(data.decode(), kind)
    except ValueError as error:
        solver = None if binary or kind != "NetParameter" else _solver_in(data)
        if solver is None:
            raise ValueError(f"{path}: {error}") from None
        names = solver["net"] or solver["train_net"]
        where = f", {names!r}" if names else ""
        raise ValueError(
            f"{path}: this is a solver: load the net that it names{where}; "
            "relu_layers.formats.caffe.read_solver reads both and trains as Caffe does"
        ) from None


def _solver_in(data: bytes) -> Message | None:
    """Return the text as a solver, None if it is none."""
    try:
        found = read_text(data.decode(), "SolverParameter")
    except ValueError:
        return None
    return found if any(name in found for name in ("net", "train_net", "base_lr")) else None
