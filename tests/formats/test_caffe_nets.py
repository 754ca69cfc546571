"""Nets of inner products as Caffe's own examples are built: from Python, from the shell, and as a caffemodel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl


def source(
    phase: str, stage: str = "", tops: str = 'top: "data" top: "label"', kind: str = "HDF5Data"
) -> str:
    rule = f" stage: '{stage}'" if stage else ""
    return f'layer {{ name: "data" type: "{kind}" {tops} include {{ phase: {phase}{rule} }} }}\n'


def product(name: str, bottom: str, outputs: int, filler: str = 'type: "xavier"') -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" param {{ lr_mult: 1 }} '
        f"param {{ lr_mult: 2 decay_mult: 0 }} inner_product_param {{ num_output: {outputs} "
        f'weight_filler {{ {filler} }} bias_filler {{ type: "constant" value: 0 }} }} }}\n'
    )


def sigmoid(bottom: str) -> str:
    return f'layer {{ name: "{bottom}neuron" type: "Sigmoid" bottom: "{bottom}" top: "{bottom}neuron" }}\n'


def ends(bottom: str) -> str:
    return (
        f'layer {{ name: "accuracy" type: "Accuracy" bottom: "{bottom}" bottom: "label" top: "accuracy" '
        f'include {{ phase: TEST }} }}\nlayer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{bottom}" '
        'bottom: "label" top: "loss" }\n'
    )


RELU = 'layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }\n'


def autoencoder() -> str:
    """Wide, narrow, wide; two losses, one of weight 0; labels that are the flattened input; data by phase and stage."""
    text = 'name: "Autoencoder"\n'
    for phase, stage in (("TRAIN", ""), ("TEST", "test-on-train"), ("TEST", "test-on-test")):
        text += source(phase, stage, 'top: "data"', "Data")
    text += 'layer { name: "flatdata" type: "Flatten" bottom: "data" top: "flatdata" }\n'
    sparse = 'type: "gaussian" std: 1 sparse: 3'
    text += product("encode1", "data", 16, sparse) + sigmoid("encode1")
    text += product("encode2", "encode1neuron", 4, sparse)
    text += product("decode2", "encode2", 16, sparse) + sigmoid("decode2")
    text += product("decode1", "decode2neuron", 30, sparse)
    text += (
        'layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "decode1" bottom: "flatdata" '
        'top: "cross_entropy_loss" loss_weight: 1 }\n' + sigmoid("decode1") +
        'layer { name: "loss" type: "EuclideanLoss" bottom: "decode1neuron" bottom: "flatdata" top: "l2_error" '
        "loss_weight: 0 }\n"
    )  # fmt: skip
    return text


NETS: dict[str, tuple[str, dict[str, Any], str]] = {
    "logistic regression": (
        source("TRAIN") + source("TEST") + product("fc1", "data", 2) + ends("fc1"), {"in_features": 4}, "Dense(4, 2"),
    "a hidden layer": (
        source("TRAIN") + source("TEST") + product("fc1", "data", 40) + RELU + product("fc2", "fc1", 2) + ends("fc2"),
        {"in_features": 4}, "Dense(4, 40"),
    "a net without phases": (
        'layer { name: "data" type: "HDF5Data" top: "data" top: "label" }\n' + product("fc1", "data", 40) + RELU
        + product("fc2", "fc1", 2) + ends("fc2"),
        {"in_features": 4}, "ReLU"),
    "an autoencoder": (autoencoder(), {"in_features": 30}, "Dense(30, 16"),
    "linear regression": (
        'layer { type: "DummyData" name: "x" top: "x" dummy_data_param { shape { dim: 10 dim: 3 dim: 2 } } }\n'
        'layer { type: "DummyData" name: "y" top: "y" dummy_data_param { shape { dim: 10 dim: 4 } } }\n'
        + product("ipx", "x", 4)
        + 'layer { type: "EuclideanLoss" name: "loss" top: "loss" bottom: "ipx" bottom: "y" }\n',
        {}, "Dense(6, 4"),
    "one branch of two": (
        'input: "data" input_shape { dim: 1 dim: 5 }\n' + product("fc1", "data", 8) + RELU + product("a", "fc1", 2)
        + product("b", "fc1", 3),
        {"output": "b"}, "Dense(8, 3"),
}  # fmt: skip
SHELL = {"in_features": "--input-features", "output": "--output-name"}


@pytest.mark.parametrize("phase", ["TRAIN", "test"])
@pytest.mark.parametrize("name", NETS)
def test_a_net_is_loaded(name: str, phase: str, tmp_path: Path) -> None:
    text, options, words = NETS[name]
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    model = rl.load(path, phase=phase, rng=0, **options)
    assert words in repr(model)
    features = model.layers[0].in_features
    assert model(np.ones((2, features), np.float32)).shape[0] == 2


@pytest.mark.parametrize("name", NETS)
def test_a_net_comes_in_from_the_shell(name: str, tmp_path: Path) -> None:
    text, options, _ = NETS[name]
    (tmp_path / "net.prototxt").write_text(text)
    given = [word for key, value in options.items() for word in (SHELL[key], str(value))]
    command = [
        sys.executable,
        "-m",
        "relu_layers",
        "convert",
        "net.prototxt",
        "net.npz",
        "--phase",
        "TRAIN",
        *given,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rl.load(tmp_path / "net.npz").layers


def test_a_sparse_gaussian_keeps_a_share_of_the_values(tmp_path: Path) -> None:
    """Each value stays with probability sparse / num_output, as in Caffe's filler."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        'input: "x" input_shape { dim: 1 dim: 400 }\n'
        + product("a", "x", 100, 'type: "gaussian" std: 2 sparse: 15')
    )
    weight = rl.load(path, rng=0).params["0.weight"]
    share = np.count_nonzero(weight) / weight.size
    assert abs(share - 0.15) < 6 * np.sqrt(0.15 * 0.85 / weight.size)
    assert abs(weight[weight != 0].std() - 2) < 0.2
    rl.load(path, rng=0).save(tmp_path / "again.prototxt")
    assert "sparse: 15" in (tmp_path / "again.prototxt").read_text()
    path.write_text(path.read_text().replace("sparse: 15", "sparse: 101"))
    with pytest.raises(ValueError, match="sparse: 101 of 100 outputs"):
        rl.load(path)


