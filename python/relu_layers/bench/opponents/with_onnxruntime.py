"""ONNX Runtime: inference of a model built with the onnx helpers, by ``run`` and by bound input and output."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from relu_layers.bench.cases import Case
from relu_layers.bench.data import Array, Data, checked
from relu_layers.bench.opponents.base import Runner, as_numpy, blocks

# Old enough for any runtime of the last years, and without loss: Gemm and Relu have not changed since.
_OPSET, _IR_VERSION = 13, 8


class OnnxRuntime:
    """``session.run`` with NumPy arrays, which returns a new array per call."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def versions(self) -> dict[str, str]:
        """Return the versions of runtime and builder."""
        return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return the inference of a network."""
        session = self._session(case, data)
        run = session.run

        def infer(x: Array) -> Array:
            output: Array = run(None, {"x": x})[0]
            return output

        return Runner(
            lambda: as_numpy(*(infer(*each) for each in checked(data.rotation))),
            blocks(infer, data.rotation),
        )

    def _session(self, case: Case, data: Data) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        model = _model(case, data).SerializeToString()
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class BoundOnnxRuntime(OnnxRuntime):
    """Input and output bound to memory that stays; a call copies the row in and runs."""

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return the inference of a network."""
        session = self._session(case, data)
        first = data.rotation[0][0]
        source = np.array(first)
        target = np.empty((case.batch, case.shape[-1]), case.dtype)
        binding = session.io_binding()
        for bind, name, array in (
            (binding.bind_input, "x", source),
            (binding.bind_output, "y", target),
        ):
            bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        run = session.run_with_iobinding

        def infer(x: Array) -> Array:
            source[...] = x
            run(binding)
            return target

        return Runner(
            lambda: as_numpy(*(infer(*each).copy() for each in checked(data.rotation))),
            blocks(infer, data.rotation),
        )


def _model(case: Case, data: Data) -> Any:
    """Return Gemm and Relu nodes in a row."""
    nodes, constants, name = [], [], "x"
    last = len(data.weights) - 1
    for index, (weight, bias) in enumerate(data.weights):
        constants += [
            numpy_helper.from_array(weight, f"weight{index}"),
            numpy_helper.from_array(bias, f"bias{index}"),
        ]
        output = "y" if index == last else f"z{index}"
        nodes.append(helper.make_node("Gemm", [name, f"weight{index}", f"bias{index}"], [output]))
        name = output
        if index < last:
            nodes.append(helper.make_node("Relu", [name], [f"a{index}"]))
            name = f"a{index}"
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(case.dtype))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", kind, [case.batch, case.shape[0]])],
        [helper.make_tensor_value_info("y", kind, [case.batch, case.shape[-1]])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
