"""A trained network as one C99 header: constant weights, a forward function, no malloc, <math.h> and vectors."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relu_layers._files.formulas import written_as
from relu_layers._support.arguments import nearest
from relu_layers._support.files import AnyPath, write_atomically
from relu_layers.formats import c_header_code as code
from relu_layers.formats.c_header_dense import VECTORS
from relu_layers.formats.c_header_tables import preprocessing_tables
from relu_layers.formats.c_header_values import identifier, numbers, scalar
from relu_layers.layers import (
    BUILT_IN,
    ELU,
    GELU,
    Clip,
    Dense,
    Dropout,
    PReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Threshold,
)
from relu_layers.model import Sequential
from relu_layers.runtime import __version__

# Numbers of work memory, for one row, up to which a batch has it for four on the stack: 64 KiB of floats.
_MOST_WORK_BY_FOUR = 4096
# Layers with fewer outputs have code of their own: what is left after whole vectors would be most of their time.
_NARROW = 16


def save(model: Sequential, path: AnyPath, *, name: str | None = None) -> None:
    """Write ``model`` as a C99 header that C++ takes too.

    The header holds the weights as constants and the functions ``NAME_forward(x, y)``, ``NAME_forward_batch``,
    ``NAME_forward_in`` (work memory of the caller) and, for a classifier, ``NAME_predict``. Where the model has a
    preprocessing, ``NAME_features`` turns a row of the table into inputs, ``NAME_class_name`` gives the class of a
    prediction and ``NAME_value`` a number in the target's unit. All functions are static, keep no state and may run
    in several threads.

    Parameters
    ----------
    model : Sequential
        Of the built-in layers, on rows of features; Softmax along the last axis.
    path : path-like
        File to write; it is replaced as a whole.
    name : str, optional
        What every name in the header starts with; by default the file's name without its suffix.

    Raises
    ------
    ValueError
        A layer has no counterpart, a parameter is not finite, the number of inputs is unknown, or the name cannot
        be part of a C name.
    """
    target = Path(os.fsdecode(path))
    if name is None:
        prefix = identifier(target.stem, f"{target}: the file's name")
    elif isinstance(name, str):
        prefix = identifier(name, f"{target}: name")
    else:
        raise TypeError(f"{target}: name is a {type(name).__name__}, expected a string")
    content = header(model, prefix).encode("ascii")
    write_atomically(target, lambda file: file.write(content))


class _Piece(NamedTuple):
    """The code of one layer: its constants and the call, with fields x, y and n for input, output and its size.

    ``by_row`` is whether the function looks at a row of n numbers, and not at each number.
    """

    function: str
    call: str
    tables: tuple[str, ...] = ()
    by_row: bool = False

    def of(self, x: str, y: str, n: int, together: int) -> str:
        """Return the call for ``together`` rows."""
        if together == 1:
            return self.call.format(x=x, y=y, n=n)
        if self.function == "dense":
            return self.call.format(x=x, y=y, n=n).replace(self.call.split("(")[0], f"@_dense_{together}", 1)
        if not self.by_row:
            return self.call.format(x=x, y=y, n=n * together)
        return " ".join(self.call.format(x=x, y=f"{y} + {row * n}", n=n) for row in range(together))


def header(model: Sequential, name: str) -> str:
    """Return the text of the header; ``name`` is an identifier."""
    real = "float" if model.dtype == np.float32 else "double"
    inputs = _inputs_of(model)
    used: dict[str, None] = {}
    tables: list[str] = []
    steps: list[
        tuple[_Piece, int, bool]
    ] = []  # piece, size of its output, whether it needs a buffer of its own
    described: list[str] = []
    size = inputs
    for index, layer in enumerate(model.layers):
        described.append(f"     {index}: {_description(layer)}\n")
        if type(layer) is Dropout:
            continue
        piece = _WRITERS[type(layer)](layer, f"{index}", model, name)
        moves = type(layer) is Dense
        if not steps and not moves:
            steps.append((_Piece("copy", "@_copy({x}, {n}, {y});"), size, True))
            used["copy"] = None
        size = layer.out_features if moves else size
        steps.append((piece, size, moves))
        tables += piece.tables
        used[piece.function] = None
    body, work = _calls(steps)
    batch = code.BATCH
    if work <= _MOST_WORK_BY_FOUR:
        batch = code.BATCH_BY_FOUR.replace("STEPS", _calls(steps, together=4)[0])
    outputs = size
    last = next(layer for layer in reversed(model.layers) if type(layer) is not Dropout)
    predicts = code.PREDICT_YES if outputs == 1 and type(last) is Sigmoid else ""
    if outputs > 1 and type(last) is not Sigmoid and model.predicts != "numbers":
        predicts = code.PREDICT_INDEX
    extra = preprocessing_tables(model, name, inputs, outputs, type(last) is Sigmoid)
    parts = [
        _introduction(model, described, real),
        f"#ifndef {name.upper()}_H\n#define {name.upper()}_H\n\n#include <math.h>\n",
        f"{VECTORS if 'dense' in used else ''}\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n',
        f"#define @U_INPUTS {inputs}\n#define @U_OUTPUTS {outputs}\n",
        f"#define @U_WORK {work} /* numbers: {work * model.dtype.itemsize:,} bytes */\n",
        extra.definitions,
        "\n",
        *tables,
        *(code.FUNCTIONS[one] for one in used),
        code.FORWARD.replace("STEPS", body),
        batch,
        predicts,
    ]
    text = code.adapted("".join(parts), name, real) + extra.code
    return f"{text}\n#ifdef __cplusplus\n}}\n#endif\n\n#endif\n"


def _introduction(model: Sequential, described: list[str], real: str) -> str:
    parameters = f"{model.flat_params.size:,} parameters, {model.flat_params.nbytes:,} bytes"
    lines = "".join(described)
    return f"""/* A network in C99, written by relu_layers {__version__}: {parameters}.

{lines}
   {real} x[@U_INPUTS], y[@U_OUTPUTS];
   @_forward(x, y);

   Include it in one source file (each that includes it gets its own copy of the weights) and link the mathematical
   library (-lm). No function allocates memory or keeps state. Where the compiler may use fused multiply-add (such as
   -mfma), products have the very bits of relu_layers. Not for -ffast-math where NaN or infinity can occur. */
