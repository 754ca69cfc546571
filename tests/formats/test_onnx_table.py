"""A raw table in ONNX Runtime: the predictions of the model with its preprocessing, and the model comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.preprocessing import Preprocessing

onnx = pytest.importorskip("onnx", reason="needs onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")

ROWS = 40
RNG = np.random.default_rng(3)
NUMBERS = {
    "length": RNG.normal(50, 9, ROWS).astype(np.float32),
    "width": np.arange(ROWS, dtype=np.float32) * 1000,
}
TEXTS = {
    "colour": RNG.choice(["red", "blue", "green"], ROWS),
    "shape": np.array(["round", "long"] * (ROWS // 2)),
}
TARGETS = {
    "texts": np.array(["plum", "pear"] * (ROWS // 2)),
    "numbers": np.arange(ROWS) % 3,
    "halves": (np.arange(ROWS) % 3) / 2,
    "values": NUMBERS["length"] * 100 + 7,
}


def outputs(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Return what ONNX Runtime makes of a table, by name."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    if names == ["input"]:
        given = {"input": np.stack(list(table.values()), axis=1)}
    else:
        given = {
            name: (values.astype(object) if values.dtype.kind == "U" else values)[:, None]
            for name, values in table.items()
        }
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, given), strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", ["error", "mean", "drop"])
@pytest.mark.parametrize("standardize", ["column", "table", "none"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_raw_table_gives_the_models_predictions(
    target: str, standardize: str, missing: str, dtype: Any, tmp_path: Path
) -> None:
    for texts in ({}, TEXTS):
        table = {name: values.astype(dtype) for name, values in NUMBERS.items()} | texts
        whole = dict(table)
        if missing == "mean":
            table["length"] = np.where(np.arange(ROWS) % 7 == 3, np.nan, table["length"]).astype(dtype)
            if texts:
                table["colour"] = np.where(np.arange(ROWS) % 5 == 1, "", table["colour"])
        preprocessing = Preprocessing(standardize=standardize, missing=missing).fit(whole)
        task = "regression" if target == "values" else "classification"
        preprocessing.fit_target(TARGETS[target], task=task)
        answers = 1 if target == "values" else len(preprocessing.target.classes)  # type: ignore[union-attr]
        model = rl.mlp([preprocessing.n_features, 6, answers], dtype=dtype, rng=0)
        model.preprocessing = preprocessing
        path = tmp_path / "m.onnx"
        model.save(path, preprocessing=True)
        found = outputs(path, table)
        x = preprocessing.transform(table, dtype=dtype)
        np.testing.assert_allclose(found["output"], model(x), rtol=1e-5, atol=1e-5)
        if target == "values":
            expected = preprocessing.decode_target(model(x))
            np.testing.assert_allclose(found["prediction"], expected, rtol=1e-5)
        else:
            np.testing.assert_array_equal(
                found["label"], preprocessing.decode_target(model.predict(x)).tolist()
            )
            np.testing.assert_allclose(found["probabilities"], model.predict_proba(x), rtol=1e-5, atol=1e-6)
        loaded = rl.load(path)
        np.testing.assert_array_equal(loaded(x), model(x))
        assert loaded.preprocessing.to_dict() == preprocessing.to_dict()


def test_an_unknown_category_has_no_one_in_its_columns(tmp_path: Path) -> None:
    model = rl.mlp([4, 2], rng=0)
    model.preprocessing = Preprocessing().fit({"a": NUMBERS["length"], "colour": TEXTS["colour"]})
    model.save(tmp_path / "m.onnx", preprocessing=True)
    table = {"a": NUMBERS["length"][:2], "colour": np.array(["violet", "red"])}
    x = model.preprocessing.transform(table, unknown="zero")
    np.testing.assert_allclose(outputs(tmp_path / "m.onnx", table)["output"], model(x), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_in_the_graph_is_refused(tmp_path: Path) -> None:
    model = rl.mlp([3, 2], rng=0)
    with pytest.raises(ValueError, match="the model has none for its inputs"):
        model.save(tmp_path / "m.onnx", preprocessing=True)
    model.preprocessing = Preprocessing().fit(NUMBERS)
    with pytest.raises(ValueError, match="gives 2 features, the model takes 3"):
        model.save(tmp_path / "m.onnx", preprocessing=True)
    for name in ("output", "0.weight", "table.0", ""):
        model.preprocessing = Preprocessing().fit(
            {name: NUMBERS["length"], "colour": ["red", "blue"] * (ROWS // 2)}
        )
        with pytest.raises(ValueError, match="has the name of another value"):
            model.save(tmp_path / "m.onnx", preprocessing=True)
    with pytest.raises(TypeError, match="preprocessing is 'yes'"):
        model.save(tmp_path / "m.onnx", preprocessing="yes")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["", "3", '"features"', '["table.features"]', "[1, 2]", "[" * 10000, '["x", "output"]',
             '["table.features", "y"]'],
)  # fmt: skip
def test_a_damaged_place_of_the_network_is_a_value_error(text: str, tmp_path: Path) -> None:
    model = rl.mlp([2, 2], rng=0)
    model.preprocessing = Preprocessing().fit(NUMBERS)
    model.save(tmp_path / "m.onnx", preprocessing=True)
    proto = onnx.load(tmp_path / "m.onnx")
    for entry in proto.metadata_props:
        if entry.key == "relu_layers.network":
            entry.value = text
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match="cannot be loaded"):
        rl.load(tmp_path / "m.onnx")


def test_mutated_files_with_a_preprocessing(tmp_path: Path, damage: Any) -> None:
    model = rl.mlp([5, 2], rng=0)
    model.preprocessing = Preprocessing(missing="mean").fit(
        {"a": NUMBERS["length"], "b": NUMBERS["width"], **TEXTS}
    )
    model = rl.mlp([model.preprocessing.n_features, 2], rng=0)
    model.preprocessing = Preprocessing(missing="mean").fit({**NUMBERS, **TEXTS}).fit_target(TARGETS["texts"])
    model.save(tmp_path / "m.onnx", preprocessing=True)

    def check(found: rl.Sequential) -> None:
        assert all(np.isfinite(value).all() for value in found.params.values())

    data = (tmp_path / "m.onnx").read_bytes()
    refused, accepted = damage.read_all(damage.mutations([data], 1500), tmp_path / "t.onnx", rl.load, check)
    assert refused
    assert accepted


@pytest.mark.parametrize(
    "layer", [rl.ReLU(0.01), rl.ReLU(-0.3), rl.PReLU(1), rl.PReLU(4), rl.ELU(), rl.ELU(0.7)], ids=repr
)
def test_slopes_in_float64_run_and_come_back(layer: Any, tmp_path: Path) -> None:
    """ONNX Runtime has LeakyRelu, PRelu and Elu for float32 alone."""
    model = rl.Sequential(rl.Dense(3, 4), layer, rl.Dense(4, 4), layer.copy() if hasattr(layer, "copy") else rl.ReLU(),
                          dtype=np.float64, rng=0)  # fmt: skip
    path = tmp_path / "m.onnx"
    model.save(path)
    x = RNG.normal(size=(6, 3)) * [[1], [1], [1], [1e3], [1e-9], [0]]
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"input": x})[0], model(x), rtol=1e-12, atol=1e-14)
    loaded = rl.load(path)
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_infinities_and_nan_below_a_slope_in_float64(tmp_path: Path) -> None:
    for layer in (rl.ReLU(0.5), rl.ELU(0.5), rl.PReLU(1)):
        model = rl.Sequential(layer, dtype=np.float64)
        model.save(tmp_path / "m.onnx")
        session = runtime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
        x = np.array([[np.inf, -np.inf, np.nan, 0.0, 800.0, -800.0]])
        np.testing.assert_array_equal(session.run(None, {"input": x})[0], model(x))


def test_convert_says_what_the_graph_takes(tmp_path: Path) -> None:
    model = rl.mlp([6, 2], rng=0)
    model.preprocessing = Preprocessing().fit({"a": NUMBERS["length"], **TEXTS}).fit_target(TARGETS["texts"])
    model.save(tmp_path / "m.npz")

    def convert(*options: str) -> str:
        command = [sys.executable, "-m", "relu_layers", "convert", "m.npz", "m.onnx", "--force", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    said = convert()
    assert "the graph does the preprocessing: it takes a, colour, shape as they are in the table" in said
    assert "in ONNX Runtime by" in said
    names = [value.name for value in onnx.load(tmp_path / "m.onnx").graph.input]
    assert names == ["a", "colour", "shape"]
    said = convert("--no-preprocessing")
    assert "left behind: the preprocessing" in said
    assert [value.name for value in onnx.load(tmp_path / "m.onnx").graph.input] == ["input"]
    assert json.loads(
        {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}["class_names"]
    ) == ["pear", "plum"]


def test_inspect_finds_no_problem_in_the_preprocessing(tmp_path: Path) -> None:
    model = rl.mlp([6, 2], rng=0)
    model.preprocessing = Preprocessing().fit({"a": NUMBERS["length"], **TEXTS}).fit_target(TARGETS["texts"])
    model.save(tmp_path / "m.onnx", preprocessing=True)
    described = pytest.importorskip("relu_layers.formats.onnx").describe(tmp_path / "m.onnx")
    assert not [part for part in described["parts"] if part["problem"]]
