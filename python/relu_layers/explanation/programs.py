"""The same step as a short NumPy and a short PyTorch program."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.explanation.catalogue import formula
from relu_layers.explanation.trace import LayerTrace, Program, Trace

# Arrays up to this size are written into the program; larger ones come as ``arrays["W1"]``.
_LITERAL = 12


def short_programs(trace: Trace) -> list[Program]:
    """Return the programs for this net, not run; none where a layer or the loss has no written formula."""
    arrays = step_arrays(trace)
    found = []
    for name, package, write in (("NumPy", "numpy", _numpy), ("PyTorch", "torch", _torch)):
        lines = write(trace, arrays)
        if lines is None:
            return []
        found.append(Program(name, package, "\n".join(lines)))
    return found


def after_a_run(program: Program, trace: Trace) -> Program:
    """Return the program with the largest difference of its loss and gradients from the trace.

    It runs here, and imports its package; the program itself where that is not installed, or where it ran already.
    """
    if program.difference is not None or not find_spec(program.package):
        return program
    return replace(program, difference=_run(program.text, trace, step_arrays(trace)))


def step_arrays(trace: Trace) -> dict[str, Array]:
    """Return the arrays that the programs start from: x, target, and the weights before the step by their symbols."""
    arrays = {"x": trace.layers[0].x, "target": trace.loss.target}
    for layer in trace.layers:
        if layer.role == "dense":
            arrays[layer.weight_symbol] = layer.params["weight"]
            if "bias" in layer.params:
                arrays[layer.bias_symbol] = layer.params["bias"]
    return arrays


def _run(program: str, trace: Trace, arrays: dict[str, Array]) -> float:
    """Run a program of ours and return how far its loss and gradients are from the recorded ones."""
    names: dict[str, Any] = {"arrays": arrays}
    with np.errstate(all="ignore"):
        exec(compile(program, "<explain>", "exec"), names)
    differences = [abs(float(names["loss"]) - trace.loss.value)]
    for update in trace.updates:
        if update.gradient.size:
            found = np.asarray(names[f"d{update.symbol}"], dtype=np.float64)
            differences.append(float(np.abs(found - update.gradient).max()))
    return max(differences)


def _supported(trace: Trace, form: str) -> bool:
    if trace.loss.kind not in ("SoftmaxCrossEntropy", "SquaredError") or not trace.loss.plain:
        return False
    if trace.loss.output.ndim != 2 or (trace.loss.kind == "SquaredError") != (trace.loss.scale is not None):
        return False
    for layer in trace.layers:
        if layer.role == "other" or (layer.role == "elementwise" and _expression(layer, form) is None):
            return False
        if layer.role == "elementwise" and layer.params:
            return False
    return True


def _expression(layer: LayerTrace, form: str) -> str | None:
    x, y = _name(layer.source), _name(layer.symbol)
    return formula(layer.kind, form, x, y, layer.config)


def _name(symbol: str) -> str:
    return symbol.replace("'", "_")


def _written(trace: Trace, arrays: dict[str, Array], wrap: str, dtype: str) -> list[str]:
    """Return the assignments of all arrays: as literals while they are small."""
    lines = []
    if any(array.size > _LITERAL for array in arrays.values()):
        lines.append("# arrays = explanation.arrays()")
    for name, array in arrays.items():
        value = f'arrays["{name}"]' if array.size > _LITERAL else repr(array.tolist())
        kind = f", dtype={dtype}" if array.dtype.kind == "f" else ""
        lines.append(f"{name} = {wrap}({value}{kind})")
    return lines


def _forward(trace: Trace, form: str) -> list[str]:
    lines = []
    for layer in trace.layers:
        if layer.role == "dense":
            bias = f" + {layer.bias_symbol}" if "bias" in layer.params else ""
            lines.append(f"{_name(layer.symbol)} = {_name(layer.source)} @ {layer.weight_symbol}{bias}")
        else:
            lines.append(f"{_name(layer.symbol)} = {_expression(layer, form)}")
    return lines


def _numpy(trace: Trace, arrays: dict[str, Array]) -> list[str] | None:
    if not (_supported(trace, "numpy") and _supported(trace, "numpy_derivative")):
        return None
    loss, last = trace.loss, _name(trace.layers[-1].symbol)
    count = f"{loss.count:g}"
    lines = ["import numpy as np", "", *_written(trace, arrays, "np.array", f"np.{trace.dtype}")]
    lines += ["", "# forward", *_forward(trace, "numpy")]
    if loss.kind == "SoftmaxCrossEntropy":
        lines += [
            f"e = np.exp({last} - {last}.max(axis=1, keepdims=True))",
            "p = e / e.sum(axis=1, keepdims=True)",
            *_wanted(trace, f"np.eye({loss.output.shape[1]})[target]"),
            f"loss = -np.sum(wanted * np.log(p)) / {count}",
            "",
            "# backward",
            f"d{last} = (p - wanted) / {count}",
        ]
    else:
        lines += [
            f"loss = {loss.scale!r} * np.sum(({last} - target) ** 2) / {count}",
            "",
            "# backward",
            f"d{last} = 2 * {loss.scale!r} * ({last} - target) / {count}",
        ]
    first = next((i for i, one in enumerate(trace.layers) if one.params), 0)
    for i in range(len(trace.layers) - 1, first - 1, -1):
        lines += _backward(trace.layers[i], i > first)
    return ["import math", *lines] if any("math." in line for line in lines) else lines


def _wanted(trace: Trace, onehot: str) -> list[str]:
    return [f"wanted = {'target' if trace.loss.target.dtype.kind == 'f' else onehot}"]


def _backward(layer: LayerTrace, need_dx: bool) -> list[str]:
    x, y = _name(layer.source), _name(layer.symbol)
    if layer.role != "dense":
        return [f"d{x} = d{y} * ({_expression(layer, 'numpy_derivative')})"]
    lines = [f"d{layer.weight_symbol} = {x}.T @ d{y}"]
    if "bias" in layer.params:
        lines.append(f"d{layer.bias_symbol} = d{y}.sum(axis=0)")
    return [*lines, f"d{x} = d{y} @ {layer.weight_symbol}.T"] if need_dx else lines


def _torch(trace: Trace, arrays: dict[str, Array]) -> list[str] | None:
    if not _supported(trace, "torch"):
        return None
    loss, last = trace.loss, _name(trace.layers[-1].symbol)
    weights = [name for name in arrays if name not in ("x", "target")]
    lines = ["import torch", "", *_written(trace, arrays, "torch.tensor", f"torch.{trace.dtype}")]
    lines += [f"for w in ({', '.join(weights)},):", "    w.requires_grad_()", "", *_forward(trace, "torch")]
    if loss.kind == "SoftmaxCrossEntropy":
        total = f'torch.nn.functional.cross_entropy({last}, target, reduction="sum")'
    else:
        total = f"{loss.scale!r} * torch.sum(({last} - target) ** 2)"
    lines += [f"loss = {total} / {loss.count:g}", "loss.backward()", "loss = loss.detach()"]
    return lines + [f"d{name} = {name}.grad" for name in weights]
