"""Small networks of the kinds that public files are of, built from their structure: what is read, and what is not.

Nodes are written in ONNX's text form; arrays have their shape in their names (w4x8, b8; p8 is positive, h4x8 of halves,
d4x8 of float64).
"""

from __future__ import annotations

import re
import zlib
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_NUMBERS: dict[str, Any] = {
    "half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "byte": 255.0, "minus": -1.0, "zero": 0.0, "six": 6.0,
    "twenty": 20.0,
    "sqrt2": 2.0**0.5, "root_half": 0.5**0.5, "slope": (2 / np.pi) ** 0.5, "k": 0.044715, "beta": 1.702,
}  # fmt: skip
_INTEGERS: dict[str, Any] = {
    "first": 0, "axis0": [0], "axis1": [1], "last": [-1], "rest": [-1], "rows4": [-1, 4], "rows6": [-1, 6],
    "keep4": [0, -1], "under": [-1, 1], "flat": [-1], "parts": [2, 3], "one_row": [1, 4], "twos": [-1, 2],
}  # fmt: skip
_TEXTS = {"colours": ["red", "green", "blue"], "answers": ["no", "yes"]}


class Kind(NamedTuple):
    """One file: the text of its nodes, types of x and y, and what is expected of it.

    ``refused`` is a part of the message where it is not read; ``external`` says that its data are beside the file.
    """

    nodes: str
    x: str = "float[n,4] x"
    y: str = "float[n,3] y"
    opset: int = 17
    refused: str = ""
    output: str | None = None
    external: bool = False
    columns: bool = False


def array_named(name: str) -> Array | None:
    """Return the constant of a name, the same in every file; None for a name of a value."""
    if name in _NUMBERS:
        return np.array(_NUMBERS[name], np.float32)
    if name in _INTEGERS:
        return np.array(_INTEGERS[name], np.int64)
    if name in _TEXTS:
        return np.array(_TEXTS[name], object)
    match = re.fullmatch(r"([wbpdh])(\d+(?:x\d+)*)", name)
    if match is None:
        return None
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    shape = [int(length) for length in match[2].split("x")]
    values = rng.standard_normal(shape) / np.sqrt(shape[0])
    if match[1] == "p":
        values = np.abs(values) + 0.5
    return values.astype({"d": np.float64, "h": np.float16}.get(match[1], np.float32))


