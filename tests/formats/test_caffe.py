"""Caffe's files: prototxt and caffemodel in, from an encoder of the tests' own, solvers, and prototxt out."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers import losses
from relu_layers.formats.caffe import read_solver

Array = np.ndarray[Any, np.dtype[Any]]
RECORDED = Path(__file__).parents[1] / "data" / "caffe" / "solver_trajectories.npz"

# --- protobuf's wire format, written from its documentation ---


def varint(number: int) -> bytes:
    result = bytearray()
    number %= 2**64
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes([*result, number])


def field(number: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def float32(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def blob(values: Array, form: str = "shape") -> bytes:
    """A BlobProto: with its shape, with the four old lengths, unpacked, in doubles, or with a gradient beside."""
    flat = [float(value) for value in values.ravel()]
    packed = b"".join(struct.pack("<f", value) for value in flat)
    shape = field(7, field(1, b"".join(map(varint, values.shape))))
    if form == "legacy":
        four = (1, 1, 1, 1, *values.shape)[-4:]
        return b"".join(integer(i + 1, length) for i, length in enumerate(four)) + field(5, packed)
    if form == "unpacked":
        dims = b"".join(integer(1, length) for length in values.shape)
        return field(7, dims) + b"".join(float32(5, value) for value in flat)
    if form == "double":
        return shape + field(8, b"".join(struct.pack("<d", value) for value in flat))
    return field(5, packed) + shape + field(6, packed)


def layer(name: str, kind: str, bottom: str, top: str, *more: bytes) -> bytes:
    return field(100, field(1, name) + field(2, kind) + field(3, bottom) + field(4, top) + b"".join(more))


def inner_product(name: str, bottom: str, weight: Array, bias: Array | None, form: str = "shape") -> bytes:
    """An InnerProduct whose ``weight`` is (out, in)."""
    settings = integer(1, len(weight)) + (integer(2, 0) if bias is None else b"")
    blobs = [field(7, blob(value, form)) for value in (weight, bias) if value is not None]
    return layer(name, "InnerProduct", bottom, name, field(117, settings), *blobs)


# --- nets ---

rng = np.random.default_rng(5)
W1, B1, W2, B2 = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 4), 5, (3, 5), 3))
SLOPES = np.array([0.25, -0.5, 0.125, 2.0, 0.0], np.float32)
X = rng.standard_normal((7, 4)).astype(np.float32)

PROTOTXT = """
name: "a net"  # with a comment
layer {
  name: 'data' type: "Input" top: "data"
  input_param { shape: { dim: 1 dim: 4 } }
}
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param < num_output: 0x5; weight_filler { type: "xavier" }, bias_filler { value: .5f } >
}
layer { name: "slopes" type: "PReLU" bottom: "ip1" top: "ip1" }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" dropout_param { dropout_ratio: 0.25 } }
layer { name: "ip2" type: "Inner" "Product" bottom: ["ip1"] top: "ip2" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" include { phase: TRAIN } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" include: { phase: TEST } }
"""


def trained(form: str = "shape") -> bytes:
    """The caffemodel of `PROTOTXT`."""
    parts = [
        field(1, "a net"),
        field(100, field(1, "data") + field(2, "Input") + field(4, "data")),
        inner_product("ip1", "data", W1, B1, form),
        layer("slopes", "PReLU", "ip1", "ip1", field(7, blob(SLOPES, form))),
        layer("drop", "Dropout", "ip1", "ip1", field(108, float32(1, 0.25))),
        inner_product("ip2", "ip1", W2, B2, form),
        layer("prob", "Softmax", "ip2", "prob"),
    ]
    return b"".join(parts)


def expected(x: Array) -> Array:
    x = x.astype(np.float64)
    hidden = x @ W1.T + B1
    logits = np.where(hidden > 0, hidden, hidden * SLOPES) @ W2.T + B2
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("form", ["shape", "legacy", "unpacked", "double"])
@pytest.mark.parametrize("described", [True, False])
def test_outputs_are_those_of_the_weights(form: str, described: bool, tmp_path: Path) -> None:
    weights = written(tmp_path / "net.caffemodel", trained(form))
    net = written(tmp_path / "net.prototxt", PROTOTXT)
    model = rl.load(net, weights=weights) if described else rl.load(weights)
    kinds = [type(each).__name__ for each in model.layers]
    assert kinds == ["Dense", "PReLU", "Dropout", "Dense", "Softmax"]
    assert model.layers[2].rate == 0.25
    np.testing.assert_array_equal(model.params["0.weight"], W1.T)
    np.testing.assert_allclose(model(X), expected(X), rtol=2e-6, atol=1e-7)


def test_doubles_stay_doubles(tmp_path: Path) -> None:
    weight = np.array([[1 / 3, 2 / 3]])
    path = written(tmp_path / "n.caffemodel", inner_product("ip", "x", weight, None, "double"))
    assert rl.load(path, dtype=np.float64).params["0.weight"][0, 0] == 1 / 3
    assert rl.load(path).params["0.weight"].dtype == np.float32


def test_transposed_weights(tmp_path: Path) -> None:
    settings = integer(1, 5) + integer(2, 0) + integer(6, 1)
    path = written(
        tmp_path / "n.caffemodel",
        layer("ip", "InnerProduct", "x", "y", field(117, settings), field(7, blob(W1.T))),
    )
    np.testing.assert_allclose(rl.load(path)(X), X @ W1.T, rtol=1e-5, atol=1e-6)


def test_layers_of_the_second_generation(tmp_path: Path) -> None:
    text = """
    input: "data" input_dim: 10 input_dim: 4 input_dim: 1 input_dim: 1
    layers { name: "ip1" type: INNER_PRODUCT bottom: "data" top: "ip1" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
             weight_decay: 0 inner_product_param { num_output: 5 } }
    layers { name: "relu" type: RELU bottom: "ip1" top: "ip1" relu_param { negative_slope: 0.1 engine: CAFFE } }
    """
    binary = field(
        2,
        integer(5, 14) + field(2, "data") + field(3, "ip1") + field(4, "ip1") + field(17, integer(1, 5))
        + field(6, blob(W1, "legacy")) + field(6, blob(B1, "legacy")) + float32(7, 1) + float32(7, 2),
    )  # fmt: skip
    binary += field(2, integer(5, 18) + field(2, "ip1") + field(3, "ip1") + field(30, float32(1, 0.1)))
    weights = written(tmp_path / "net.caffemodel", binary)
    for model in (rl.load(weights), rl.load(written(tmp_path / "n.prototxt", text), weights=weights)):
        hidden = X @ W1.T + B1
        np.testing.assert_allclose(
            model(X), np.where(hidden > 0, hidden, hidden * np.float32(0.1)), rtol=1e-5
        )


def test_splits_that_caffe_inserts_and_layers_that_it_ignores(tmp_path: Path) -> None:
    parts = [
        field(100, field(1, "d") + field(2, "Data") + field(4, "data") + field(4, "label")),
        field(100, field(1, "s") + field(2, "Split") + field(3, "label") + field(4, "l0") + field(4, "l1")),
        inner_product("ip", "data", W1, B1),
        field(100, field(1, "t") + field(2, "Split") + field(3, "ip") + field(4, "i0") + field(4, "i1")),
        field(100, field(1, "a") + field(2, "Accuracy") + field(3, "i0") + field(3, "l0") + field(4, "acc")),
        field(
            100,
            field(1, "e") + field(2, "EuclideanLoss") + field(3, "i1") + field(3, "l1") + field(4, "loss"),
        ),
    ]
    model = rl.load(written(tmp_path / "n.caffemodel", b"".join(parts)))
    np.testing.assert_allclose(model(X), X @ W1.T + B1, rtol=1e-5, atol=1e-6)


def one(settings: str, kind: str = "InnerProduct", dims: Iterable[int] = (1, 40)) -> str:
    shape = " ".join(f"dim: {length}" for length in dims)
    return (
        f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}\n'
        f'layer {{ name: "one" type: "{kind}" bottom: "x" top: "y" {settings} }}'
    )


@pytest.mark.parametrize(
    ("filler", "mean", "deviation"),
    [
        ('type: "constant" value: 0.5', 0.5, 0.0),
        ('type: "gaussian" mean: 1 std: 0.25', 1.0, 0.25),
        ('type: "uniform" min: -1 max: 3', 1.0, 4 / 12**0.5),
        ('type: "xavier"', 0.0, (1 / 40) ** 0.5),
        ('type: "xavier" variance_norm: FAN_OUT', 0.0, (1 / 500) ** 0.5),
        ('type: "xavier" variance_norm: AVERAGE', 0.0, (1 / 270) ** 0.5),
        ('type: "msra"', 0.0, (2 / 40) ** 0.5),
        ('type: "msra" variance_norm: 1', 0.0, (2 / 500) ** 0.5),
        ('type: "msra" variance_norm: AVERAGE', 0.0, (2 / 270) ** 0.5),
    ],
)
@pytest.mark.parametrize("transpose", [False, True])
def test_fillers(filler: str, mean: float, deviation: float, transpose: bool, tmp_path: Path) -> None:
    """Caffe takes the second axis of the stored blob for the input's, also where it is transposed."""
    swapped = transpose and deviation and "AVERAGE" not in filler and ("xavier" in filler or "msra" in filler)
    if swapped:
        numerator = 2 if "msra" in filler else 1
        deviation = (numerator / (500 if deviation == (numerator / 40) ** 0.5 else 40)) ** 0.5
    flag = "true" if transpose else "false"
    text = one(f"inner_product_param {{ num_output: 500 transpose: {flag} weight_filler {{ {filler} }} }}")
    weight = rl.load(written(tmp_path / "n.prototxt", text), rng=0).params["0.weight"]
    assert weight.shape == (40, 500)
    np.testing.assert_allclose(weight.mean(), mean, atol=4 * deviation / weight.size**0.5 + 1e-7)
    np.testing.assert_allclose(weight.std(), deviation, rtol=0.03, atol=1e-7)


