"""OpenVINO: inference of a network built from its own operations, in memory that stays; float32 alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
from openvino import opset13

from relu_layers.bench.cases import Case
from relu_layers.bench.data import Array, Data, checked
from relu_layers.bench.opponents.base import Runner, UnsupportedError, as_numpy, blocks


class OpenVino:
    """A request of a compiled model; a call copies the rows in and waits for the outputs."""

    def __init__(self, threads: int) -> None:
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the bench says where this process runs
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def versions(self) -> dict[str, str]:
        """Return the version."""
        return {"openvino": openvino.__version__}

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return the inference of a network."""
        if case.dtype != "float32":
            raise UnsupportedError("computes in float32")
        compiled = openvino.Core().compile_model(_model(case, data), "CPU", self._settings)
        request = compiled.create_infer_request()
        source = np.array(data.rotation[0][0])
        target = np.empty((case.batch, case.shape[-1]), case.dtype)
        request.set_input_tensor(openvino.Tensor(source, shared_memory=True))
        request.set_output_tensor(openvino.Tensor(target, shared_memory=True))
        run = request.infer

        def infer(x: Array) -> Array:
            source[...] = x
            run()
            return target

        return Runner(
            lambda: as_numpy(*(infer(*each).copy() for each in checked(data.rotation))),
            blocks(infer, data.rotation),
        )


def _model(case: Case, data: Data) -> Any:
    """Return products, sums and ReLUs in a row."""
    x = opset13.parameter([case.batch, case.shape[0]], np.float32)
    y, last = x, len(data.weights) - 1
    for index, (weight, bias) in enumerate(data.weights):
        y = opset13.add(
            opset13.matmul(y, opset13.constant(weight), False, False), opset13.constant(bias[None])
        )
        if index < last:
            y = opset13.relu(y)
    return openvino.Model([y], [x])
