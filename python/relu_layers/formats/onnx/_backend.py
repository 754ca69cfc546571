"""ONNX's backend interface on this package's ops: `onnx.backend.base` says what the methods mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import checker, defs
from onnx.backend import base

from relu_layers._support.configured import Array
from relu_layers.formats.onnx._evaluation import evaluated
from relu_layers.formats.onnx._graph import Graph, graph_of, node_of


class Prepared(base.BackendRep):  # type: ignore[misc]  # onnx has no types
    """A model that is ready to run; branches and several inputs and outputs are fine here."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """Return the outputs, by position and by name, for arrays in the order of the inputs, or by name.

        Raises
        ------
        ValueError
            An input is missing or too many, or an array does not fit.
        """
        names = [value.name for value in self._graph.inputs]
        given = inputs if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=False))
        if set(given) != set(names) or (given is not inputs and len(inputs) != len(names)):
            raise ValueError(f"got {len(inputs)} inputs, expected {', '.join(names) or 'none'}")
        values = {**self._graph.constants, **{name: np.asarray(given[name]) for name in names}}
        for node in self._graph.nodes:
            results = evaluated(node, [values[name] if name else None for name in node.inputs])
            values |= {name: result for name, result in zip(node.outputs, results, strict=False) if name}
        outputs = [value.name for value in self._graph.outputs]
        named: tuple[Array, ...] = base.namedtupledict("Outputs", outputs)(
            *(values[name] for name in outputs)
        )
        return named


class Backend(base.Backend):  # type: ignore[misc]  # onnx has no types
    """Runs models of the supported operators node by node, on tensors of any number of axes.

    `relu_layers.load` is the way to a model that can be trained; this is the way into programs, such as ONNX's
    own tests, that know ``onnx.backend``.
    """

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Return whether `prepare` would take the model."""
        try:
            graph_of(model)
        except ValueError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Return the ModelProto, ready to run.

        Raises
        ------
        ValueError
            A node is not supported (the message names it), or the device is not the CPU.
        """
        cls._check_device(device)
        graph = graph_of(model)
        try:
            checker.check_model(model)
        except checker.ValidationError as error:
            raise ValueError(f"the model is not valid: {error}") from None
        return Prepared(graph)

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Array, ...]:
        """Return the outputs of a ModelProto for its inputs."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: Any,
        inputs: Sequence[Array | None],
        device: str = "CPU",
        outputs_info: Any = None,
        **kwargs: Any,
    ) -> tuple[Array, ...]:
        """Return the outputs of a NodeProto; ``opset_version=`` chooses the version, the newest by default."""
        cls._check_device(device)
        found = node_of(node, kwargs.get("opset_version", defs.onnx_opset_version()))
        given = [None if each is None else np.asarray(each) for each in inputs]
        if len(given) != len(found.inputs):
            raise ValueError(f"{found}: got {len(given)} inputs, expected {len(found.inputs)}")
        named: tuple[Array, ...] = base.namedtupledict("Outputs", list(found.outputs))(
            *evaluated(found, given)
        )
        return named

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether ``device`` is the CPU."""
        return device.split(":")[0] == "CPU"

    @classmethod
    def _check_device(cls, device: str) -> None:
        if not cls.supports_device(device):
            raise ValueError(f"device is {device!r}, expected 'CPU'")
