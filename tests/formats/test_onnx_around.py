"""What exporters write around the layers: constants, columns, computed shapes, labels, data beside the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

onnx = pytest.importorskip("onnx", reason="needs onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
node, helper, numpy_helper, TensorProto = (
    onnx.helper.make_node, onnx.helper, onnx.numpy_helper, onnx.TensorProto,
)  # fmt: skip
RNG = np.random.default_rng(11)


def numbers(*shape: int) -> Any:
    return RNG.uniform(0.5, 2, shape).astype(np.float32) * RNG.choice([-1, 1], shape).astype(np.float32)


W, B, V = numbers(3, 5), numbers(5), numbers(5, 2)
MEAN, STD = numbers(3), np.abs(numbers(3)) + 0.5
# Scale, summand, mean and variance of a batch normalization, of 3 and of 5 features.
BN3 = {"s3": numbers(3), "o3": numbers(3), "m3": numbers(3), "v3": np.abs(numbers(3))}
BN5 = {"s5": numbers(5), "o5": numbers(5), "m5": numbers(5), "v5": np.abs(numbers(5))}
CONSTANTS = {
    "w": W, "b": B, "v": V, "mean": MEAN, "std": STD, **BN3, **BN5, "five": numbers(5), "row": numbers(1, 3),
    "two": np.float32(2), "one": np.float32(1), "image": numbers(1, 2, 3), "channel": numbers(2, 1),
    "big": numbers(6, 5), "left": numbers(5, 3), "left2": numbers(2, 5), "column": numbers(5, 1),
    "first": np.int64(0), "axis0": np.int64([0]), "minus": np.int64([-1]), "six": np.int64([6]),
    "shape": np.int64([-1]), "under": np.int64([-1, 1]), "twos": np.int64([-1, 2]),
    "p": numbers(5, 1), "pb": numbers(1), "classes": np.array(["a", "b"], object), "parts": np.int64([2, 3]),
    "axis1": np.int64([1]), "zero": np.float32(0), "zeros": np.zeros(5, np.float32),
}  # fmt: skip


def model_of(nodes: list[Any], *, x: Any = ("n", 3), opset: int = 17, outputs: Any = ("y",)) -> Any:
    used = {name for each in nodes for name in each.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in CONSTANTS.items()
            if name in used
        ],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def elsewhere(model: Any, x: Any, output: str = "y") -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([output], {"x": x})[0]


GEMM = node("Gemm", ["h", "w", "b"], ["y"])
FIRST = node("Gemm", ["x", "w", "b"], ["h"])
LAST = node("MatMul", ["h2", "v"], ["y"])
SECOND = node("MatMul", ["a", "v"], ["y"])
# Nodes, and the layers that they become, for rows of 3.
READ: dict[str, tuple[list[Any], str]] = {
    "standardised inputs": (
        [node("Sub", ["x", "mean"], ["a"]), node("Div", ["a", "std"], ["h"]), GEMM],
        "Dense(3, 5)",
    ),
    "scaled inputs, without a bias": (
        [node("Mul", ["two", "x"], ["h"]), node("MatMul", ["h", "w"], ["y"])],
        "Dense(3, 5, bias=False)",
    ),
    "a constant minus the inputs": ([node("Sub", ["row", "x"], ["h"]), GEMM], "Dense(3, 5)"),
    "normalised inputs": ([node("BatchNormalization", ["x", *BN3], ["h"]), GEMM], "Dense(3, 5)"),
    "normalised sums": ([FIRST, node("BatchNormalization", ["h", *BN5], ["y"], epsilon=0.1)], "Dense(3, 5)"),
    "normalised sums of opset 8": (
        [FIRST, node("BatchNormalization", ["h", *BN5], ["y"])],
        "Dense(3, 5)",
    ),
    "normalised between a ReLU and a product": (
        [FIRST, node("Relu", ["h"], ["r"]), node("BatchNormalization", ["r", *BN5], ["h2"]), LAST],
        "Dense(3, 5), ReLU(), Dense(5, 2)",
    ),
    "results in another unit": (
        [FIRST, node("Mul", ["h", "five"], ["m"]), node("Add", ["five", "m"], ["y"])],
        "Dense(3, 5)",
    ),
    "a normalization alone": ([node("BatchNormalization", ["x", *BN3], ["y"])], "Dense(3, 3)"),
    "a normalization before a ReLU": (
        [node("BatchNormalization", ["x", *BN3], ["r"]), node("Relu", ["r"], ["h"]), GEMM],
        "Dense(3, 3), ReLU(), Dense(3, 5)",
    ),
    "numbers of all rows under one another": ([FIRST, node("Reshape", ["h", "under"], ["y"])], "Dense(3, 5)"),
    "a bias of zeros stays a bias": (
        [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "zeros"], ["y"])],
        "Dense(3, 5)",
    ),
    "a scaled tanh at the end": (
        [FIRST, node("Tanh", ["h"], ["t"]), node("Mul", ["t", "two"], ["y"])],
        "Dense(3, 5), Tanh(), Dense(5, 5, bias=False)",
    ),
    "casts and identities anywhere": (
        [node("Cast", ["x"], ["c"], to=1), node("Sub", ["c", "mean"], ["a"]), node("Identity", ["a"], ["h"]), GEMM],
        "Dense(3, 5)",
    ),
    "constants computed of constants": (
        [node("Mul", ["mean", "two"], ["k"]), node("Sub", ["x", "k"], ["h"]), GEMM],
        "Dense(3, 5)",
    ),
    "half of the columns": (
        [FIRST, node("Split", ["h", "parts"], ["a", "z"], axis=-1), node("Tanh", ["z"], ["y"])],
        "Dense(3, 3), Tanh()",
    ),
    "a sigmoid and its opposite": (
        [FIRST, node("Relu", ["h"], ["r"]), node("Gemm", ["r", "p", "pb"], ["z"]), node("Sigmoid", ["z"], ["q"]),
         node("Sub", ["one", "q"], ["o"]), node("Concat", ["o", "q"], ["y"], axis=1)],
        "Dense(3, 5), ReLU(), Dense(5, 2), Softmax()",
    ),
    "a sigmoid, then its opposite": (
        [FIRST, node("Relu", ["h"], ["r"]), node("MatMul", ["r", "p"], ["z"]), node("Sigmoid", ["z"], ["q"]),
         node("Sub", ["one", "q"], ["o"]), node("Concat", ["q", "o"], ["y"], axis=-1)],
        "Dense(3, 5), ReLU(), Dense(5, 2, bias=False), Softmax()",
    ),
    "a constant node behind the node that takes it": (
        [node("Sub", ["x", "k"], ["h"]), GEMM, node("Constant", [], ["k"], value_floats=[1.0, 2.0, 3.0])],
        "Dense(3, 5)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_nodes_around_layers_go_into_them(name: str, tmp_path: Path) -> None:
    nodes, layers = READ[name]
    model = model_of(nodes, opset=8 if "opset 8" in name else 17)
    onnx.save(model, tmp_path / "m.onnx")
    loaded = rl.load(tmp_path / "m.onnx")
    assert repr(loaded) == f"Sequential({layers}, dtype=np.float32)"
    x = numbers(6, 3)
    # The runtime wants nodes in order.
    in_order = "behind" not in name
    expected = elsewhere(model, x) if in_order else (x - [1, 2, 3]).astype(np.float32) @ W + B
    np.testing.assert_allclose(loaded(x).reshape(expected.shape), expected, rtol=1e-5, atol=1e-5)


def test_constants_of_an_image_are_flattened_with_it(tmp_path: Path) -> None:
    for constant in ("image", "channel", "two"):
        model = model_of(
            [
                node("Sub", ["x", constant], ["s"]),
                node("Flatten", ["s"], ["h"]),
                node("MatMul", ["h", "big"], ["y"]),
            ],
            x=("n", 2, 3),
        )
        onnx.save(model, tmp_path / "m.onnx")
        x = numbers(4, 2, 3)
        np.testing.assert_allclose(
            rl.load(tmp_path / "m.onnx")(x.reshape(4, 6)), elsewhere(model, x), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("opset", [11, 17])
def test_a_computed_shape_that_keeps_rows(opset: int, tmp_path: Path) -> None:
    """x.view(x.size(0), -1), as PyTorch's exporters write it."""
    axes = {"axes": [0]} if opset < 13 else {}
    more = [] if opset < 13 else ["axis0"]
    for last in ("minus", "six"):
        model = model_of(
            [node("Shape", ["x"], ["s"]), node("Gather", ["s", "first"], ["n"], axis=0),
             node("Unsqueeze", ["n", *more], ["u"], **axes), node("Concat", ["u", last], ["t"], axis=0),
             node("Reshape", ["x", "t"], ["h"]), node("MatMul", ["h", "big"], ["y"])],
            x=("n", 2, 3), opset=opset,
        )  # fmt: skip
        onnx.save(model, tmp_path / "m.onnx")
        x = numbers(4, 2, 3)
        np.testing.assert_allclose(
            rl.load(tmp_path / "m.onnx")(x.reshape(4, 6)), elsewhere(model, x), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_column_times_weights_on_its_left(shape: tuple[int, ...], tmp_path: Path) -> None:
    bias = "five" if len(shape) == 1 else "column"
    model = model_of(
        [node("MatMul", ["left", "x"], ["h"]), node("Add", ["h", bias], ["a"]), node("Relu", ["a"], ["r"]),
         node("MatMul", ["left2", "r"], ["y"])],
        x=shape,
    )  # fmt: skip
    onnx.save(model, tmp_path / "m.onnx")
    x = numbers(*shape)
    found = rl.load(tmp_path / "m.onnx")(x.reshape(1, 3))
    np.testing.assert_allclose(found.reshape(-1), elsewhere(model, x).reshape(-1), rtol=1e-5, atol=1e-5)


def test_a_classifier_of_skl2onnx_is_its_scores(tmp_path: Path) -> None:
    scores = [FIRST, node("Softmax", ["h"], ["probabilities"], axis=-1)]
    labels = [
        node("ArgMax", ["probabilities"], ["place"], axis=1),
        node("ArrayFeatureExtractor", ["classes", "place"], ["c"], domain="ai.onnx.ml"),
        node("Reshape", ["c", "shape"], ["label"]),
        node("ZipMap", ["probabilities"], ["named"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3, 4]),
    ]
    model = model_of([*scores, *labels], outputs=("label", "named"))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    named = model.graph.output[1].type.sequence_type.elem_type.map_type
    named.key_type, named.value_type.tensor_type.elem_type = TensorProto.INT64, TensorProto.FLOAT
    onnx.save(model, tmp_path / "m.onnx")
    x = numbers(6, 3)
    expected = elsewhere(model_of(scores, outputs=("probabilities",)), x, "probabilities")
    for options in ({}, {"output": "label"}, {"output": "named"}):
        np.testing.assert_allclose(rl.load(tmp_path / "m.onnx", **options)(x), expected, rtol=1e-5)


REFUSED: dict[str, tuple[list[Any], Any, str]] = {
    "a constant of more axes than the value": (
        [node("Sub", ["x", "image"], ["h"]), GEMM], ("n", 3), "constant has shape .1, 2, 3. for values of shape"),
    "a constant for each row": ([node("Sub", ["x", "channel"], ["h"]), GEMM], (2, 3), "the same for every row"),
    "a constant of another length": ([node("Sub", ["x", "five"], ["h"]), GEMM], ("n", 3), r"shape \(5,\)"),
    "a division by the inputs": ([node("Div", ["two", "x"], ["h"]), GEMM], ("n", 3), "divides a constant"),
    "a division by zero": ([node("Div", ["x", "zero"], ["h"]), GEMM], ("n", 3), "NaN or infinite"),
    "a normalization of images": (
        [node("BatchNormalization", ["x", *BN3], ["y"])], ("n", 3, 2, 2), "BatchNormalization. follows no product"),
    "a factor for rows of any length": (
        [node("Mul", ["x", "two"], ["y"])], ("n", "m"), "Mul. follows no product .* at most 512 numbers"),
    "numbers of all rows in rows of two": (
        [FIRST, node("Reshape", ["h", "twos"], ["y"])], ("n", 3), "expected one row to stay one row"),
    "numbers of all rows under one another, and a layer behind": (
        [FIRST, node("Reshape", ["h", "under"], ["u"]), node("Relu", ["u"], ["y"])], ("n", 3),
        "expected one row to stay one row"),
    "a normalization of other channels": (
        [node("BatchNormalization", ["x", *BN5], ["h"]), GEMM], ("n", 3), "has 5 channels"),
    "the product of two values": (
        [FIRST, node("Mul", ["h", "h"], ["y"])], ("n", 3), "read only in s = Sigmoid"),
    "columns that are joined": ([node("Concat", ["x", "mean"], ["y"], axis=1)], ("n", 3), "is read as .1 - p, p."),
    "labels of another axis": ([node("ArgMax", ["x"], ["y"], axis=0)], ("n", 3), "of the last axis"),
    "something computed of labels": (
        [FIRST, node("ArgMax", ["h"], ["l"], axis=1), node("Relu", ["l"], ["y"])], ("n", 3), "computes with labels"),
    "both parts of a split": (
        [FIRST, node("Split", ["h", "parts"], ["a", "z"], axis=1), node("Add", ["z", "a"], ["y"])],
        ("n", 3), "one of its outputs"),
    "a split of the inputs": ([node("Split", ["x"], ["a", "z"], axis=1), node("Relu", ["a"], ["y"])], ("n", 4),
                              "columns of the Gemm"),
    "an axis that goes": ([node("Squeeze", ["x", "axis0"], ["y"])], (1, 3), "drop a last axis"),
    "weights on the left of rows": ([node("MatMul", ["left", "x"], ["y"])], ("n", 3), "its input 0 must be 'x'"),
    "a layer norm": ([FIRST, node("LayerNormalization", ["h", "five"], ["y"])], ("n", 3),
                     "the row's own numbers, which no layer here does; ONNX Runtime runs the file"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_part_of_a_layer_is_refused_by_name(name: str, tmp_path: Path) -> None:
    nodes, x, words = REFUSED[name]
    onnx.save(model_of(nodes, x=x), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=words) as caught:
        rl.load(tmp_path / "m.onnx")
    assert str(caught.value).startswith(f"{tmp_path / 'm.onnx'} cannot be loaded: ")


@pytest.mark.parametrize("op_type", ["Gather", "Conv", "Sin", "Mish", "LSTM", "Celu"])
def test_an_operator_of_onnx_is_no_misspelling(op_type: str, tmp_path: Path) -> None:
    onnx.save(model_of([node(op_type, ["x"], ["y"])], opset=20), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=rf"{op_type}") as caught:
        rl.load(tmp_path / "m.onnx")
    assert "did you mean" not in str(caught.value)


# --- data beside the file ---


def beside(folder: Path, **entries: Any) -> Path:
    """Write a Gemm whose weight is 60 bytes of `m.onnx.data`, but for the entries given; return its path."""
    model = model_of([node("Gemm", ["x", "w", "b"], ["y"])])
    (tensor,) = (each for each in model.graph.initializer if each.name == "w")
    (folder / "m.onnx.data").write_bytes(b"1234" + W.tobytes() + b"5678")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "m.onnx.data", "offset": 4, "length": 60} | entries).items():
        if value is not None:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_weights_beside_the_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = numbers(4, 3)
    for entries in ({}, {"length": None}, {"checksum": "a" * 40}):
        np.testing.assert_allclose(rl.load(beside(tmp_path, **entries))(x), x @ W + B, rtol=1e-5, atol=1e-5)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(rl.load("m.onnx").params["0.weight"], W)
    # As onnx's own tools write it.
    onnx.save_model(
        model_of([node("Gemm", ["x", "w", "b"], ["y"])]), "whole.onnx",
        save_as_external_data=True, location="whole.data", size_threshold=0,
    )  # fmt: skip
    np.testing.assert_array_equal(rl.load("whole.onnx").params["0.weight"], W)


def test_a_link_to_the_folder_is_no_link_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    beside(tmp_path / "real")
    (tmp_path / "other").symlink_to(tmp_path / "real")
    np.testing.assert_array_equal(rl.load(tmp_path / "other" / "m.onnx").params["0.weight"], W)


HOSTILE: dict[str, dict[str, Any]] = {
    "a parent folder": {"location": "../secret"},
    "a parent folder further on": {"location": "sub/../../secret"},
    "a parent folder, with backslashes": {"location": "..\\secret"},
    "an absolute path": {"location": "/etc/hostname"},
    "a drive": {"location": "C:/secret"},
    "no name": {"location": ""},
    "no location": {"location": None},
    "the folder itself": {"location": "."},
    "a zero byte": {"location": "m.onnx.data\0x"},
    "a file that is not there": {"location": "other.data"},
    "a link out": {"location": "link"},
    "a folder that is a link out": {"location": "away/secret"},
    "a FIFO": {"location": "fifo"},
    "an offset behind the end": {"offset": 69},
    "a huge offset": {"offset": 2**62},
    "an offset beyond 64 bits": {"offset": 10**30},
    "a negative offset": {"offset": -4},
    "an offset in words": {"offset": "four"},
    "digits of another script": {"offset": "४"},
    "too few bytes": {"length": 56},
    "too many bytes": {"length": 64},
    "an unknown key": {"password": "x"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_data_beside_the_file_stay_in_its_folder_and_size(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(b"1234" + W.tobytes() + b"5678")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "away").symlink_to(tmp_path)
    os.mkfifo(inside / "fifo")
    path = beside(inside, **HOSTILE[name])
    with pytest.raises(ValueError, match="data outside the file") as caught:
        rl.load(path)
    assert str(caught.value).startswith(f"{path} cannot be loaded: tensor 'w': ")
    assert len(str(caught.value)) < 600 + len(str(path))


def test_overlapping_tensors_ask_for_no_more_than_the_file_has(tmp_path: Path) -> None:
    """A thousand tensors in one file of a megabyte would be a gigabyte."""
    import tracemalloc

    model = model_of([node("Gemm", ["x", "w", "b"], ["y"])])
    (tmp_path / "m.data").write_bytes(bytes(2**20 + 1000))
    nodes = [node("Relu", ["x"], ["r0"])]
    del model.graph.initializer[:]
    for i in range(1000):
        nodes.append(node("Add", [f"r{i}", f"t{i}"], [f"r{i + 1}"]))
        tensor = model.graph.initializer.add(name=f"t{i}", data_type=TensorProto.FLOAT, dims=[2**18])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "m.data"), ("offset", str(i))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    del model.graph.node[:]
    model.graph.node.extend([*nodes, node("Relu", ["r1000"], ["y"])])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    tracemalloc.start()
    with pytest.raises(ValueError, match="together are larger than its 1049576 bytes"):
        rl.load(tmp_path / "m.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def around() -> bytes:
    """A small file with constants, a computed shape, a normalization, columns and labels."""
    nodes = [
        node("Sub", ["x", "image"], ["a"]), node("Shape", ["a"], ["s"]), node("Gather", ["s", "first"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axis0"], ["u"]), node("Concat", ["u", "minus"], ["t"], axis=0),
        node("Reshape", ["a", "t"], ["rows"]), node("MatMul", ["rows", "big"], ["h"]),
        node("BatchNormalization", ["h", *BN5], ["n5"]), node("Split", ["n5", "parts"], ["z0", "z1"], axis=1),
        node("Mul", ["z1", "two"], ["z2"]), node("ArgMax", ["z2"], ["y"], axis=1),
    ]  # fmt: skip
    return bytes(model_of(nodes, x=("n", 2, 3)).SerializeToString())


def outside(folder: Path) -> bytes:
    return beside(folder).read_bytes()


@pytest.mark.parametrize("make", ["around", "outside"])
def test_damage_around_layers_is_refused_or_harmless(make: str, tmp_path: Path, damage: Any) -> None:
    """Shortened, mutated, and every byte set to a few values: a ValueError, or a model that runs."""
    data = around() if make == "around" else outside(tmp_path)

    def check(model: rl.Sequential) -> None:
        assert all(np.isfinite(value).all() for value in model.params.values())
        features = next((layer.in_features for layer in model.layers if layer.in_features), 3)
        assert len(model(np.ones((2, features), model.dtype))) == 2

    (tmp_path / "t.onnx").write_bytes(data)
    check(rl.load(tmp_path / "t.onnx"))
    for variants in (
        damage.truncations(data),
        damage.single_byte_changes(data, (0, 1, 127, 255)),
        damage.mutations([data], 1500, seed=5),
    ):
        damage.read_all(variants, tmp_path / "t.onnx", rl.load, check)