def test_a_flattened_blob_is_taken_or_not(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    flat = 'input: "x" input_shape { dim: 1 dim: 2 dim: 3 }\nlayer { name: "f" type: "Flatten" bottom: "x" top: "f" }\n'
    for bottom in ("x", "f"):
        path.write_text(flat + product("a", bottom, 2))
        assert "Dense(6, 2" in repr(rl.load(path))


def test_a_solver_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "solver.prototxt"
    for text in (
        'net: "net.prototxt"\nbase_lr: 0.01\nmax_iter: 10\n',
        'train_net: "net.prototxt"\ntest_net: "t"\n',
    ):
        path.write_text(text)
        with pytest.raises(
            ValueError, match=r"this is a solver: load the net that it names, 'net.prototxt'; .*read_solver"
        ):
            rl.load(path)
    path.write_text('nett: "net.prototxt"\n')
    with pytest.raises(ValueError, match="NetParameter has no field 'nett'"):
        rl.load(path)


def test_a_branch_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NETS["one branch of two"][0])
    with pytest.raises(ValueError, match="the net branches; output= chooses"):
        rl.load(path)
    with pytest.raises(ValueError, match="output is 'c', expected the name of a blob: fc1, a, b"):
        rl.load(path, output="c")
    with pytest.raises(TypeError, match="output is 3"):
        rl.load(path, output=3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_caffemodel_is_written_and_read(dtype: Any, tmp_path: Path) -> None:
    model = rl.Sequential(
        rl.Dense(4, 6), rl.ReLU(0.125), rl.Dense(6, 5, bias=False), rl.PReLU(5), rl.ELU(0.5), rl.Dropout(0.25),
        rl.Dense(5, 3), rl.Softmax(), dtype=dtype, rng=3,
    )  # fmt: skip
    path = tmp_path / "net.caffemodel"
    model.save(path, name="mine")
    loaded = rl.load(path, dtype=dtype)
    for name, value in model.params.items():
        np.testing.assert_array_equal(loaded.params[name], value)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(dtype)
    np.testing.assert_array_equal(loaded(x), model(x))
    # With the prototxt that describes it, as Caffe wants it.
    model.save(tmp_path / "net.prototxt")
    both = rl.load(tmp_path / "net.prototxt", weights=path, dtype=dtype)
    np.testing.assert_array_equal(both(x), model(x))
    assert b"\n\x04mine" in path.read_bytes()[:8]
    with pytest.raises(ValueError, match="Caffe has no such layer"):
        rl.Sequential(rl.SiLU()).save(tmp_path / "no.caffemodel")
    assert not (tmp_path / "no.caffemodel").exists()