"""


def _inputs_of(model: Sequential) -> int:
    """Return the number of features the model takes; check that every layer can be written."""
    inputs: int | None = None
    for index, layer in enumerate(model.layers):
        kind = type(layer)
        if kind is not Dropout and kind not in _WRITERS:
            able = sorted(one.__name__ for one in (*_WRITERS, Dropout))
            raise ValueError(
                f"layer {index}, {kind.__name__}, cannot be written to a C header, expected one of "
                f"{', '.join(able)}{nearest(kind.__name__, able)}"
            )
        if kind is Softmax and layer.axis != -1:
            raise ValueError(
                f"layer {index}, {layer!r}, cannot be written to a C header, which goes row by row: expected axis=-1"
            )
        if inputs is None:
            inputs = layer.in_features
    if inputs is None:
        raise ValueError(
            "no layer knows the number of inputs, which a C header needs: expected a Dense among them"
        )
    for key, values in model.params.items():
        finite = np.isfinite(values)
        if not finite.all():
            first = np.unravel_index(int(np.argmin(finite)), values.shape)
            at = ", ".join(str(int(i)) for i in first)
            raise ValueError(
                f"{key}[{at}] is {values[first]}: a network with parameters that are not finite is not written to a "
                "C header"
            )
    return inputs


def _description(layer: Any) -> str:
    """Return a layer without a user's initializer: this ends up in a comment."""
    if type(layer) is Dense:
        return f"Dense({layer.in_features}, {layer.out_features}{'' if layer.bias else ', bias=False'})"
    return f"PReLU({layer.features})" if type(layer) is PReLU else repr(layer)


