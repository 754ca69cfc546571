"""Activations that exporters write as arithmetic: every spelling is the same layer, and agrees with ONNX Runtime."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

onnx = pytest.importorskip("onnx", reason="needs onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
make = onnx.helper.make_node

C = math.sqrt(2 / math.pi)
NUMBERS = {
    "half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "root": math.sqrt(2), "inverse": math.sqrt(0.5), "c": C,
    "k": 0.044715, "ck": C * 0.044715, "b": 1.702, "rough": 1.4142,
}  # fmt: skip
ERF = [make("Div", ["x", "root"], ["u"]), make("Erf", ["u"], ["e"]), make("Add", ["e", "one"], ["f"])]
CUBED = [make("Pow", ["x", "three"], ["p"]), make("Mul", ["k", "p"], ["q"]), make("Add", ["x", "q"], ["r"])]
TANH = [make("Mul", ["r", "c"], ["u"]), make("Tanh", ["u"], ["t"]), make("Add", ["one", "t"], ["f"])]
SPELLINGS = {
    # PyTorch's older exporter, its newer one, and what comes from TensorFlow.
    "erf, x first": ([*ERF, make("Mul", ["x", "f"], ["g"]), make("Mul", ["g", "half"], ["y"])], "GELU()"),
    "erf, half first": ([*ERF, make("Mul", ["half", "f"], ["g"]), make("Mul", ["x", "g"], ["y"])], "GELU()"),
    "erf, half of x first": (
        [make("Mul", ["half", "x"], ["h"]), make("Mul", ["x", "inverse"], ["u"]), make("Erf", ["u"], ["e"]),
         make("Add", ["one", "e"], ["f"]), make("Mul", ["h", "f"], ["y"])],
        "GELU()",
    ),
    "erf, multiplied out": (
        [make("Div", ["x", "two"], ["h"]), make("Div", ["x", "root"], ["u"]), make("Erf", ["u"], ["e"]),
         make("Mul", ["e", "h"], ["g"]), make("Add", ["g", "h"], ["y"])],
        "GELU()",
    ),
    "tanh, a cube": (
        [*CUBED, *TANH, make("Mul", ["x", "half"], ["h"]), make("Mul", ["h", "f"], ["y"])], "GELU('tanh')",
    ),
    "tanh, products": (
        [make("Mul", ["x", "x"], ["s"]), make("Mul", ["s", "x"], ["p"]), make("Mul", ["k", "p"], ["q"]),
         make("Add", ["x", "q"], ["r"]), *TANH, make("Mul", ["x", "f"], ["g"]), make("Mul", ["half", "g"], ["y"])],
        "GELU('tanh')",
    ),
    "tanh, factored": (
        [make("Mul", ["x", "x"], ["s"]), make("Mul", ["s", "ck"], ["v"]), make("Add", ["c", "v"], ["w"]),
         make("Mul", ["x", "w"], ["u"]), make("Tanh", ["u"], ["t"]), make("Add", ["t", "one"], ["f"]),
         make("Mul", ["f", "x"], ["g"]), make("Div", ["g", "two"], ["y"])],
        "GELU('tanh')",
    ),
    "swish": ([make("Sigmoid", ["x"], ["s"]), make("Mul", ["s", "x"], ["y"])], "SiLU()"),
}  # fmt: skip
WEIGHT, BEHIND = np.float32([[1, -2, 0.5], [0.25, 1, -1]]), np.float32([[1.0, 0.5], [-1, 2], [0.25, 1]])


def saved(path: Path, nodes: list[Any], *, opset: int = 17, constants: bool = False) -> Path:
    """Write x0 @ WEIGHT, then the nodes from x to y, then y @ BEHIND; numbers as initializers or as nodes."""
    arrays = {
        "weight": WEIGHT,
        "behind": BEHIND,
        **{name: np.float32(value) for name, value in NUMBERS.items()},
    }
    used = {name for node in nodes for name in node.input} | {"weight", "behind"}
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used]
    before = [make("Constant", [], [each.name], value=each) for each in tensors] if constants else []
    graph = onnx.helper.make_graph(
        [*before, make("MatMul", ["x0", "weight"], ["x"]), *nodes, make("MatMul", ["y", "behind"], ["z"])],
        "g",
        [onnx.helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, ["n", 2])],
        [onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", 2])],
        [] if constants else tensors,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def check(path: Path, layers: str) -> None:
    loaded = rl.load(path)
    assert repr(loaded) == f"Sequential({layers}, dtype=np.float32)"
    x = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32) * 2
    (wanted,) = runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x0": x})
    np.testing.assert_allclose(loaded(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("constants", [False, True], ids=["initializers", "nodes"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_the_layer(name: str, constants: bool, tmp_path: Path) -> None:
    nodes, layer = SPELLINGS[name]
    path = saved(tmp_path / "net.onnx", nodes, constants=constants)
    check(path, f"Dense(2, 3, bias=False), {layer}, Dense(3, 2, bias=False)")


@pytest.mark.parametrize(("form", "layer"), [("none", "GELU()"), ("tanh", "GELU('tanh')")])
def test_the_operator(form: str, layer: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", [make("Gelu", ["x"], ["y"], approximate=form)], opset=20)
    check(path, f"Dense(2, 3, bias=False), {layer}, Dense(3, 2, bias=False)")


def test_a_swish_with_a_factor_goes_into_the_products_beside_it(tmp_path: Path) -> None:
    nodes = [make("Mul", ["x", "b"], ["u"]), make("Sigmoid", ["u"], ["s"]), make("Mul", ["x", "s"], ["y"])]
    path = saved(tmp_path / "net.onnx", nodes)
    check(path, "Dense(2, 3, bias=False), SiLU(), Dense(3, 2, bias=False)")
    np.testing.assert_allclose(rl.load(path).params["0.weight"], WEIGHT * np.float32(1.702), rtol=1e-6)


WRONG: dict[str, list[Any]] = {
    "another constant": [make("Div", ["x", "rough"], ["u"]), *ERF[1:], make("Mul", ["x", "f"], ["g"]),
                         make("Mul", ["g", "half"], ["y"])],
    "no half": [*ERF, make("Mul", ["x", "f"], ["y"])],
    "erf alone": [make("Erf", ["x"], ["y"])],
    "a square": [make("Pow", ["x", "two"], ["y"])],
    "a quotient": [*ERF, make("Div", ["x", "f"], ["g"]), make("Mul", ["g", "half"], ["y"])],
    "two functions": [*ERF, make("Tanh", ["x"], ["t"]), make("Mul", ["f", "t"], ["y"])],
    "a part that is used again": [*ERF, make("Mul", ["x", "f"], ["g"]), make("Mul", ["g", "half"], ["h"]),
                                  make("Add", ["h", "f"], ["y"])],
    "a polynomial of degree 4": [make("Mul", ["x", "x"], ["s"]), make("Mul", ["s", "s"], ["y"])],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_none_of_them_is_refused(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", WRONG[name])
    with pytest.raises(
        ValueError, match=r"net.onnx cannot be loaded: node \d \((Div|Erf|Pow|Mul|Add|Tanh)\)"
    ):
        rl.load(path)


@pytest.mark.parametrize("form", ["none", "tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_comes_back(form: str, dtype: Any, tmp_path: Path) -> None:
    model = rl.Sequential(rl.Dense(3, 4), rl.GELU(form), rl.GELU(form), rl.Dense(4, 2), dtype=dtype, rng=0)
    model.save(tmp_path / "net.onnx")
    assert repr(rl.load(tmp_path / "net.onnx")) == repr(model)