def model_of(kind: Kind) -> Any:
    """Return the ModelProto of a kind."""
    from onnx import helper, numpy_helper, parser

    graph = parser.parse_graph(f"net ({kind.x}) => ({kind.y}) {{ {kind.nodes} }}")
    names = dict.fromkeys(name for node in graph.node for name in node.input)
    for name in names:
        array = array_named(name)
        if array is not None:
            graph.initializer.append(numpy_helper.from_array(array, name))
    imports = [helper.make_opsetid("", kind.opset), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


_END = "r = Relu(h) y = Gemm(r, w5x3, b3)"
_SCALED = "h = Gemm(s, w4x5, b5) " + _END
_SCORES = "m = MatMul(x, w4x5) h = Add(m, b1x5) r = Relu(h) z = MatMul(r, w5x3) s = Add(z, b1x3)"

KINDS: dict[str, Kind] = {
    # --- constants before, between and behind the layers ---
    "inputs standardised": Kind("a = Sub(x, b4) s = Div(a, p4) " + _SCALED),
    "inputs standardised by a row": Kind("a = Sub(x, b1x4) s = Div(a, p1x4) " + _SCALED),
    "inputs scaled, then moved": Kind("a = Mul(x, p4) s = Add(a, b4) " + _SCALED),
    "bytes to parts of one": Kind("s = Div(x, byte) " + _SCALED),
    "bytes to minus one and one": Kind("a = Div(x, byte) b = Sub(a, half) s = Mul(b, two) " + _SCALED),
    "one minus the inputs": Kind("s = Sub(one, x) " + _SCALED),
    "an image moved, then flattened": Kind("a = Sub(x, b1x2x2) s = Flatten(a) " + _SCALED, x="float[n,2,2] x"),
    "a bias as an Add": Kind("m = MatMul(x, w4x5) h = Add(b5, m) " + _END),
    "a bias of one row": Kind("m = MatMul(x, w4x5) h = Add(m, b1x5) " + _END),
    "a Sub as the bias": Kind("m = MatMul(x, w4x5) h = Sub(m, b5) " + _END),
    "weights scaled before the ReLU": Kind("g = Gemm(x, w4x5, b5) h = Mul(g, p5) " + _END),
    "outputs in their unit": Kind("g = Gemm(x, w4x3, b3) m = Mul(g, p3) y = Add(m, b3)"),
    "outputs of a tanh in their range": Kind("g = Gemm(x, w4x3, b3) t = Tanh(g) m = Mul(t, p3) y = Add(m, b3)"),
    "constants between activations": Kind(
        "h = Gemm(x, w4x5, b5) r = Relu(h) q = Mul(r, p5) t = Tanh(q) y = Gemm(t, w5x3, b3)",
    ),
    "alpha and beta": Kind("y = Gemm <alpha=0.5, beta=2.0> (x, w4x3, b3)"),
    "transposed weights": Kind("y = Gemm <transB=1> (x, w3x4, b3)"),
    "a Transpose of weights": Kind("t = Transpose <perm=[1,0]> (w3x4) y = MatMul(x, t)"),
    # --- batch normalisation ---
    "normalised sums": Kind("g = Gemm(x, w4x5, b5) h = BatchNormalization(g, p5, b5, b5, p5) " + _END),
    "normalised sums without a bias": Kind("g = MatMul(x, w4x5) h = BatchNormalization(g, p5, b5, b5, p5) " + _END),
    "normalised inputs": Kind("s = BatchNormalization(x, p4, b4, b4, p4) " + _SCALED),
    "normalised behind the ReLU": Kind(
        "g = Gemm(x, w4x5, b5) r = Relu(g) n = BatchNormalization(r, p5, b5, b5, p5) "
        "y = Gemm(n, w5x3, b3)",
    ),
    "normalised before the ReLU, no layer in front": Kind(
        "n = BatchNormalization(x, p4, b4, b4, p4) h = Relu(n) y = Gemm(h, w4x3, b3)",
    ),
    "normalised twice": Kind(
        "g = Gemm(x, w4x5, b5) n = BatchNormalization(g, p5, b5, b5, p5) "
        "h = BatchNormalization <epsilon=0.1> (n, p5, b5, b5, p5) "
        + _END,
    ),
    "normalised outputs": Kind("g = Gemm(x, w4x3, b3) y = BatchNormalization(g, p3, b3, b3, p3)"),
    "normalised in opset 9": Kind("g = Gemm(x, w4x5, b5) h = BatchNormalization(g, p5, b5, b5, p5) " + _END, opset=9),
    "a normalization taken apart": Kind("g = MatMul(x, w4x5) a = Sub(g, b5) m = Mul(a, p5) h = Add(m, b5) " + _END),
    "a normalization and dropout": Kind(
        "g = Gemm(x, w4x5, b5) n = BatchNormalization(g, p5, b5, b5, p5) h = Dropout(n) "
        + _END,
    ),
    # --- policies with swish ---
    "swish": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) s = Sigmoid(h) a = Mul(h, s) z = MatMul(a, w5x3) "
        "y = Add(z, b3)",
    ),
    "swish, the other way round": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) s = Sigmoid(h) a = Mul(s, h) z = MatMul(a, w5x3) "
        "y = Add(z, b3)",
    ),
    "swish with a factor": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) v = Mul(h, beta) s = Sigmoid(v) a = Mul(h, s) "
        "z = MatMul(a, w5x3) y = Add(z, b3)",
    ),
    "swish of a tanh's range": Kind(
        "h = Gemm(x, w4x5, b5) s = Sigmoid(h) a = Mul(h, s) g = Gemm(a, w5x3, b3) t = Tanh(g) "
        "y = Mul(t, two)",
    ),
    "a policy's means alone": Kind(
        "h = Gemm(x, w4x5, b5) s = Sigmoid(h) a = Mul(h, s) g = Gemm(a, w5x5, b5) "
        "y, v = Split <axis=1> (g, parts)",
        y="float[n,2] y",
    ),
    "a policy with two heads": Kind(
        "h = Gemm(x, w4x5, b5) s = Sigmoid(h) a = Mul(h, s) y = Gemm(a, w5x3, b3) "
        "v = Gemm(a, w5x1, b1)",
        y="float[n,3] y, float[n,1] v", output="y",
    ),
    "observations clipped": Kind("o = Sub(x, b4) q = Div(o, p4) s = Clip(q, minus, one) " + _SCALED),
    "actions clipped": Kind("h = Gemm(x, w4x3, b3) t = Tanh(h) y = Clip(t, minus, one)"),
    # --- weights on the left of columns ---
    "columns": Kind(
        "m = MatMul(w5x4, x) a = Add(m, b5x1) r = Relu(a) z = MatMul(w3x5, r) y = Add(z, b3x1)",
        x="float[4,1] x", y="float[3,1] y", columns=True,
    ),
    "columns, standardised": Kind(
        "s = Sub(x, b4x1) m = MatMul(w5x4, s) a = Add(m, b5x1) r = Relu(a) y = MatMul(w3x5, r)",
        x="float[4,1] x", y="float[3,1] y", columns=True,
    ),
    "one vector": Kind(
        "m = MatMul(w5x4, x) a = Add(m, b5) r = Relu(a) z = MatMul(w3x5, r) y = Add(z, b3)",
        x="float[4] x", y="float[3] y", columns=True,
    ),
    "one vector, from the left": Kind(
        "m = MatMul(x, w4x5) a = Add(m, b5) r = Relu(a) y = MatMul(r, w5x3)",
        x="float[4] x", y="float[3] y", columns=True,
    ),
    "columns of sigmoids": Kind(
        "m = MatMul(w5x4, x) a = Add(m, b5x1) r = Sigmoid(a) z = MatMul(w3x5, r) y = Add(z, b3x1)",
        x="float[4,1] x", y="float[3,1] y", columns=True,
    ),
    # --- PyTorch: data beside the file, shapes, activations ---
    "data beside the file": Kind(
        "h = Gemm <transB=1> (x, w5x4, b5) r = Relu(h) y = Gemm <transB=1> (r, w3x5, b3)",
        external=True,
    ),
    "data beside the file, MatMul": Kind("m = MatMul(x, w4x5) h = Add(m, b5) " + _END, external=True),
    "data beside the file, normalised": Kind("s = BatchNormalization(x, p4, b4, b4, p4) " + _SCALED, external=True),
    "data beside the file, float64": Kind(
        "h = Gemm(x, d4x5, d5) r = Relu(h) y = Gemm(r, d5x3, d3)",
        x="double[n,4] x", y="double[n,3] y", external=True,
    ),
    "a view by its lengths": Kind(
        "l = Shape(x) g = Gather(l, first) u = Unsqueeze(g, axis0) c = Concat <axis=0> (u, rest) "
        "s = Reshape(x, c) h = Gemm(s, w6x5, b5) "
        + _END,
        x="float[n,2,3] x",
    ),
    "a view by constants": Kind("s = Reshape(x, rows6) h = Gemm(s, w6x5, b5) " + _END, x="float[n,2,3] x"),
    "a Flatten": Kind("s = Flatten(x) h = Gemm(s, w6x5, b5) " + _END, x="float[n,2,3] x"),
    "ReLU6": Kind("m = MatMul(x, w4x5) h = Add(m, b5) a = Clip(h, zero, six) z = MatMul(a, w5x3) y = Add(z, b3)"),
    "hard tanh": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) a = Clip(h, minus, one) z = MatMul(a, w5x3) "
        "y = Add(z, b3)",
    ),
    "a leaky ReLU": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) a = LeakyRelu <alpha=0.1> (h) z = MatMul(a, w5x3) "
        "y = Add(z, b3)",
    ),
    "a PReLU": Kind("m = MatMul(x, w4x5) h = Add(m, b5) a = PRelu(h, b5) z = MatMul(a, w5x3) y = Add(z, b3)"),
    "an ELU": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) a = Elu <alpha=0.5> (h) z = MatMul(a, w5x3) "
        "y = Add(z, b3)",
    ),
    "GELU of the older exporter": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) u = Div(h, sqrt2) e = Erf(u) f = Add(e, one) "
        "g = Mul(h, f) a = Mul(g, half) z = MatMul(a, w5x3) y = Add(z, b3)",
    ),
    "GELU of the newer exporter": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) u = Div(h, sqrt2) e = Erf(u) f = Add(e, one) "
        "g = Mul(half, f) a = Mul(h, g) z = MatMul(a, w5x3) y = Add(z, b3)",
    ),
    "GELU, the operator": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) a = Gelu(h) z = MatMul(a, w5x3) y = Add(z, b3)",
        opset=20,
    ),
    "GELU with tanh": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) p = Pow(h, three) q = Mul(p, k) r = Add(h, q) "
        "u = Mul(r, slope) t = Tanh(u) f = Add(one, t) g = Mul(half, h) a = Mul(g, f) "
        "z = MatMul(a, w5x3) y = Add(z, b3)",
    ),
    "log probabilities": Kind("g = Gemm(x, w4x3, b3) y = LogSoftmax <axis=1> (g)"),
    "one number without its axis": Kind("g = Gemm(x, w4x1, b1) y = Squeeze(g, last)", y="float[n] y"),
    "the place of the largest": Kind(
        "g = Gemm(x, w4x3, b3) y = Softmax(g) l = ArgMax <axis=1> (y)",
        y="float[n,3] y, int64[n,1] l",
    ),
    "halves": Kind("y = Gemm(x, h4x3, h3)", x="float16[n,4] x", y="float16[n,3] y"),
    "softplus of the newer exporter": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) s = Softplus(h) g = Greater(h, twenty) a = Where(g, h, s) "
        "y = Gemm(a, w5x3, b3)",
    ),
    # --- Keras ---
    "Keras, Dense": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) r = Relu(h) z = MatMul(r, w5x3) a = Add(z, b3) "
        "y = Softmax(a)",
    ),
    "Keras, Normalization": Kind("a = Sub(x, b1x4) s = Div(a, p1x4) m = MatMul(s, w4x5) h = Add(m, b5) " + _END),
    "Keras, Rescaling": Kind("a = Mul(x, half) s = Add(a, minus) m = MatMul(s, w4x5) h = Add(m, b5) " + _END),
    "Keras, BatchNormalization as products": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) r = Relu(h) a = Mul(r, p5) n = Add(a, b5) "
        "z = MatMul(n, w5x3) y = Add(z, b3)",
    ),
    "Keras, gelu": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b5) g = Mul(h, half) u = Mul(h, root_half) e = Erf(u) "
        "f = Add(e, one) a = Mul(g, f) z = MatMul(a, w5x3) y = Add(z, b3)",
    ),
    "Keras, selu": Kind("m = MatMul(x, w4x5) h = Add(m, b5) a = Selu(h) z = MatMul(a, w5x3) y = Add(z, b3)"),
    "Keras, softplus": Kind("m = MatMul(x, w4x5) h = Add(m, b5) a = Softplus(h) z = MatMul(a, w5x3) y = Add(z, b3)"),
    "Keras, images flattened": Kind(
        "s = Reshape(x, rows4) m = MatMul(s, w4x5) h = Add(m, b5) "
        + _END,
        x="float[n,2,2,1] x",
    ),
    "Keras, a sigmoid": Kind("m = MatMul(x, w4x1) h = Add(m, b1) y = Sigmoid(h)", y="float[n,1] y"),
    # --- skl2onnx ---
    "scikit-learn, three classes": Kind(
        _SCORES + " "
        + "probabilities = Softmax(s) l = ArgMax <axis=1> (probabilities) "
        "label = ai.onnx.ml.ArrayFeatureExtractor (colours, l)",
        y="string[1,n] label, float[n,3] probabilities",
    ),
    "scikit-learn, names of the probabilities": Kind(
        _SCORES + " "
        + "probabilities = Softmax(s) l = ArgMax <axis=1> (probabilities) "
        "label = ai.onnx.ml.ArrayFeatureExtractor (colours, l)",
        y="float[n,3] probabilities",
    ),
    "scikit-learn, two classes": Kind(
        "m = MatMul(x, w4x1) h = Add(m, b1x1) p = Sigmoid(h) q = Sub(one, p) "
        "probabilities = Concat <axis=1> (q, p) l = ArgMax <axis=1> (probabilities) "
        "label = ai.onnx.ml.ArrayFeatureExtractor (answers, l)",
        y="string[1,n] label, float[n,2] probabilities",
    ),
    "scikit-learn, a scaler": Kind(
        "s = ai.onnx.ml.Scaler <offset=[0.5,1.0,-1.0,2.0], scale=[2.0,0.5,1.0,0.1]> (x) "
        + _SCALED,
    ),
    "scikit-learn, a cast": Kind("c = Cast <to=1> (x) m = MatMul(c, w4x5) h = Add(m, b1x5) " + _END),
    "scikit-learn, a number": Kind(
        "m = MatMul(x, w4x5) h = Add(m, b1x5) r = Relu(h) z = MatMul(r, w5x1) a = Add(z, b1x1) "
        "y = Reshape(a, under)",
        y="float[n,1] y",
    ),
    "scikit-learn, two numbers": Kind("m = MatMul(x, w4x2) a = Add(m, b1x2) y = Reshape(a, under)", y="float[k,1] y"),
    # --- what is refused ---
    "a softplus that ends early": Kind(
        "s = Softplus(x) g = Greater(x, six) y = Where(g, x, s)", y="float[n,4] y", refused="Greater",
    ),
    "a convolution": Kind(
        "c = Conv(x, w2x1x2x2) s = Flatten(c) y = Gemm(s, w2x3, b3)",
        x="float[n,1,2,2] x", refused="Conv",
    ),
    "pooling": Kind(
        "c = MaxPool <kernel_shape=[2,2]> (x) s = Flatten(c) y = Gemm(s, w1x3, b3)",
        x="float[n,1,2,2] x", refused="MaxPool",
    ),
    "a layer normalisation": Kind(
        "h = Gemm(x, w4x3, b3) y = LayerNormalization(h, p3, b3)",
        refused="LayerNormalization",
    ),
    "a skip connection": Kind("h = Gemm(x, w4x4, b4) r = Relu(h) s = Add(r, x) y = Gemm(s, w4x3, b3)", refused="Add"),
    "two inputs": Kind(
        "s = Concat <axis=1> (x, z) y = Gemm(s, w4x3, b3)",
        x="float[n,2] x, float[n,2] z", refused="2 inputs",
    ),
    "a recurrence": Kind(
        "h = GRU <hidden_size=3> (x, w1x9x4, w1x9x3) s = Flatten(h) y = Gemm(s, w3x3, b3)",
        x="float[2,n,4] x", refused="GRU",
    ),
    "integers": Kind(
        "q = QuantizeLinear(x, half, zero) y = DequantizeLinear(q, half, zero)",
        y="float[n,4] y", refused="QuantizeLinear",
    ),
    "images normalised": Kind(
        "y = BatchNormalization(x, p3, b3, b3, p3)",
        x="float[n,3,2,2] x", y="float[n,3,2,2] y", refused="BatchNormalization",
    ),
    "a constant for each row": Kind(
        "s = Sub(x, b2x4) y = Gemm(s, w4x3, b3)",
        x="float[2,4] x", y="float[2,3] y", refused="Sub",
    ),
    "rows split": Kind("h = Gemm(x, w4x4, b4) s = Reshape(h, twos) y = Relu(s)", y="float[k,2] y", refused="Reshape"),
}  # fmt: skip
