"""Damaged ONNX files: a ValueError, or a model of finite parameters that runs; nothing else ever."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.preprocessing import Preprocessing

onnx = pytest.importorskip("onnx", reason="needs onnx")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

# A few thousand by default; the slow battery counts in hundreds of thousands.
MUTATIONS = int(os.environ.get("RELU_LAYERS_ONNX_MUTATIONS", "300000"))


def smallest() -> bytes:
    """A Gemm and a Relu in a hundred bytes."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy")
    weight = numpy_helper.from_array(np.array([[1, 2], [3, -4]], np.float32), "w")
    nodes = [helper.make_node("Gemm", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(nodes, "", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model.producer_name = ""
    return bytes(model.SerializeToString())


def saved(path: Path) -> bytes:
    """Every layer and a preprocessing, as this package writes them."""
    model = rl.Sequential(
        rl.Dense(2, 3), rl.ReLU(0.1), rl.Dropout(0.5), rl.Dense(3, 3, bias=False), rl.PReLU(3), rl.Threshold(0.1, 0.2),
        rl.ELU(), rl.Tanh(), rl.Sigmoid(), rl.Dense(3, 2), rl.LogSoftmax(), rl.Softmax(), rng=0,
    )  # fmt: skip
    model.preprocessing = Preprocessing().fit({"a": [1.0, 2.5], "b": [0.0, 4.0]}).fit_target(["no", "yes"])
    model.save(path, dropout=True)
    return path.read_bytes()


def foreign() -> bytes:
    """Old operators, typed data fields, constants as nodes, a rank-3 input that is flattened, a spare output."""
    rng = np.random.default_rng(0)
    x = helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 2, 2])
    y = helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 3])
    weight = helper.make_tensor("w", TensorProto.DOUBLE, [3, 4], rng.standard_normal(12).tolist())
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [0, -1])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["x", "shape"], ["rows"]),
        helper.make_node("Transpose", ["w"], ["v"], perm=[1, 0]),
        helper.make_node("MatMul", ["rows", "v"], ["p"]),
        helper.make_node("Add", ["b", "p"], ["q"]),
        helper.make_node("Dropout", ["q"], ["d", "mask"], ratio=0.25),
        helper.make_node("Softmax", ["d"], ["y"], axis=1),
    ]
    bias = helper.make_tensor("b", TensorProto.DOUBLE, [3], [0.5, -0.5, 0.25])
    graph = helper.make_graph(nodes, "graph", [x], [y], [weight, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)
    return bytes(model.SerializeToString())


def check(model: rl.Sequential) -> None:
    """Assert that parameters are finite and of their layers' shapes, and that the model runs where it takes rows."""
    for layer in model.layers:
        for name, value in layer.params.items():
            assert value.shape == layer.parameters()[name].shape
            assert np.isfinite(value).all()
    features = next((layer.in_features for layer in model.layers if layer.in_features), 2)
    x = np.ones((2, features), model.dtype)
    shape = x.shape
    try:
        for layer in model.layers:
            shape = layer.output_shape(shape)
    except ValueError:  # such as a softmax over a third axis
        return
    assert model(x).shape == shape


def read(path: Path) -> Any:
    return rl.load(path)


def test_the_undamaged_files_are_read(tmp_path: Path) -> None:
    for index, data in enumerate((smallest(), saved(tmp_path / "s.onnx"), foreign())):
        (tmp_path / f"{index}.onnx").write_bytes(data)
        check(rl.load(tmp_path / f"{index}.onnx"))


@pytest.mark.parametrize("make", ["smallest", "saved", "foreign"])
def test_no_beginning_of_a_file_does_harm(make: str, tmp_path: Path, damage: Any) -> None:
    data = saved(tmp_path / "s.onnx") if make == "saved" else globals()[make]()
    refused, accepted = damage.read_all(damage.truncations(data), tmp_path / "t.onnx", read, check)
    assert refused + accepted == len(data)
    # Protobuf has no end mark: what is left between two fields is a file, but metadata come last in it.
    assert accepted <= 4


def test_every_single_byte_of_a_small_file_may_change(tmp_path: Path, damage: Any) -> None:
    data = smallest()
    assert len(data) < 150
    refused, accepted = damage.read_all(damage.single_byte_changes(data), tmp_path / "t.onnx", read, check)
    assert refused + accepted == 255 * len(data)
    assert refused > accepted


def test_mutated_files(tmp_path: Path, damage: Any) -> None:
    seeds = (smallest(), saved(tmp_path / "s.onnx"), foreign())
    refused, accepted = damage.read_all(damage.mutations(seeds, 5000), tmp_path / "t.onnx", read, check)
    assert refused > accepted > 50


@pytest.mark.slow
@pytest.mark.parametrize("make", ["saved", "foreign"])
def test_every_single_byte_of_larger_files_may_change(make: str, tmp_path: Path, damage: Any) -> None:
    data = saved(tmp_path / "s.onnx") if make == "saved" else foreign()
    damage.read_all(damage.single_byte_changes(data), tmp_path / "t.onnx", read, check)


@pytest.mark.slow
def test_many_mutated_files(tmp_path: Path, damage: Any) -> None:
    seeds = (smallest(), saved(tmp_path / "s.onnx"), foreign())
    damage.read_all(damage.mutations(seeds, MUTATIONS, seed=1), tmp_path / "t.onnx", read, check)


# --- files that are made to do harm ---


def varint(number: int) -> bytes:
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes([*result, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(**values: Any) -> Any:
    """Return the smallest model with its weight replaced."""
    model = onnx.ModelProto.FromString(smallest())
    weight = model.graph.initializer[0]
    for name, value in values.items():
        weight.ClearField(name)
        if isinstance(value, list):
            getattr(weight, name).extend(value)
        elif value is not None:
            setattr(weight, name, value)
    return model


def external() -> Any:
    model = tensor(raw_data=None, data_location=TensorProto.EXTERNAL)
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"
    return model


def with_if() -> Any:
    model = onnx.ModelProto.FromString(smallest())
    branch = helper.make_graph([helper.make_node("Identity", ["h"], ["i"])], "b", [], [])
    model.graph.node.append(
        helper.make_node("If", ["h"], ["z"], name="choice", then_branch=branch, else_branch=branch)
    )
    return model


def nested(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph, and so on."""
    graph = b""
    for _ in range(depth):
        graph = field(1, field(4, b"If") + field(5, field(6, graph)))
    return field(7, graph)


HARM = {
    "empty": (b"", "imports 0 opsets|IR version"),
    "no protobuf": (b"this is text, not a model", "damaged"),
    "dims that need a terabyte": (tensor(dims=[2**20, 2**18]), "dims .*need 274877906944 elements"),
    "dims whose product is beyond 64 bits": (tensor(dims=[2**62, 2**62, 16]), "dims"),
    "a dim below 0": (tensor(dims=[-2, -2]), "none below 0"),
    "many dims": (tensor(dims=[1] * 50), "at most 8"),
    "too few bytes": (tensor(raw_data=b"\0" * 12), "holds 12 bytes"),
    "two kinds of data": (tensor(float_data=[1.0, 2.0, 3.0, 4.0]), "holds 16 bytes"),
    "a type that is not read": (tensor(data_type=TensorProto.COMPLEX64), "COMPLEX64, expected one of FLOAT"),
    "an unknown type": (tensor(data_type=99), "type 99"),
    "NaN": (tensor(raw_data=np.array([1, np.nan, 2, np.inf], np.float32).tobytes()), "2 of 4 .*weight of layer 0"),
    "data outside the file": (external(), "data outside the file"),
    "a subgraph": (with_if(), "node 'choice' .If.: it has a subgraph"),
    "subgraphs within subgraphs": (nested(5000), "a subgraph"),
    "functions": (smallest() + field(25, b""), "functions"),
    "training information": (smallest() + field(20, b""), "training information"),
    "a sparse initializer": (smallest() + field(7, field(15, b"")), "sparse initializers"),
    "many nodes": (smallest() + field(7, field(1, b"") * 300_000), "more than 250000 fields"),
    "a group": (b"\x0b" * 1000, "wire type 3"),
    "names of outputs that are no texts": (
        smallest() + field(7, field(12, field(1, b"\xff\xfe")) + field(12, field(1, b"z"))), "is no text"),
    "an endless number": (b"\x08" + b"\xff" * 30, "damaged"),
    "a length beyond the end": (b"\x3a\xff\xff\xff\xff\x07", "34359738239 bytes at byte|damaged"),
    "preprocessing nested a million deep": (
        smallest() + field(14, field(1, b"relu_layers.preprocessing") + field(2, b"[" * 10**6)),
        "preprocessing is damaged",
    ),
    "preprocessing of another kind": (
        smallest() + field(14, field(1, b"relu_layers.preprocessing") + field(2, b'{"format": 99}')),
        "preprocessing is damaged: .*format 99",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARM)
def test_harm_is_refused_with_a_reason(name: str, tmp_path: Path) -> None:
    given, words = HARM[name]
    path = tmp_path / "harm.onnx"
    path.write_bytes(given if isinstance(given, bytes) else given.SerializeToString())
    with pytest.raises(ValueError, match=words) as caught:
        rl.load(path)
    assert str(caught.value).startswith(f"{path} cannot be loaded: ")
    assert len(str(caught.value)) < 1000 + len(str(path))


def test_memory_stays_in_proportion_to_the_file(tmp_path: Path) -> None:
    """The refused giants above take next to nothing: they are refused before anything of their size is made."""
    import tracemalloc

    for name in ("dims that need a terabyte", "subgraphs within subgraphs", "many nodes"):
        given = HARM[name][0]
        path = tmp_path / "harm.onnx"
        path.write_bytes(given if isinstance(given, bytes) else given.SerializeToString())
        tracemalloc.start()
        with pytest.raises(ValueError, match="cannot be loaded"):
            rl.load(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * path.stat().st_size + 2**20, name


def test_infinities_are_read_on_request(tmp_path: Path) -> None:
    path = tmp_path / "infinite.onnx"
    path.write_bytes(HARM["NaN"][0].SerializeToString())
    weight = rl.load(path, finite=False).params["0.weight"]
    np.testing.assert_array_equal(weight, [[1, np.nan], [2, np.inf]])


def test_a_missing_file_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rl.load(tmp_path / "none.onnx")


def test_the_generators_of_damage_do_what_they_say(damage: Any) -> None:
    data = bytes(range(7))
    assert list(damage.truncations(data)) == [data[:n] for n in range(7)]
    changed = list(damage.single_byte_changes(data))
    assert len(set(changed)) == len(changed) == 7 * 255
    flipped = set(damage.bit_flips(data))
    assert len(flipped) == 56
    assert flipped < set(changed)
    first = list(damage.mutations([data, data * 3], 500))
    assert first == list(damage.mutations([data, data * 3], 500))
    assert len(set(first)) > 300