def _calls(steps: list[tuple[_Piece, int, bool]], together: int = 1) -> tuple[str, int]:
    """Return the statements of the forward pass of ``together`` rows and the size of the work memory.

    Each run of layers from one Dense to the next works in one buffer: the last in y, the others by turns in the two
    halves of the work memory.
    """
    runs = sum(moves for _, _, moves in steps)
    halves = [0, 0]
    run = -1
    for _, size, moves in steps:
        run += moves
        if run < runs - 1:
            halves[run % 2] = max(halves[run % 2], size * together)
    lines = []
    buffer, run = "x", -1
    for piece, size, moves in steps:
        source = buffer
        if moves:
            run += 1
            half = "work" if run % 2 == 0 else f"work + {halves[0]}"
            buffer = "y" if run == runs - 1 else half
        lines.append(f"    {piece.of(source, buffer, size, together)}\n")
    if runs == 1:
        lines.insert(0, "    (void)work;\n")
    return "".join(lines), max(1, sum(halves))


def _dense(layer: Any, index: str, model: Sequential, name: str) -> _Piece:
    tables = [numbers(f"{name}_weight{index}", model.params[f"{index}.weight"], f"{name.upper()}_ALIGNED")]
    bias = "0"
    if layer.bias:
        bias = f"{name}_bias{index}"
        tables.append(numbers(bias, model.params[f"{index}.bias"]))
    function = "@_dense_narrow" if layer.out_features < _NARROW else "@_dense"
    call = f"{function}({{x}}, {layer.in_features}, @_weight{index}, {bias}, {{n}}, {{y}});"
    return _Piece("dense", call, tuple(tables))


def _relu(layer: Any, index: str, model: Sequential, name: str) -> _Piece:
    slope = scalar(layer.negative_slope, model.dtype)
    if model.dtype.type(layer.negative_slope) == 0:
        return _Piece("relu", "@_relu({y}, {n});")
    return _Piece("leaky_relu", f"@_leaky_relu({{y}}, {{n}}, {slope});")


def _prelu(layer: Any, index: str, model: Sequential, name: str) -> _Piece:
    slope = model.params[f"{index}.slope"]
    if layer.features == 1:
        return _Piece("leaky_relu", f"@_leaky_relu({{y}}, {{n}}, {scalar(slope[0], model.dtype)});")
    return _Piece(
        "prelu", f"@_prelu({{y}}, {{n}}, @_slope{index});", (numbers(f"{name}_slope{index}", slope),), True
    )


def _elu(layer: Any, index: str, model: Sequential, name: str) -> _Piece:
    return _Piece("elu", f"@_elu({{y}}, {{n}}, {scalar(layer.alpha, model.dtype)});")


def _threshold(layer: Any, index: str, model: Sequential, name: str) -> _Piece:
    limit, value = (scalar(number, model.dtype) for number in (layer.threshold, layer.value))
    return _Piece("threshold", f"@_threshold({{y}}, {{n}}, {limit}, {value});")


def _clip(layer: Any, index: str, model: Sequential, name: str) -> _Piece:
    low, high = (scalar(number, model.dtype) for number in (layer.minimum, layer.maximum))
    return _Piece("clip", f"@_clip({{y}}, {{n}}, {low}, {high});")


def _gelu(layer: Any, index: str, model: Sequential, name: str) -> _Piece:
    return _plain("gelu_tanh" if layer.approximate == "tanh" else "gelu")(layer, index, model, name)


def _plain(function: str, by_row: bool = False) -> Callable[[Any, str, Sequential, str], _Piece]:
    return lambda layer, index, model, name: _Piece(function, f"@_{function}({{y}}, {{n}});", (), by_row)


_WRITERS: dict[type[Any], Callable[[Any, str, Sequential, str], _Piece]] = {
    Dense: _dense,
    ReLU: _relu,
    PReLU: _prelu,
    ELU: _elu,
    Threshold: _threshold,
    Clip: _clip,
    Softmax: _plain("softmax", by_row=True),
    **{BUILT_IN[kind]: _plain(kind.lower()) for kind in written_as("c")},
    GELU: _gelu,
}
