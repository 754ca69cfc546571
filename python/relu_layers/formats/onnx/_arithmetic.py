"""Activations that exporters write as arithmetic, in whatever order: GELU, its tanh approximation, swish with a factor.

Such nodes compute ``p(x) + q(x) * f(a(x))`` of a value x, where p, q and a are polynomials of degree 3 at most and f is
erf, tanh or sigmoid. That form is carried from node to node and compared in the end, so the order of the products and
sums, and where their constants stand, do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._graph import Node

_DEGREE = 3
_MOST_NODES = 16
_FUNCTIONS = {"Erf": "erf", "Tanh": "tanh", "Sigmoid": "sigmoid"}
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
# Constants are written with seven digits or more.
_TOLERANCE = 1e-6

_Polynomial = tuple[float, ...]  # coefficients of 1, x, x^2, x^3
_ZERO, _ONE, _X = (0.0,) * 4, (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)


class Found(NamedTuple):
    """The layer and its arguments, what x is multiplied with before it and y behind it, and how many nodes that is."""

    kind: str
    arguments: tuple[str, ...]
    nodes: int
    before: float = 1.0
    behind: float = 1.0


class _Form(NamedTuple):
    """``alone + factor * function(argument)``, or ``alone`` where the function is ""."""

    alone: _Polynomial
    factor: _Polynomial = _ZERO
    function: str = ""
    argument: _Polynomial = _ZERO


def arithmetic_at(
    nodes: Sequence[Node],
    first: int,
    current: str,
    constants: Mapping[str, Array],
    dtype: np.dtype[np.floating],
) -> Found | None:
    """Return the layer that the nodes from ``first`` on make of ``current``, None if they make none."""
    forms = {current: _Form(_X)}
    for count, node in enumerate(nodes[first : first + _MOST_NODES], 1):
        if node.op_type not in _FUNCTIONS and node.op_type not in _ARITHMETIC:
            return None
        operands = [forms.get(name) or _number(constants.get(name), dtype) for name in node.inputs]
        form = _computed(node, [each for each in operands if each is not None])
        if form is None or None in operands:
            return None
        forms[node.outputs[0]] = form
        found = _recognised(form, count)
        if found is not None:
            return found
    return None


def _number(given: Array | None, dtype: np.dtype[np.floating]) -> _Form | None:
    """Return the form of one constant number."""
    if given is None or given.size != 1 or given.ndim > 1 or given.dtype.kind not in "if":
        return None
    # Another type stands in the exponent of Pow alone.
    return (
        _Form((float(given.item()), 0.0, 0.0, 0.0))
        if given.dtype == dtype or given.dtype.kind == "i"
        else None
    )


def _computed(node: Node, operands: list[_Form]) -> _Form | None:
    if not operands:
        return None
    a, b = operands[0], operands[-1]
    if node.op_type in _FUNCTIONS:
        return None if a.function else _Form(_ZERO, _ONE, _FUNCTIONS[node.op_type], a.alone)
    if len(operands) != 2:
        return None
    match node.op_type:
        case "Add":
            return _sum(a, b)
        case "Sub":
            minus = _times(b, (-1.0, 0.0, 0.0, 0.0))
            return None if minus is None else _sum(a, minus)
        case "Mul":
            pair = (a, b) if not b.function else (b, a)
            return None if pair[1].function else _times(pair[0], pair[1].alone)
        case "Div":
            constant = not b.function and b.alone[1:] == _ZERO[1:] and b.alone[0] != 0.0
            return _times(a, (1.0 / b.alone[0], 0.0, 0.0, 0.0)) if constant else None
    exponent = b.alone[0] if not b.function and b.alone[1:] == _ZERO[1:] else 0.0
    if a.function or exponent not in (1.0, 2.0, 3.0):
        return None
    result: _Form | None = _Form(_ONE)
    for _ in range(int(exponent)):
        result = None if result is None else _times(result, a.alone)
    return result


def _sum(a: _Form, b: _Form) -> _Form | None:
    if a.function and b.function and (a.function, a.argument) != (b.function, b.argument):
        return None
    kept = a if a.function else b
    return kept._replace(
        alone=tuple(map(float.__add__, a.alone, b.alone)),
        factor=tuple(map(float.__add__, a.factor, b.factor)),
    )


def _times(form: _Form, factor: _Polynomial) -> _Form | None:
    """Return the product with a polynomial, None where the degree grows too large."""
    products = []
    for each in (form.alone, form.factor):
        full = np.convolve(each, factor)
        if full[_DEGREE + 1 :].any() or not np.isfinite(full).all():
            return None
        products.append(tuple(map(float, full[: _DEGREE + 1])))
    return form._replace(alone=products[0], factor=products[1])


def _recognised(form: _Form, count: int) -> Found | None:
    half = (0.0, 0.5, 0.0, 0.0)
    c = math.sqrt(2 / math.pi)
    if form.function == "erf" and _near(form, half, half, (0.0, math.sqrt(0.5), 0.0, 0.0)):
        return Found("GELU", (), count)
    if form.function == "tanh" and _near(form, half, half, (0.0, c, 0.0, c * 0.044715)):
        return Found("GELU", ("tanh",), count)
    steepness = form.argument[1]
    if form.function == "sigmoid" and steepness > 0.0 and _near(form, _ZERO, _X, (0.0, steepness, 0.0, 0.0)):
        return Found("SiLU", (), count, steepness, 1.0 / steepness)
    return None


def _near(form: _Form, alone: _Polynomial, factor: _Polynomial, argument: _Polynomial) -> bool:
    pairs = ((form.alone, alone), (form.factor, factor), (form.argument, argument))
    return all(
        abs(found - wanted) <= _TOLERANCE * (abs(wanted) or 1e-6)
        for ours, theirs in pairs
        for found, wanted in zip(ours, theirs, strict=True)
    )
