"""Networks in half precision: read as the float32 numbers that their halves are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

onnx = pytest.importorskip("onnx", reason="needs onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto
RNG = np.random.default_rng(3)
WEIGHT, BIAS = RNG.standard_normal((3, 4)).astype(np.float16), RNG.standard_normal(4).astype(np.float16)
X = RNG.standard_normal((5, 3)).astype(np.float32)


def tensor(name: str, array: Any, kind: int, *, raw: bool) -> Any:
    """The bits of an array of 16-bit numbers, in one of the two fields that may hold them."""
    bits = array.view(np.uint16)
    proto = TensorProto(name=name, data_type=kind, dims=array.shape)
    if raw:
        proto.raw_data = bits.astype("<u2").tobytes()
    else:
        proto.int32_data.extend(bits.reshape(-1).tolist())
    return proto


def saved(path: Path, nodes: list[Any], tensors: list[Any], kind: int) -> Path:
    x, y = (helper.make_tensor_value_info(name, kind, ["n", width]) for name, width in (("x", 3), ("y", 4)))
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], tensors),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


GEMM = helper.make_node("Gemm", ["x", "w", "b"], ["y"])


@pytest.mark.parametrize("raw", [True, False])
def test_halves_are_read_as_the_numbers_that_they_are(raw: bool, tmp_path: Path) -> None:
    tensors = [
        tensor("w", WEIGHT, TensorProto.FLOAT16, raw=raw),
        tensor("b", BIAS, TensorProto.FLOAT16, raw=raw),
    ]
    loaded = rl.load(saved(tmp_path / "m.onnx", [GEMM], tensors, TensorProto.FLOAT16))
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded.params["0.weight"], WEIGHT.astype(np.float32))
    np.testing.assert_allclose(loaded(X), X @ WEIGHT.astype(np.float32) + BIAS, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("raw", [True, False])
def test_bfloat16_is_the_upper_half_of_a_float32(raw: bool, tmp_path: Path) -> None:
    weight = np.float32([[1, -0.5, 3, 0], [0.25, 256, -2, 1.5], [-1, 7, 0.125, 2]])  # all of few digits
    upper = np.ascontiguousarray((weight.view(np.uint32) >> 16).astype(np.uint16))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = saved(
        tmp_path / "m.onnx", [node], [tensor("w", upper, TensorProto.BFLOAT16, raw=raw)], TensorProto.BFLOAT16
    )
    np.testing.assert_array_equal(rl.load(path).params["0.weight"], weight)


def test_casts_between_halves_and_float32_are_nothing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Gemm", ["h", "w", "b"], ["g"]),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
    ]
    tensors = [
        tensor("w", WEIGHT, TensorProto.FLOAT16, raw=True),
        tensor("b", BIAS, TensorProto.FLOAT16, raw=True),
    ]
    loaded = rl.load(saved(tmp_path / "m.onnx", nodes, tensors, TensorProto.FLOAT))
    assert repr(loaded) == "Sequential(Dense(3, 4), ReLU(), dtype=np.float32)"


def test_halves_of_another_size_are_damage(tmp_path: Path) -> None:
    short = tensor("w", WEIGHT, TensorProto.FLOAT16, raw=True)
    short.raw_data = short.raw_data[:-2]
    tensors = [short, tensor("b", BIAS, TensorProto.FLOAT16, raw=True)]
    path = saved(tmp_path / "m.onnx", [GEMM], tensors, TensorProto.FLOAT16)
    with pytest.raises(ValueError, match=r"need 12 elements .* holds 22 bytes"):
        rl.load(path)
