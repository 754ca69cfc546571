"""Models written as ONNX: ONNX Runtime computes the same, the checker is content, and loading gives the model back."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers.preprocessing import Preprocessing

onnx = pytest.importorskip("onnx", reason="needs onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")

NEWEST_OPSET = onnx.defs.onnx_opset_version()
ACTIVATIONS = {
    "ReLU": rl.ReLU,
    "leaky": lambda: rl.ReLU(0.01),
    "steep": lambda: rl.ReLU(-0.3),
    "PReLU": lambda: rl.PReLU(1),
    "ELU": lambda: rl.ELU(0.7),
    "Sigmoid": rl.Sigmoid,
    "SiLU": rl.SiLU,
    "GELU": rl.GELU,
    "GELU with tanh": lambda: rl.GELU("tanh"),
    "SELU": rl.SELU,
    "Softplus": rl.Softplus,
    "Clip": rl.Clip,
    "hard tanh": lambda: rl.Clip(-0.5, 0.5),
    "from below": lambda: rl.Clip(-0.1, np.inf),
    "Tanh": rl.Tanh,
    "Threshold": lambda: rl.Threshold(0.1, -0.2),
    "Softmax": rl.Softmax,
    "Softmax of rows": lambda: rl.Softmax(0),
    "LogSoftmax": lambda: rl.LogSoftmax(1),
    "Dropout": lambda: rl.Dropout(0.4),
}
# Before 1.31 ONNX Runtime makes an operator of SiLU that it has for float32 alone.
OLD = tuple(map(int, runtime.__version__.split(".")[:2])) < (1, 31)
# What ONNX Runtime has for float32 alone.
FLOAT32_ONLY = {"GELU", "SELU", "Softplus"}


def answer(path: Path, x: Any, name: str = "input") -> Any:
    """Return what ONNX Runtime computes."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        os.fspath(path),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["QuickGeluFusion"] if OLD else None,
    )
    (y,) = session.run(None, {name: x})
    return y


def runtime_opset() -> int:
    """Return the newest opset that this ONNX Runtime promises; older ones warn about newer opsets."""
    return min(NEWEST_OPSET, 17)


