"""LiteRT (TensorFlow Lite): inference of a network written with its schema, on XNNPACK; float32 alone."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from relu_layers.bench.cases import Case
from relu_layers.bench.data import Array, Data, checked
from relu_layers.bench.opponents.base import Runner, UnsupportedError, as_numpy, blocks

# Of the file format.
_VERSION, _IDENTIFIER = 3, b"TFL3"


class LiteRt:
    """An interpreter; a call copies the rows in and the outputs out."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def versions(self) -> dict[str, str]:
        """Return the version."""
        return {"ai-edge-litert": version("ai-edge-litert")}

    def prepare(self, case: Case, data: Data) -> Runner:
        """Return the inference of a network."""
        if case.dtype != "float32":
            raise UnsupportedError("computes in float32")
        interpreter = Interpreter(model_content=_file(case, data), num_threads=self._threads)
        interpreter.allocate_tensors()
        [source], [target] = interpreter.get_input_details(), interpreter.get_output_details()
        write, run, read = interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor
        x_index, y_index = source["index"], target["index"]

        def infer(x: Array) -> Array:
            write(x_index, x)
            run()
            y: Array = read(y_index)
            return y

        return Runner(
            lambda: as_numpy(*(infer(*each) for each in checked(data.rotation))),
            blocks(infer, data.rotation),
        )


def _file(case: Case, data: Data) -> bytes:
    """Return the model file: fully connected layers, all but the last with a ReLU."""
    graph, code, model = schema.SubGraphT(), schema.OperatorCodeT(), schema.ModelT()
    buffers = [schema.BufferT()]  # the first has no data, as the format wants it
    graph.tensors, graph.operators = [], []

    def tensor(name: str, shape: tuple[int, ...], values: Array | None = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), schema.TensorType.FLOAT32, 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), dtype=np.uint8)
            made.buffer = len(buffers)
            buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    activation = schema.ActivationFunctionType
    place = tensor("x", (case.batch, case.shape[0]))
    graph.inputs = [place]
    last = len(data.weights) - 1
    for index, (weight, bias) in enumerate(data.weights):
        node: Any = schema.OperatorT()
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = activation.NONE if index == last else activation.RELU
        node.opcodeIndex, node.builtinOptions = 0, options
        node.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        constants = [
            tensor(f"weight{index}", weight.T.shape, weight.T),
            tensor(f"bias{index}", bias.shape, bias),
        ]
        node.inputs = [place, *constants]
        place = tensor(f"y{index}", (case.batch, len(bias)))
        node.outputs = [place]
        graph.operators.append(node)
    graph.outputs = [place]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    model.version, model.subgraphs, model.buffers, model.operatorCodes = _VERSION, [graph], buffers, [code]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())
