"""Sequential: construction, contiguous parameters, inference, the training pass, prediction, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from relu_layers import layers as rl
from relu_layers.model import Sequential, mlp
from relu_layers.ops import reference


def build(*layers, dtype=np.float64, rng=0):
    return Sequential(*layers, dtype=dtype, rng=rng, ops=reference)


def small(dtype=np.float64, rng=0):
    return build(rl.Dense(5, 4), rl.ReLU(0.01), rl.Dense(4, 3), dtype=dtype, rng=rng)


@pytest.fixture
def x():
    return np.random.default_rng(42).standard_normal((7, 5))


def by_hand(model, x):
    p = model.params
    hidden = x @ p["0.weight"] + p["0.bias"]
    return np.where(hidden > 0, hidden, 0.01 * hidden) @ p["2.weight"] + p["2.bias"]


# --- construction ---


def test_a_model_is_a_sequence_of_its_layers():
    model = small()
    assert len(model) == 3
    assert list(model) == list(model.layers)
    assert model[0] is model.layers[0]
    assert model[-1] is model.layers[2]
    assert model[1:] == model.layers[1:]
    assert isinstance(model[:2], tuple)
    with pytest.raises(IndexError):
        model[3]


@pytest.mark.parametrize(
    ("construct", "error", "words"),
    [
        (lambda: build(), ValueError, "no layers"),
        (lambda: build([rl.Dense(2, 3)]), TypeError, r"Sequential\(\*layers\)"),
        (
            lambda: build(rl.Dense(2, 3), rl.ReLU),
            TypeError,
            r"layer 1 is the class ReLU; pass ReLU\(\.\.\.\)",
        ),
        (lambda: build(rl.Dense(2, 3), "relu"), TypeError, "layer 1 is a str without forward, backward"),
        (
            lambda: build(rl.Dense(784, 128), rl.ReLU(), rl.Dense(64, 10)),
            ValueError,
            r"layer 2, Dense\(64, 10\) takes 64 features but layer 0, Dense\(784, 128\) gives 128",
        ),
        (lambda: build(rl.Dense(2, 3), rl.PReLU(4)), ValueError, r"layer 1, PReLU\(4\) takes 4 features"),
        (lambda: build(rl.PReLU(4), rl.Dense(3, 2)), ValueError, r"layer 0, PReLU\(4\) gives 4"),
        (lambda: build(rl.Dense(2, 3), dtype=np.int32), TypeError, "expected np.float32 or np.float64"),
        (lambda: build(rl.Dense(2, 3), dtype=">f4"), TypeError, "expected np.float32 or np.float64"),
        (lambda: build(rl.Dense(2, 3), dtype=None), TypeError, "dtype is None"),
        (lambda: build(small()), TypeError, "itself a model"),
        (lambda: mlp([3]), ValueError, "at least two"),
        (lambda: mlp([3, 0, 2]), ValueError, r"sizes\[1\] is 0"),
    ],
)
def test_what_cannot_be_built_says_why(construct, error, words):
    with pytest.raises(error, match=words):
        construct()


def test_one_layer_object_serves_one_place_in_one_model():
    relu = rl.ReLU()
    with pytest.raises(ValueError, match="appears twice"):
        build(rl.Dense(2, 2), relu, rl.Dense(2, 2), relu)
    model = small()
    with pytest.raises(ValueError, match="belongs to another model"):
        build(*model.layers)
    build(*copy.deepcopy(model).layers[:1])
    layers = model.layers
    del model
    build(*layers)


def test_mlp_is_the_written_out_model(x):
    a = mlp([5, 4, 3], negative_slope=0.01, dtype=np.float64, rng=3, ops=reference)
    b = build(rl.Dense(5, 4), rl.ReLU(0.01), rl.Dense(4, 3), rng=3)
    assert repr(a) == repr(b)
    np.testing.assert_array_equal(a.flat_params, b.flat_params)
    assert repr(mlp([2, 1], ops=reference)) == "Sequential(Dense(2, 1), dtype=np.float32)"


def test_the_seed_decides_and_both_dtypes_start_from_the_same_numbers():
    single, double = small(np.float32, 5), small(np.float64, 5)
    np.testing.assert_array_equal(single.flat_params, double.flat_params.astype(np.float32))
    assert not np.array_equal(double.flat_params, small(rng=6).flat_params)
    with_dropout = build(rl.Dense(5, 4), rl.Dropout(0.5), rl.ReLU(0.01), rl.Dense(4, 3), rng=5)
    np.testing.assert_array_equal(with_dropout.flat_params, double.flat_params)
    keys = {build(rl.Dropout(0.5), rng=5).layers[0].state()["key"] for _ in range(2)}
    assert len(keys) == 1


def test_values_that_a_layer_has_are_kept():
    layer = rl.Dense(2, 3)
    layer.params["weight"][...] = 7
    model = build(layer)
    assert (model.params["0.weight"] == 7).all()
    wide = rl.Dense(2, 3)
    wide.initialize(0, np.float64)
    with pytest.raises(TypeError, match="is float64 but the model is float32"):
        build(wide, dtype=np.float32)
    assert np.shares_memory(layer.params["weight"], model.flat_params)
    with pytest.raises(TypeError, match=r"model\.astype"):
        layer.initialize(dtype=np.float32)


# --- parameters ---


def test_parameters_are_views_of_one_contiguous_array():
    model = small()
    for flat, mapping in ((model.flat_params, model.params), (model.flat_grads, model.grads)):
        assert list(mapping) == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert flat.shape == (5 * 4 + 4 + 4 * 3 + 3,)
        assert flat.flags.c_contiguous
        flat[...] = np.arange(flat.size)
        together = np.concatenate([array.ravel() for array in mapping.values()])
        np.testing.assert_array_equal(together, np.arange(flat.size))
        assert all(np.shares_memory(array, flat) for array in mapping.values())
    assert model.layers[0].params["weight"] is model.params["0.weight"]


def test_assignment_copies_after_checking():
    model = small()
    view = model.params["0.bias"]
    model.params["0.bias"] = np.arange(4.0)
    assert model.params["0.bias"] is view
    np.testing.assert_array_equal(model.flat_params[20:24], np.arange(4.0))
    model.params["0.bias"] -= 0.5 * np.ones(4)
    np.testing.assert_array_equal(view, np.arange(4.0) - 0.5)
    for value, error in ((np.zeros(3), ValueError), (np.zeros(4, np.float32), TypeError), (0.0, TypeError)):
        with pytest.raises(error, match=r"params\['0.bias'\]"):
            model.params["0.bias"] = value
    with pytest.raises(KeyError, match=r"did you mean '0.bias'"):
        model.params["0.bais"] = np.zeros(4)
    for delete in (lambda p: p.__delitem__("0.bias"), lambda p: p.pop("0.bias"), lambda p: p.clear()):
        with pytest.raises(TypeError, match="cannot be deleted"):
            delete(model.params)
    np.testing.assert_array_equal(view, np.arange(4.0) - 0.5)


def test_load_params_is_all_or_nothing():
    model, other = small(rng=0), small(rng=1)
    before = model.flat_params.copy()
    good = {key: array.copy() for key, array in other.params.items()}
    bad = [
        (good | {"2.bias": np.zeros(9)}, ValueError, "2.bias"),
        (good | {"2.bias": np.zeros(3, np.float32)}, TypeError, "2.bias"),
        (good | {"3.bias": np.zeros(3)}, KeyError, "3.bias"),
        ({"0.weight": good["0.weight"]}, KeyError, "0.bias, 2.weight, 2.bias missing"),
    ]
    for mapping, error, words in bad:
        with pytest.raises(error, match=words):
            model.load_params(mapping)
        np.testing.assert_array_equal(model.flat_params, before)
    model.load_params({"0.bias": np.ones(4), "9.x": np.ones(1)}, strict=False)
    assert (model.params["0.bias"] == 1).all()
    model.load_params(other.params)
    np.testing.assert_array_equal(model.flat_params, other.flat_params)


def test_load_params_takes_arrays_in_order():
    other = mlp([2, 3, 2], rng=1)
    model = mlp([2, 3, 2], rng=2)
    for kind in (list, tuple):
        model.flat_params[:] = 0
        model.load_params(kind(value.copy() for value in other.params.values()))
        np.testing.assert_array_equal(model.flat_params, other.flat_params)
    with pytest.raises(ValueError, match=r"got 3 arrays, expected 4: 0.weight, 0.bias, 2.weight, 2.bias"):
        model.load_params(list(other.params.values())[:3])
    with pytest.raises(ValueError, match=r"0\.weight.*got shape \(2,\)"):
        model.load_params(list(other.params.values())[::-1])
    np.testing.assert_array_equal(model.flat_params, other.flat_params)


def test_load_params_from_its_own_views_swapped():
    model = build(rl.Dense(2, 2, bias=False), rl.Dense(2, 2, bias=False))
    first, second = (array.copy() for array in model.params.values())
    model.load_params({"0.weight": model.params["1.weight"], "1.weight": model.params["0.weight"]})
    np.testing.assert_array_equal(model.params["0.weight"], second)
    np.testing.assert_array_equal(model.params["1.weight"], first)


# --- inference ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_call_is_the_formula(x, dtype):
    model = small(dtype)
    y = model(x.astype(dtype))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, by_hand(model, x), rtol=1e-13 if dtype == np.float64 else 1e-5, atol=1e-6)


def test_every_result_is_a_new_array(x):
    for model in (small(), build(rl.ReLU()), build(rl.Dropout(0.5)), build(rl.Dense(5, 3), rl.Dropout(0.1))):
        first, second = model(x), model(x)
        kept = first.copy()
        assert not np.shares_memory(first, second)
        assert not np.shares_memory(first, x)
        model(-x)
        np.testing.assert_array_equal(first, kept)


def test_out_is_strict_and_used(x):
    model = small()
    out = np.empty((7, 3))
    assert model(x, out) is out
    np.testing.assert_array_equal(out, model(x))
    for wrong in (np.empty((7, 4)), np.empty((6, 3)), np.empty((7, 3), order="F")):
        with pytest.raises(ValueError):
            model(x, out=wrong)
    with pytest.raises(TypeError):
        model(x, out=np.empty((7, 3), np.float32))
    only_dropout = build(rl.Dropout(0.5))
    same = np.empty_like(x)
    assert only_dropout(x, out=same) is same
    np.testing.assert_array_equal(same, x)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (
            np.ones((2, 5), np.float32),
            TypeError,
            r"x is float32, expected float64; pass x.astype\(np.float64\)",
        ),
        (np.ones((2, 5), int), TypeError, r"x.astype\(np.float64\)"),
        ([[1.0] * 5], TypeError, r"np.asarray\(x, dtype=np.float64\)"),
        (None, TypeError, "NoneType"),
        (np.ma.masked_array(np.ones((2, 5))), TypeError, "masked array; pass x.filled"),
        (np.ones(5), ValueError, r"x\[None, :\] \(layer 0, Dense\(5, 4\)\)"),
        (np.ones((2, 6)), ValueError, r"expected \(batch, 5\) \(layer 0, Dense\(5, 4\)\)"),
    ],
)
def test_strict_inputs_print_the_fix(value, error, words):
    with pytest.raises(error, match=words):
        small()(value)


def test_layouts_and_empty_batches(x):
    model = small()
    y = model(x)
    wide = np.zeros((7, 10))
    wide[:, ::2] = x
    for same in (np.asfortranarray(x), wide[:, ::2], x[::-1][::-1]):
        np.testing.assert_allclose(model(same), y, rtol=1e-14)
    assert model(x[:0]).shape == (0, 3)
    assert model(x.reshape(1, 7, 5)).shape == (1, 7, 3)


def test_summary_lists_shapes_counts_and_bytes():
    lines = small(np.float32).summary().splitlines()
    assert lines[2].split() == [
        "0",
        "Dense(5,",
        "4)",
        "(batch,",
        "4)",
        "weight",
        "(5,",
        "4),",
        "bias",
        "(4,)",
        "24",
        "96",
    ]
    assert lines[3].split() == ["1", "ReLU(0.01)", "(batch,", "4)", "-", "0", "0"]
    assert "39 parameters in float32: 156 bytes" in lines[-1]


# --- prediction ---


def test_predict_by_the_last_layer(x):
    logits = small()
    y = logits(x)
    np.testing.assert_array_equal(logits.predict(x), y.argmax(axis=1))
    exponential = np.exp(y)
    probabilities = exponential / exponential.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(logits.predict_proba(x), probabilities, rtol=1e-13)

    softmax = build(*copy.deepcopy(logits).layers, rl.Softmax())
    np.testing.assert_array_equal(softmax.predict(x), logits.predict(x))
    np.testing.assert_allclose(softmax.predict_proba(x), probabilities, rtol=1e-13)

    log_softmax = build(*copy.deepcopy(logits).layers, rl.LogSoftmax())
    np.testing.assert_array_equal(log_softmax.predict(x), logits.predict(x))
    np.testing.assert_allclose(log_softmax.predict_proba(x), probabilities, rtol=1e-13)
    over_rows = build(*copy.deepcopy(logits).layers, rl.LogSoftmax(0))
    np.testing.assert_array_equal(over_rows.predict(x), y.argmax(axis=0))
    np.testing.assert_allclose(over_rows.predict_proba(x), exponential / exponential.sum(axis=0), rtol=1e-13)

    binary = build(rl.Dense(5, 1), rl.Sigmoid())
    assert binary.predict(x).dtype.kind == "i"
    np.testing.assert_array_equal(binary.predict(x), binary(x) > 0.5)
    np.testing.assert_array_equal(binary.predict_proba(x), binary(x))

    values = build(rl.Dense(5, 1))
    np.testing.assert_array_equal(values.predict(x), values(x))
    np.testing.assert_allclose(values.predict_proba(x), 1 / (1 + np.exp(-values(x))), rtol=1e-13)


def test_predict_converts_once():
    model = small(np.float32)
    x = np.arange(10).reshape(2, 5)
    expected = model(x.astype(np.float32)).argmax(axis=1)
    for given in (x, x.astype(np.float64), x.tolist(), x.astype(bool) * 0 + x):
        np.testing.assert_array_equal(model.predict(given), expected)
    with pytest.raises(TypeError, match="numbers that convert"):
        model.predict(np.array([["a"] * 5]))


def test_predict_refuses_frames():
    frame = pytest.importorskip("polars").DataFrame({"a": [1.0]})
    with pytest.raises(TypeError, match=r"x is a DataFrame; pass x.to_numpy\(\)"):
        build(rl.Dense(1, 1)).predict(frame)


# --- training pass ---


def test_backward_agrees_with_central_differences(x, numerical_gradient):
    model = build(
        rl.Dense(5, 6), rl.Tanh(), rl.Dense(6, 6), rl.PReLU(6), rl.Dropout(0.3), rl.Dense(6, 3), rl.Softmax()
    )
    dropout = model.layers[4]
    state = dropout.state()
    dy = np.random.default_rng(9).standard_normal((7, 3))

    def value():
        dropout.load_state(state)
        return float(np.sum(dy * model.forward(x, training=True)))

    value()
    dx = model.backward(dy)
    grads = model.flat_grads.copy()
    numerical = numerical_gradient(value, model.flat_params)
    assert np.abs(grads - numerical).max() <= 1e-8 * np.abs(numerical).max()
    numerical = numerical_gradient(value, x)
    assert np.abs(dx - numerical).max() <= 1e-8 * np.abs(numerical).max()


def test_training_results_are_new_arrays(x):
    model = small()
    y = model.forward(x, training=True)
    np.testing.assert_array_equal(y, model.forward(x))
    y = model.forward(x, training=True)
    y[...] = np.nan
    dx = model.backward(np.ones((7, 3)))
    assert np.isfinite(dx).all()
    kept = dx.copy()
    model.forward(x, training=True)
    model.backward(-np.ones((7, 3)))
    np.testing.assert_array_equal(dx, kept)


def test_backward_leaves_dy_alone(x):
    model = build(rl.ReLU(), rl.Tanh(), rl.Softmax())
    model.forward(x, training=True)
    dy = np.random.default_rng(0).standard_normal(x.shape)
    kept = dy.copy()
    model.backward(dy)
    np.testing.assert_array_equal(dy, kept)


@pytest.mark.parametrize("before", ["nothing", "backward", "failed forward"])
def test_backward_without_a_training_forward_is_an_error(x, before):
    model = small()
    dy = np.ones((7, 3))
    if before != "nothing":
        model.forward(x, training=True)
    if before == "backward":
        model.backward(dy)
    elif before == "failed forward":
        with pytest.raises(ValueError):
            model.forward(x[:, :2], training=True)
    with pytest.raises(RuntimeError, match="must follow forward"):
        model.backward(dy)


def test_errors_name_the_layer(x):
    model = small()
    model.forward(x, training=True)
    with pytest.raises(ValueError, match=r"\(layer 2, Dense\(4, 3\)\)$"):
        model.backward(np.ones((7, 2)))
    np.testing.assert_array_equal(model.backward(np.ones((7, 3))).shape, x.shape)


def test_the_trainers_pass_is_the_public_one(x):
    model = build(rl.Tanh(), rl.Dense(5, 4), rl.ReLU(), rl.Dense(4, 3, bias=False), rl.Softmax())
    y = model.forward(x, training=True)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    model.backward(dy)
    grads = model.flat_grads.copy()
    model.flat_grads[...] = np.nan
    first = model._passes.forward(x, 5)
    np.testing.assert_array_equal(first, y)
    model._passes.backward(dy, 5, need_dx=False)
    np.testing.assert_array_equal(model.flat_grads, grads)
    assert model._passes.forward(x, 5) is first
    np.testing.assert_array_equal(
        model._passes.forward(x, 4), y_before_softmax := model._passes.training_input(4)
    )
    assert y_before_softmax.shape == (7, 3)
    assert model._passes.training_input(0) is x
    np.testing.assert_array_equal(model._passes.training_input(1), np.tanh(x))


# --- copies ---


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole_and_independent(x, duplicate):
    model = build(rl.Dense(5, 4), rl.Dropout(0.5), rl.PReLU(4), rl.Dense(4, 3))
    model.forward(x, training=True)
    model.preprocessing = {"mean": 1.0}
    twin = duplicate(model)
    assert twin.ops is reference
    assert twin.preprocessing == model.preprocessing
    np.testing.assert_array_equal(twin.flat_params, model.flat_params)
    assert not np.shares_memory(twin.flat_params, model.flat_params)
    assert all(np.shares_memory(array, twin.flat_params) for array in twin.params.values())
    assert all(layer is not other for layer, other in zip(twin.layers, model.layers, strict=True))
    np.testing.assert_array_equal(twin.forward(x, training=True), model.forward(x, training=True))
    assert twin.rng.random() == model.rng.random()
    twin.flat_params[...] = 0
    assert (twin(x) == 0).all()
    assert (model.flat_params != 0).any()


def test_a_pickle_carries_parameters_once():
    model = build(rl.Dense(300, 100, bias=False))
    assert len(pickle.dumps(model)) < 2.2 * model.flat_params.nbytes


def test_astype_rounds_and_leaves_the_model(x):
    model = small()
    single = model.astype(np.float32)
    assert single.dtype == single.flat_params.dtype == np.float32
    np.testing.assert_array_equal(single.flat_params, model.flat_params.astype(np.float32))
    assert single(x.astype(np.float32)).dtype == np.float32
    assert model.dtype == np.float64
    again = single.astype(np.float64)
    np.testing.assert_array_equal(again.flat_params, single.flat_params)
