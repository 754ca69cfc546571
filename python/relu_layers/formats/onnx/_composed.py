"""Activations without settings as nodes, one or several, from the table's form ``onnx``.

The form names values and operators with their newest known version: ``s = Sigmoid-13(x); y = Mul-14(x, s)``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

from relu_layers._files.formulas import written_as
from relu_layers.ops.reference.activations import SELU_LOWEST, SELU_SCALE

# Attributes that an operator must have: those that the layer has for constants.
_ATTRIBUTES: dict[str, dict[str, Any]] = {"Selu": {"alpha": SELU_LOWEST / SELU_SCALE, "gamma": SELU_SCALE}}
_COMMUTATIVE = ("Add", "Mul")


class Step(NamedTuple):
    """One node: operator, newest known version, names of what it takes and of what it gives."""

    op_type: str
    version: int
    operands: tuple[str, ...]
    result: str


class _Node(Protocol):
    """The part of a graph's node that counts here."""

    @property
    def op_type(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def attributes(self) -> dict[str, Any]: ...


@cache
def composed() -> dict[str, tuple[Step, ...]]:
    """Return layer -> nodes from ``x`` to ``y``, those of several nodes first."""
    found = {kind: tuple(map(_step, text.split(";"))) for kind, text in written_as("onnx").items()}
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _step(text: str) -> Step:
    match = re.fullmatch(r"(\w+) = (\w+)-(\d+)\(([\w, ]+)\)", text.strip())
    assert match is not None, text
    result, op_type, version, operands = match.groups()
    return Step(op_type, int(version), tuple(operands.split(", ")), result)


def _has_attributes(node: _Node) -> bool:
    wanted = _ATTRIBUTES.get(node.op_type, {})
    return all(abs(node.attributes[name] - value) < 1e-6 for name, value in wanted.items())


def activation_at(nodes: Sequence[_Node], first: int, current: str) -> tuple[str, int] | None:
    """Return the layer that the nodes from ``first`` on make of ``current``, and how many they are, or None."""
    for kind, steps in composed().items():
        names = {"x": current}
        for step, node in zip(steps, nodes[first : first + len(steps)], strict=False):
            given, wanted = list(node.inputs), [names[name] for name in step.operands]
            if step.op_type in _COMMUTATIVE:
                given, wanted = sorted(given), sorted(wanted)
            if node.op_type != step.op_type or given != wanted or not _has_attributes(node):
                break
            names[step.result] = node.outputs[0]
        if "y" in names:
            return kind, len(steps)
    return None