def test_positive_unitball_and_fillers_of_biases(tmp_path: Path) -> None:
    fillers = 'weight_filler { type: "positive_unitball" } bias_filler { type: "msra" }'
    text = one(f"inner_product_param {{ num_output: 3000 {fillers} }}")
    params = rl.load(written(tmp_path / "n.prototxt", text), rng=0).params
    np.testing.assert_allclose(params["0.weight"].sum(axis=0), 1.0, rtol=1e-5)
    assert (params["0.weight"] > 0).all()
    # Caffe sees one input for each number of a blob with one axis.
    np.testing.assert_allclose(params["0.bias"].std(), 2**0.5, rtol=0.06)


# --- what is refused, and how it is told ---

IP = "inner_product_param { num_output: 2 }"
WRONG = {
    "another layer": (one("", "Convolution"), "layer 'one' .Convolution.: .*expected one of InnerProduct"),
    "a mistyped layer": (one("", "InerProduct"), "did you mean 'InnerProduct'"),
    "a mistyped field": (one("relu_param { negative_slop: 1 }", "ReLU"), "line 2.*did you mean 'negative_slope'"),
    "a mistyped enum": (one("include { phase: TRIAN }", "ReLU"), "did you mean 'TRAIN'"),
    "no num_output": (one(""), "num_output is 0"),
    "too many parameters": (one("inner_product_param { num_output: 4000000000 }"), "more than 67108864 parameters"),
    "two branches": (one(IP) + 'layer { type: "ReLU" bottom: "x" top: "z" }', "branches"),
    "a sum": (one(IP) + 'layer { type: "Eltwise" bottom: "x" bottom: "y" top: "z" }', ".Eltwise."),
    "an unknown blob": (one(IP) + 'layer { type: "ReLU" bottom: "yy" top: "z" }', "no layer before.*mean 'y'"),
    "no layers": ('name: "empty"', "no layer that computes"),
    "an unknown size": ('input: "x" layer { type: "InnerProduct" bottom: "x" top: "y" ' + IP + " }", "in_features="),
    "a softmax over channels": (one("", "Softmax", (1, 3, 4, 4)), "axis is 1, expected the last one, 3"),
    "slopes per channel": (one("", "PReLU", (1, 3, 4, 4)), "one slope per channel"),
    "an axis": (one("inner_product_param { num_output: 2 axis: 2 }", dims=(1, 3, 4, 4)), "from axis 2"),
    "an unknown filler": (one(f"{IP[:-1]} weight_filler {{ type: 'bilinear' }} }}"), "filler 'bilinear'"),
    "a sparse filler": (one(f"{IP[:-1]} weight_filler {{ sparse: 3 }} }}"), "sparse: 3"),
    "both rules": (one(IP + " include { } exclude { }"), "both to include and to exclude"),
    "a field twice": (one(IP + IP), "inner_product_param is given twice"),
    "NaN": (one("relu_param { negative_slope: nan }", "ReLU"), "negative_slope is nan"),
    "unscaled dropout": (one("dropout_param { scale_train: false }", "Dropout"), "scale_train"),
    "the first format": ('layers { layer { name: "ip" type: "innerproduct" } }', "upgrade_net_proto_text"),
    "deep messages": ("layer { a_param " + "{ a " * 5000, "nested more than 32 deep"),
    "no closing mark": ("layer {", "the end of the file"),
    "a list of one value": ('name: ["a"]', "not repeated"),
    "a scalar without a colon": ("name 'a'", "':' before a value"),
    "a number that is none": ("input_dim: 12abc", "cannot be read"),
    "an integer that is too long": ("input_dim: 9223372036854775808", "input_dim as int"),
    "a digit for text": ("name: 5", "name as string"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_told(case: str, tmp_path: Path) -> None:
    text, message = WRONG[case]
    path = written(tmp_path / "n.prototxt", text)
    with pytest.raises(ValueError, match=message) as caught:
        rl.load(path)
    assert str(caught.value).startswith(str(path))


HARM = {
    "a group": (b"\x0b" * 100, "wire type 3"),
    "field 0": (b"\x00\x01", "field 0"),
    "a length beyond the end": (b"\xa2\x06" + varint(2**62), "cut off"),
    "a varint without end": (b"\x08" + b"\xff" * 20, "no number"),
    "a million layers": (b"\xa2\x06\x00" * 1_100_000, "more than 1000000 fields"),
    "a blob that claims a terabyte": (
        layer("ip", "InnerProduct", "x", "y", field(117, integer(1, 5) + integer(2, 0)),
              field(7, field(7, field(1, varint(2**40) + b"\x05")))),
        "holds 0 numbers",
    ),
    "a blob of many axes": (
        layer("ip", "InnerProduct", "x", "y", field(117, integer(1, 5) + integer(2, 0)),
              field(7, field(7, field(1, b"\x01" * 50)) + field(5, b"\0\0\0\0"))),
        "claims 50 axes",
    ),
    "NaN": (inner_product("ip", "x", np.full((2, 2), np.nan), None), "4 of 4 numbers"),
    "a missing bias": (
        layer("ip", "InnerProduct", "x", "y", field(117, integer(1, 5)), field(7, blob(W1))),
        "1 blobs, expected 2",
    ),
    "an unknown layer type": (field(2, integer(5, 99)), "type is 99"),
}  # fmt: skip


@pytest.mark.parametrize("case", HARM)
def test_caffemodels_that_are_made_to_do_harm(case: str, tmp_path: Path) -> None:
    data, message = HARM[case]
    with pytest.raises(ValueError, match=message):
        rl.load(written(tmp_path / "n.caffemodel", data))


def test_weights_must_hold_every_layer_in_its_shape(tmp_path: Path) -> None:
    net = written(tmp_path / "net.prototxt", PROTOTXT)
    missing = written(tmp_path / "a.caffemodel", inner_product("ip1", "x", W1, B1))
    with pytest.raises(ValueError, match=r"'slopes' \(PReLU\): it has 0 blobs"):
        rl.load(net, weights=missing)
    other = written(tmp_path / "b.caffemodel", inner_product("ip1", "x", W2, B2))
    with pytest.raises(ValueError, match=r"shape \(3, 5\), expected \(5, 4\)"):
        rl.load(net, weights=other)


# --- solvers ---

SOLVERS = {
    "sgd": "base_lr: 0.1 type: 'SGD'",
    "sgd_slope0.01": "base_lr: 0.1",
    "sgd_slope-0.2_outplace": "base_lr: 0.1 solver_type: SGD",
    "sgd_mom0.9_wd5e-4": "base_lr: 0.05 momentum: 0.9 weight_decay: 0.0005",
    "sgd_mom0.9_wdL1_1e-3": "base_lr: 0.05 momentum: 0.9 weight_decay: 1e-3 regularization_type: 'L1'",
    "sgd_mom0.9_clip0.2": "base_lr: 0.05 momentum: 0.9 clip_gradients: 0.2",
    "nesterov_mom0.9_wd5e-4": "base_lr: 0.05 momentum: 0.9 weight_decay: 5e-4 type: 'Nesterov'",
    "adagrad_lr0.05": "base_lr: 0.05 type: 'AdaGrad'",
    "rmsprop_lr0.01_decay0.98": "base_lr: 0.01 type: 'RMSProp' rms_decay: 0.98",
    "adadelta_lr1_mom0.95_delta1e-6": "base_lr: 1 type: 'AdaDelta' momentum: 0.95 delta: 1e-6",
    "adam_lr0.01": "base_lr: 0.01 solver_type: ADAM momentum: 0.9",
    "sgd_mom0.9_step_g0.5_s20": "base_lr: 0.05 momentum: 0.9 lr_policy: 'step' gamma: 0.5 stepsize: 20",
    "sgd_mom0.9_exp_g0.97": "base_lr: 0.05 momentum: 0.9 lr_policy: 'exp' gamma: 0.97",
    "sgd_mom0.9_multistep_g0.5_10_30_40": "base_lr: 0.05 momentum: 0.9 lr_policy: 'multistep' gamma: 0.5 "
    "stepvalue: 10 stepvalue: 30 stepvalue: 40",
}

TRAINING_NET = """
layer { name: "data" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "list" batch_size: 16 } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" %s inner_product_param { num_output: 8 } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "r" relu_param { negative_slope: %s } }
layer { name: "ip2" type: "InnerProduct" bottom: "r" top: "ip2" inner_product_param { num_output: 4 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "a" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    with np.load(RECORDED) as archive:
        return {name.removeprefix("traj__"): archive[name] for name in archive.files}


@pytest.mark.parametrize("run", SOLVERS)
def test_a_solver_reproduces_caffes_run(recorded: dict[str, Any], run: str, tmp_path: Path) -> None:
    """Losses, rates and final weights over 50 iterations, from the text of a net and of a solver, in float64."""
    slope = next((each for each in ("0.01", "-0.2") if f"slope{each}" in run), "0")
    written(tmp_path / "net.prototxt", TRAINING_NET % ("", slope))
    policy = "" if "lr_policy" in SOLVERS[run] else "lr_policy: 'fixed'"
    text = f'net: "elsewhere/net.prototxt" {SOLVERS[run]} {policy} max_iter: 50 display: 0 solver_mode: CPU'
    initial = [recorded[f"{name}_init"] for name in ("W1", "b1", "W2", "b2")]
    weights = inner_product("ip1", "data", *initial[:2], "double") + inner_product(
        "ip2", "r", *initial[2:], "double"
    )
    solver = read_solver(
        written(tmp_path / "solver.prototxt", text),
        weights=written(tmp_path / "w.caffemodel", weights),
        dtype=np.float64,
    )
    assert solver.max_iter == 50
    trainer = solver.trainer()
    values, rates = [], []
    for x, labels in zip(recorded["X"].astype(np.float64), recorded["labels"], strict=True):
        values.append(trainer.step(x, labels))
        rates.append(solver.optimizer.last_learning_rate)
    np.testing.assert_allclose(values, recorded[f"{run}__f64__loss"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(rates, recorded[f"{run}__f64__lr"], rtol=1e-15)
    for name, key in (("W1", "0.weight"), ("b2", "2.bias")):
        final = recorded[f"{run}__f64__final__{name}"].T
        np.testing.assert_allclose(solver.model.params[key], final, rtol=0, atol=1e-10)


def test_every_recorded_run_is_tried(recorded: dict[str, Any]) -> None:
    assert {name.split("__")[0] for name in recorded if name.endswith("__loss")} == SOLVERS.keys()


def solver_of(folder: Path, settings: str, param: str = "") -> Any:
    written(folder / "net.prototxt", TRAINING_NET % (param, "0"))
    return read_solver(written(folder / "s.prototxt", f"net: 'net.prototxt' {settings}"), in_features=6)


@pytest.mark.parametrize(
    ("settings", "schedule"),
    [
        ("lr_policy: 'inv' gamma: 0.5 power: 0.75", rl.schedules.Inverse(0.5, 0.5, 0.75)),
        ("lr_policy: 'poly' power: 2 max_iter: 100", rl.schedules.Polynomial(0.5, 2.0, 100)),
        ("lr_policy: 'sigmoid' gamma: -0.125 stepsize: 30", rl.schedules.Sigmoid(0.5, -0.125, 30)),
    ],
)
def test_further_policies(settings: str, schedule: Any, tmp_path: Path) -> None:
    found = solver_of(tmp_path, f"base_lr: 0.5 {settings}").optimizer.learning_rate
    assert repr(found) == repr(schedule)


def test_what_else_a_solver_holds(tmp_path: Path) -> None:
    spec = "param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
    solver = solver_of(tmp_path, "base_lr: 0.5 lr_policy: 'fixed' iter_size: 4 random_seed: 3", spec)
    assert dict(solver.optimizer.multipliers) == {"0.weight": (1.0, 1.0), "0.bias": (2.0, 0.0)}
    assert (solver.accumulate, solver.random_seed, solver.clip_norm) == (4, 3, None)
    assert solver.trainer().accumulate == 4
    again = solver_of(tmp_path, "base_lr: 0.5 lr_policy: 'fixed' random_seed: 3")
    np.testing.assert_array_equal(solver.model.flat_params, again.model.flat_params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("lr_policy: 'stepp'", "did you mean 'step'"),
        ("", "lr_policy is None"),
        ("lr_policy: 'fixed' type: 'Adamm'", "did you mean 'Adam'"),
        ("lr_policy: 'fixed' type: 'AdaGrad' momentum: 0.5", "AdaGrad has none"),
        ("lr_policy: 'fixed' type: 'SGD' solver_type: ADAM", "both type and solver_type"),
        ("lr_policy: 'fixed' regularization_type: 'L3'", "expected L1 or L2"),
        ("lr_policy: 'fixed' clip_gradients: 0", "clip_gradients is 0"),
        ("lr_policy: 'fixed' iter_size: 0", "accumulate is 0"),
        ("lr_policy: 'step' stepsize: 0", "every is 0"),
        ("lr_policy: 'fixed' momentum: 1", "below 1"),
        ("lr_policy: 'fixed' train_net: 'other'", "expected one of train_net_param"),
    ],
)
def test_wrong_solvers(settings: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        solver_of(tmp_path, settings)


def test_a_net_that_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path / "s.prototxt", "net: 'nowhere.prototxt' lr_policy: 'fixed'")
    with pytest.raises(ValueError, match="pass net="):
        read_solver(path)


@pytest.mark.parametrize(
    ("kind", "settings", "loss"),
    [
        ("SoftmaxWithLoss", "", losses.SoftmaxCrossEntropy()),
        ("SoftmaxWithLoss", "loss_param { normalize: false }", losses.SoftmaxCrossEntropy(normalization="batch_size")),
        ("SoftmaxWithLoss", "loss_param { ignore_label: -1 normalization: FULL }",
         losses.SoftmaxCrossEntropy(ignore_label=-1, normalization="full")),
        ("SigmoidCrossEntropyLoss", "", losses.SigmoidCrossEntropy()),
        ("SigmoidCrossEntropyLoss", "loss_param { normalize: true }",
         losses.SigmoidCrossEntropy(normalization="valid")),
        ("EuclideanLoss", "", losses.SquaredError(0.5, "batch_size")),
        ("EuclideanLoss", "loss_weight: 3", losses.SquaredError(1.5, "batch_size")),
    ],
)  # fmt: skip
def test_losses(kind: str, settings: str, loss: Any, tmp_path: Path) -> None:
    net = TRAINING_NET % ("", "0")
    net = net.replace('type: "SoftmaxWithLoss"', f'type: "{kind}" {settings}')
    text = f"train_net_param {{ {net} }} base_lr: 1 lr_policy: 'fixed'"
    assert read_solver(written(tmp_path / "s.prototxt", text), in_features=6).loss.config() == loss.config()


# --- prototxt out ---


def every_layer() -> rl.Sequential:
    return rl.Sequential(
        rl.Dense(4, 6, weight_init="glorot_normal"), rl.ReLU(0.1), rl.Dropout(0.25), rl.Dense(6, 5, bias=False),
        rl.PReLU(5), rl.ELU(0.5), rl.Dense(5, 5, weight_init="lecun_uniform", bias_init=0.5), rl.PReLU(1), rl.Tanh(),
        rl.Dense(5, 3, weight_init="he_uniform"), rl.Sigmoid(), rl.Softmax(), rng=0,
    )  # fmt: skip


def test_a_written_net_reads_as_the_same_layers(tmp_path: Path) -> None:
    model = every_layer()
    model.save(tmp_path / "net.prototxt", name='a "name"\n', batch=8)
    back = rl.load(tmp_path / "net.prototxt", rng=1)
    assert [type(each) for each in back.layers] == [type(each) for each in model.layers]
    for ours, theirs in zip(model.layers, back.layers, strict=True):
        for name in ("in_features", "out_features", "features", "bias", "rate"):
            assert getattr(ours, name, None) == getattr(theirs, name, None)
    # Slopes are float32 in Caffe, and the text is short.
    assert back.layers[1].negative_slope == np.float32(0.1)
    assert "negative_slope: 0.1\n" in (tmp_path / "net.prototxt").read_text()
    for index in (0, 6, 9):
        ours, theirs = (each.params[f"{index}.weight"] for each in (model, back))
        np.testing.assert_allclose(theirs.std(), ours.std(), rtol=0.5)
    np.testing.assert_array_equal(back.params["6.bias"], np.float32(0.5))
    second = tmp_path / "second.prototxt"
    back.save(second, name='a "name"\n', batch=8)
    assert second.read_text() == (tmp_path / "net.prototxt").read_text()


def test_a_net_with_its_loss(tmp_path: Path) -> None:
    loss = losses.SoftmaxCrossEntropy(ignore_label=2)
    every_layer().save(tmp_path / "net.prototxt", loss=loss)
    text = "net: 'net.prototxt' base_lr: 1 lr_policy: 'fixed'"
    solver = read_solver(written(tmp_path / "solver.prototxt", text))
    assert solver.loss.config() == loss.config()
    assert type(solver.model.layers[-1]) is rl.Sigmoid


@pytest.mark.parametrize(
    ("last", "options", "message"),
    [
        (rl.LogSoftmax(), {}, "layer 1.*Caffe has no such layer"),
        (rl.Threshold(0.0, 0.0), {}, "Caffe has no such layer"),
        (rl.ReLU(), {"loss": losses.SquaredError()}, "EuclideanLoss divides by the batch"),
        (rl.ReLU(), {"loss": losses.SoftmaxCrossEntropy(label_smoothing=0.5)}, "no smoothing"),
        (rl.ReLU(), {"loss": len}, "Caffe has no such loss"),
    ],
)
def test_what_caffe_cannot_express(last: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        rl.Sequential(rl.Dense(2, 2), last).save(tmp_path / "n.prototxt", **options)
    assert not list(tmp_path.iterdir())


def test_a_size_that_is_missing_is_asked_for_in_python_and_on_the_command_line(tmp_path: Path) -> None:
    """`inspect` has no option for it and prints what `load` says."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        'input: "d" layer { name: "f" type: "InnerProduct" bottom: "d" top: "f" '
        "inner_product_param { num_output: 2 } }"
    )
    with pytest.raises(ValueError, match=r"in_features= .*--input-features"):
        rl.load(path)


@pytest.mark.parametrize("suffix", [".prototxt", ".caffemodel"])
@pytest.mark.parametrize("slope", [3.4028235677973366e38, -1e39, 1e300])
def test_a_number_that_no_float32_holds_is_not_written(slope: float, suffix: str, tmp_path: Path) -> None:
    # The first rounds to infinity, though it is below 3.40282357e38.
    model = rl.Sequential(rl.Dense(2, 2), rl.ReLU(slope), rng=0)
    with pytest.raises(ValueError, match=r"negative_slope is .*float32"):
        model.save(tmp_path / f"m{suffix}")
    assert not list(tmp_path.iterdir())


def test_the_largest_float32_is_written(tmp_path: Path) -> None:
    largest = float(np.finfo(np.float32).max)
    rl.Sequential(rl.Dense(2, 2), rl.ReLU(largest), rng=0).save(tmp_path / "m.prototxt")
    assert rl.load(tmp_path / "m.prototxt")[1].negative_slope == largest