@st.composite
def networks(draw: Any) -> rl.Sequential:
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    names = sorted(set(ACTIVATIONS) - (FLOAT32_ONLY if dtype == np.float64 else set()))
    some = st.lists(st.sampled_from(names), max_size=2)
    widths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    layers = [ACTIVATIONS[name]() for name in draw(some)]
    for inputs, outputs in pairwise(widths):
        layers.append(rl.Dense(inputs, outputs, bias=draw(st.booleans()), bias_init="he_normal"))
        if dtype == np.float32 and draw(st.booleans()):
            layers.append(rl.PReLU(outputs, slope_init="he_normal"))
        layers += [ACTIVATIONS[name]() for name in draw(some)]
    return rl.Sequential(*(layers or [rl.Tanh()]), dtype=dtype, rng=draw(st.integers(0, 2**32)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    model=networks(),
    rows=st.integers(1, 5),
    opset=st.integers(13, runtime_opset()),
    dropout=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_architecture_computes_the_same_elsewhere_and_comes_back(
    model: rl.Sequential, rows: int, opset: int, dropout: bool, seed: int, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    features = next((layer.in_features for layer in model.layers if layer.in_features), 4)
    x = 3 * np.random.default_rng(seed).standard_normal((rows, features)).astype(model.dtype)
    expected = model(x)
    model.save(path, opset=opset, dropout=dropout)
    np.testing.assert_allclose(answer(path, x), expected, rtol=1e-6, atol=1e-6)

    written = [layer for layer in model.layers if dropout or not isinstance(layer, rl.Dropout)]
    if not written:
        with pytest.raises(ValueError, match="it has no layer"):
            rl.load(path)
        return
    loaded = rl.load(path)
    assert loaded.dtype == model.dtype
    np.testing.assert_array_equal(loaded(x), expected)
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in written]
    if dropout:
        assert dict(loaded.params).keys() == dict(model.params).keys()
        for key, value in model.params.items():
            np.testing.assert_array_equal(loaded.params[key], value)


@pytest.mark.parametrize("opset", range(13, NEWEST_OPSET + 1))
def test_every_opset_passes_the_checker_with_the_oldest_ir_version_that_allows_it(
    opset: int, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    model = rl.Sequential(
        rl.Dense(3, 4), *(make() for name, make in ACTIVATIONS.items() if name != "Softmax of rows"), rng=0
    )
    model.save(path, opset=opset, dropout=True)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [entry.version for entry in proto.opset_import] == [opset]
    assert proto.ir_version == onnx.helper.OP_SET_ID_VERSION_MAP["ai.onnx", opset]
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(rl.load(path)(x), model(x))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_the_runtime_has_for_float64(name: str, tmp_path: Path) -> None:
    """The table in the documentation: these operators are float32 alone there, whatever the file says."""
    path = tmp_path / "model.onnx"
    model = rl.Sequential(rl.Dense(3, 4), ACTIVATIONS[name](), dtype=np.float64, rng=0)
    model.save(path)
    x = np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_array_equal(rl.load(path)(x).shape, (5, 4))
    if name in FLOAT32_ONLY:
        model = model.astype(np.float32)
        model.save(path)
        x = x.astype(np.float32)
    np.testing.assert_allclose(answer(path, x), model(x), rtol=1e-6, atol=1e-7)


def test_the_default_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = rl.mlp([6, 5, 3], negative_slope=0.1, rng=0)
    model.save(path)
    proto = onnx.load(path)
    assert proto.opset_import[0].version == 13
    assert (proto.producer_name, proto.producer_version) == ("relu_layers", rl.__version__)
    assert [node.op_type for node in proto.graph.node] == ["Gemm", "LeakyRelu", "Gemm"]
    assert [node.doc_string for node in proto.graph.node] == [repr(layer) for layer in model.layers]
    assert proto.graph.doc_string == repr(model)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert list(stored) == list(model.params)
    for key, value in model.params.items():
        np.testing.assert_array_equal(stored[key], value)
    (source,), (target,) = proto.graph.input, proto.graph.output
    shapes = [
        [dim.dim_param or dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in (source, target)
    ]
    assert (source.name, target.name, shapes) == ("input", "output", [["batch", 6], ["batch", 3]])
    assert not proto.metadata_props
    for rows in (1, 2, 33):
        x = np.ones((rows, 6), np.float32)
        np.testing.assert_allclose(answer(path, x), model(x), rtol=1e-6)


def test_names_and_a_fixed_batch(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = rl.mlp([6, 3], rng=0)
    model.save(path, batch=2, input_name="pixels", output_name="scores")
    x = np.ones((2, 6), np.float32)
    np.testing.assert_allclose(answer(path, x, "pixels"), model(x), rtol=1e-6)
    with pytest.raises(Exception, match="invalid dimensions"):
        answer(path, np.ones((3, 6), np.float32), "pixels")
    model.save(path, batch="rows")
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "rows"


def test_dropout_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = rl.Sequential(rl.Dense(4, 4), rl.Dropout(0.3), rl.ReLU(), rl.Dropout(0.5), rng=0)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    model.save(path)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Gemm", "Relu"]
    np.testing.assert_array_equal(answer(path, x), model(x))
    model.save(path, dropout=True)
    assert [layer.rate for layer in rl.load(path).layers if isinstance(layer, rl.Dropout)] == [0.3, 0.5]
    other = copy.deepcopy(model)
    other.flat_params[:] = 0
    assert rl.load(path, model=other) is other
    np.testing.assert_array_equal(other.flat_params, model.flat_params)
    rl.Sequential(rl.Dropout(0.3)).save(path)
    np.testing.assert_array_equal(answer(path, x), x)


def test_nan_and_the_edges_of_threshold_are_as_in_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    x = np.array([[np.nan, 0.5, np.nextafter(0.5, 1), -np.inf, np.inf]])
    for dtype in (np.float32, np.float64):
        model = rl.Sequential(rl.Threshold(0.5, -7.0), dtype=dtype)
        model.save(path)
        np.testing.assert_array_equal(answer(path, x.astype(dtype)), model(x.astype(dtype)))


def test_preprocessing_and_class_names_travel(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    table = {"size": [1.0, 2.0, 4.0], "colour": ["red", "blue", "red"]}
    model = rl.mlp([3, 2], rng=0)
    model.preprocessing = Preprocessing().fit(table).fit_target(["no", "yes", "yes"], name="ripe")
    model.save(path)
    entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(entries["class_names"]) == ["no", "yes"]
    loaded = rl.load(path)
    assert loaded.preprocessing.to_dict() == model.preprocessing.to_dict()
    x = loaded.preprocessing.transform(table)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    other = rl.mlp([3, 2], rng=1)
    assert rl.load(path, model=other).preprocessing.target.classes == ("no", "yes")


class Square:
    """A user's layer."""

    params: dict[str, Any] = {}  # noqa: RUF012
    grads: dict[str, Any] = {}  # noqa: RUF012

    def forward(self, x, training=False):
        return x * x

    def backward(self, dy):
        return dy


class Softmaxx(Square):
    """A user's layer that is named nearly as one of ours."""


@pytest.mark.parametrize(
    ("layers", "options", "error", "words"),
    [
        (
            [rl.Dense, Square],
            {},
            ValueError,
            "layer 1, .*Square.* has no ONNX operator; written are Dense, ReLU",
        ),
        ([Softmaxx], {}, ValueError, "did you mean 'Softmax'"),
        ([lambda: rl.Softmax(2)], {}, ValueError, "has no axis 2"),
        ([lambda: rl.ReLU(1e39)], {}, ValueError, "negative_slope is too large for the float32"),
        ([lambda: rl.Threshold(0.0, -1e39)], {}, ValueError, "value is too large for the float32"),
        ([rl.Dense], {"opset": 12}, ValueError, "opset is 12, expected 13 to"),
        ([rl.Dense], {"opset": 999}, ValueError, "opset is 999"),
        ([rl.Dense], {"opset": 13.0}, TypeError, "opset is 13.0"),
        ([rl.Dense], {"batch": 0}, ValueError, "batch is 0"),
        ([rl.Dense], {"batch": ""}, ValueError, "batch is empty"),
        ([rl.Dense], {"batch": None}, TypeError, "batch is None"),
        ([rl.Dense], {"input_name": ""}, ValueError, "input_name is empty"),
        ([rl.Dense], {"output_name": 3}, TypeError, "output_name is 3"),
        ([rl.Dense], {"input_name": "a", "output_name": "a"}, ValueError, "are both 'a'"),
        ([rl.Dense], {"input_name": "0.weight"}, ValueError, "'0.weight' is taken"),
        ([rl.Dense, rl.ReLU], {"output_name": "0.y"}, ValueError, "'0.y' is taken"),
        ([rl.Dense], {"dropout": 1}, TypeError, "dropout is 1"),
        ([rl.Dense], {"opsets": 13}, TypeError, "no option 'opsets'.*did you mean 'opset'"),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_no_file(
    layers, options, error, words, tmp_path: Path
) -> None:
    made = [layer(4, 4) if layer is rl.Dense else layer() for layer in layers]
    with pytest.raises(error, match=words):
        rl.Sequential(*made).save(tmp_path / "model.onnx", **options)
    assert os.listdir(tmp_path) == []


def test_what_is_too_large_for_the_format_is_said_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = rl.mlp([2, 2], rng=0)
    model.save(tmp_path / "model.onnx")
    monkeypatch.setattr("relu_layers.formats.onnx._save._LARGEST", 23)
    with pytest.raises(ValueError, match="24 bytes of parameters, an ONNX file holds 23"):
        model.save(tmp_path / "other.onnx")
    monkeypatch.setattr("relu_layers.formats.onnx._load._LARGEST", 100)
    with pytest.raises(ValueError, match=r"cannot be loaded: it has \d+ bytes, more than the 100"):
        rl.load(tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_a_failed_save_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    rl.mlp([2, 2], rng=0).save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no ONNX operator"):
        rl.Sequential(Square()).save(path)
    assert path.read_bytes() == before


def test_without_onnx_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import relu_layers as rl\n"
        "try: rl.mlp([2, 2]).save('model.onnx')\n"
        "except ImportError as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert re.match(r"\.onnx files need onnx: pip install .*\[onnx\]", ran.stdout)


def test_a_clip_after_a_relu_in_float64_runs_elsewhere(tmp_path: Path) -> None:
    """ONNX Runtime merges the two and refuses what it gets."""
    model = rl.Sequential(rl.Dense(3, 4), rl.ReLU(), rl.Clip(0.0, 6.0), dtype=np.float64, rng=0)
    model.save(tmp_path / "m.onnx")
    x = np.array([[1.0, -2.0, 30.0], [np.nan, 0.0, 1.0]])
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(found, model(x), rtol=1e-12)
    assert repr(rl.load(tmp_path / "m.onnx").layers) == repr(model.layers)
