"""The gradient check: right nets pass, kinks are named, planted mistakes are found and told apart."""

from __future__ import annotations

import copy
import json
import math
import types
import xml.etree.ElementTree
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers.ops import reference

X, LABEL = np.array([[1.0, 2.0]]), np.array([1])
THREE_BY_THREE = np.random.default_rng(0).standard_normal((4, 3))


def golden(ops: Any = None, activation: Any = None) -> rl.Sequential:
    """One unit active, one negative, one exactly at 0."""
    model = rl.Sequential(
        rl.Dense(2, 3), activation or rl.ReLU(0.1), rl.Dense(3, 2), dtype=np.float64, ops=ops
    )
    model.load_params(
        {
            "0.weight": np.array([[0.5, -1.0, 1.0], [0.25, -0.5, -0.5]]),
            "0.bias": np.array([0.0, 0.25, 0.0]),
            "2.weight": np.array([[1.0, -1.0], [0.5, 0.5], [2.0, -2.0]]),
            "2.bias": np.array([0.1, -0.1]),
        }
    )
    return model


def planted(**functions: Any) -> types.SimpleNamespace:
    """The reference ops with some of them replaced."""
    return types.SimpleNamespace(**{name: getattr(reference, name) for name in reference.__all__} | functions)


def well_formed(html: str) -> None:
    """Every element of the fragment is closed, in order."""
    xml.etree.ElementTree.fromstring(html.replace("<br>", "<br/>"))


def into(out: Any, result: Any) -> Any:
    if out is None:
        return result
    out[...] = result
    return out


class HandWrittenReLU:
    """As a user would write it; ``at_zero`` is the derivative at 0."""

    def __init__(self, at_zero: float = 0.0) -> None:
        self.params: dict[str, Any] = {}
        self.grads: dict[str, Any] = {}
        self.at_zero = at_zero

    def forward(self, x: Any, training: bool = False) -> Any:
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy: Any) -> Any:
        return dy * np.where(self.x > 0, 1.0, np.where(self.x == 0, self.at_zero, 0.0))


# --- the golden example ---


def test_the_golden_example_to_twelve_digits() -> None:
    report = rl.gradcheck(golden(), X, LABEL, rl.SoftmaxCrossEntropy())
    p = 1.0 / (1.0 + math.exp(-2.2))
    expected = {
        "0.weight": np.outer([1.0, 2.0], [2 * p, 0.0, 0.4 * p]),
        "0.bias": np.array([2 * p, 0.0, 0.4 * p]),
        "2.weight": np.outer([1.0, -0.175, 0.0], [p, -p]),
        "2.bias": np.array([p, -p]),
        "x": np.array([[0.5 * 2 * p + 0.4 * p, 0.25 * 2 * p - 0.5 * 0.4 * p]]),
    }
    assert report.loss == pytest.approx(2.305083319768696, abs=1e-12)
    assert report.checked == report.total == 19
    assert report.fraction == 1.0
    for name, values in expected.items():
        for index in np.ndindex(values.shape):
            assert report.entry(name, index).analytic == pytest.approx(values[index], abs=1e-12)
    assert report.entry("0.weight", (0, 2)).numeric == pytest.approx(1.980549, abs=1e-6)


def test_the_kinks_of_the_golden_example_and_nothing_else() -> None:
    report = rl.gradcheck(golden(), X, LABEL)
    kinks = {(entry.name, entry.index) for entry in report.kinks}
    assert kinks == {
        ("0.weight", (0, 2)),
        ("0.weight", (1, 2)),
        ("0.bias", (2,)),
        ("x", (0, 0)),
        ("x", (0, 1)),
    }
    for entry in report.kinks:
        kink = entry.kink
        assert kink is not None
        assert (kink.layer, kink.name, kink.unit, kink.sample, kink.value) == (1, "ReLU(0.1)", 2, 0, 0.0)
    assert report
    assert report.counts() == {"ok": 14, "kink": 5, "wrong": 0}
    for entry in report.entries:
        if entry.verdict == "ok":
            assert entry.absolute <= max(1e-8 * 3.7, entry.floor)
            assert entry.kink is None


def test_a_corner_that_is_near_needs_a_smaller_step_and_is_no_kink() -> None:
    model = golden()
    model.params["0.bias"][2] = 1e-5
    report = rl.gradcheck(model, X, LABEL)
    entry = report.entry("0.bias", 2)
    assert report.counts() == {"ok": 19, "kink": 0, "wrong": 0}
    assert entry.h < 1e-5 < report.entry("2.bias", 0).h
    model.params["0.bias"][2] = 1e-12
    assert rl.gradcheck(model, X, LABEL).verdict("0.bias", 2) == "kink"


def test_both_zero_is_ok() -> None:
    entry = rl.gradcheck(golden(), X, LABEL).entry("2.weight", (2, 0))
    assert (entry.analytic, entry.numeric, entry.relative, entry.verdict) == (0.0, 0.0, 0.0, "ok")


# --- planted mistakes ---


def test_the_derivative_of_the_other_side_at_zero_is_wrong() -> None:
    def relu_backward(x: Any, dy: Any, negative_slope: float = 0.0, *, out: Any = None) -> Any:
        return into(out, np.where(x >= 0, dy, negative_slope * dy))

    report = rl.gradcheck(golden(planted(relu_backward=relu_backward)), X, LABEL)
    assert not report
    assert {entry.name for entry in report.wrong} == {"0.weight", "0.bias", "x"}
    assert report.verdict("0.weight", (0, 2)) == "wrong"
    assert report.counts()["ok"] == 14
    assert any("x > 0, not x >= 0" in hint for hint in report.hints)


def test_the_mask_of_the_outputs_is_wrong() -> None:
    class Careless(HandWrittenReLU):
        def backward(self, dy: Any) -> Any:
            return dy * (np.maximum(self.x, 0) >= 0)

    report = rl.gradcheck(golden(activation=Careless()), X, LABEL)
    # Unit 1 has no influence here, whatever its mask: its two weights behind are equal, and so da is 0.
    model = golden(activation=Careless())
    model.params["2.weight"][1, 0] = 0.7
    assert report.verdict("0.weight", (0, 1)) == "ok"
    assert rl.gradcheck(model, X, LABEL).verdict("0.weight", (0, 1)) == "wrong"


def test_the_mask_of_the_outputs_with_a_negative_slope_is_wrong() -> None:
    def relu_backward(x: Any, dy: Any, negative_slope: float = 0.0, *, out: Any = None) -> Any:
        return into(out, np.where(reference.relu_forward(x, negative_slope) > 0, dy, negative_slope * dy))

    ops = planted(relu_backward=relu_backward)
    model = rl.Sequential(rl.ReLU(-0.2), dtype=np.float64, ops=ops)
    report = rl.gradcheck(model, np.array([[-1.0, 2.0]]))
    assert report.verdict("x", (0, 0)) == "wrong"
    assert report.verdict("x", (0, 1)) == "ok"


def test_a_transposed_weight_gradient_is_wrong_and_named() -> None:
    def dense_backward(x: Any, weight: Any, dy: Any, **options: Any) -> Any:
        dx, dweight, dbias = reference.dense_backward(x, weight, dy, **options)
        dweight[...] = dweight.T.copy()
        return dx, dweight, dbias

    model = rl.mlp([3, 3, 3], dtype=np.float64, rng=0, ops=planted(dense_backward=dense_backward))
    report = rl.gradcheck(model, THREE_BY_THREE, np.array([0, 1, 2, 1]))
    assert {entry.name for entry in report.wrong} == {"0.weight", "2.weight"}
    # Its diagonal is right.
    assert all(entry.index[0] != entry.index[1] for entry in report.wrong)
    assert sum("transposed" in hint for hint in report.hints) == 2


def test_a_missing_division_by_the_batch_is_wrong_and_named() -> None:
    def loss(y: Any, target: Any) -> Any:
        value, dy = rl.SoftmaxCrossEntropy()(y, target)
        return value, dy * len(y)

    report = rl.gradcheck(rl.mlp([3, 3, 3], rng=0), THREE_BY_THREE, np.array([0, 1, 2, 1]), loss)
    assert {entry.name for entry in report.wrong} == {"0.weight", "0.bias", "2.weight", "2.bias", "x"}
    assert any("4 times too large" in hint and "batch" in hint for hint in report.hints)


@pytest.mark.parametrize(
    ("factor", "told"),
    [(-1.0, "wrong sign"), (0.25, "4 times too small"), (3.0, "3 times what"), (0.0, "gives 0")],
)
def test_factors_are_told(factor: float, told: str) -> None:
    def loss(y: Any, target: Any) -> Any:
        value, dy = rl.SquaredError()(y, target)
        return value, dy * factor

    report = rl.gradcheck(rl.mlp([3, 2], rng=0), THREE_BY_THREE, np.ones((4, 2)), loss)
    assert any(told in hint for hint in report.hints)


def test_a_factor_is_told_although_some_entries_lie_at_a_corner() -> None:
    def loss(y: Any, target: Any) -> Any:
        value, dy = rl.SoftmaxCrossEntropy()(y, target)
        return value, dy * 3.0

    rows = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
    report = rl.gradcheck(golden(), rows, np.array([1, 0, 1]), loss)
    assert any(entry.kink is not None for entry in report.wrong)
    assert any("3 times too large" in hint for hint in report.hints)


def test_a_gradient_that_is_not_finite_is_wrong() -> None:
    def loss(y: Any, target: Any) -> Any:
        value, dy = rl.SquaredError()(y, target)
        dy[0, 0] = np.nan
        return value, dy

    report = rl.gradcheck(rl.mlp([3, 2], rng=0), THREE_BY_THREE, np.ones((4, 2)), loss)
    assert not report
    assert any("not finite" in hint for hint in report.hints)
    assert "nan" in str(report)


@pytest.mark.parametrize("error", [1e-3, 1e-5, 1e-7])
def test_small_errors_are_found(error: float) -> None:
    def tanh_backward(y: Any, dy: Any, *, out: Any = None) -> Any:
        return into(out, reference.tanh_backward(y, dy) * (1.0 + error))

    model = rl.Sequential(
        rl.Dense(3, 4),
        rl.Tanh(),
        rl.Dense(4, 3),
        dtype=np.float64,
        rng=1,
        ops=planted(tanh_backward=tanh_backward),
    )
    report = rl.gradcheck(model, THREE_BY_THREE, np.array([0, 1, 2, 1]))
    assert {entry.name for entry in report.wrong} == {"0.weight", "0.bias", "x"}


def test_a_net_that_has_learned_all_there_is_is_not_wrong() -> None:
    """Its gradients are nothing but rounding noise, and so are their differences."""
    x, y = rl.data.xor()
    model = rl.mlp([2, 30, 1], dtype=np.float64, rng=0)
    trainer = rl.Trainer(model, rl.SquaredError(), rl.SGD(0.05))
    for _ in range(2000):
        trainer.step(x.astype(float), y.astype(float))
    report = rl.gradcheck(model, x, y, rl.SquaredError())
    assert report.loss < 1e-28
    assert report, str(report)


@pytest.mark.parametrize("value", [-np.inf, -1e308, 1e100, 1e-308, -0.0])
def test_extreme_inputs(value: float) -> None:
    """Behind a plain ReLU an infinite input is an ordinary 0."""
    x = np.array([[value, 1.0]])
    with np.errstate(over="ignore"):
        report = rl.gradcheck(rl.ReLU(), x, np.zeros((1, 2)))
    assert report, str(report)


# --- what it works on ---

LAYERS = {
    "dense": lambda: rl.Dense(3, 4),
    "relu": lambda: rl.ReLU(),
    "leaky": lambda: rl.ReLU(0.1),
    "straight": lambda: rl.ReLU(1.0),
    "prelu": lambda: rl.PReLU(3),
    "elu": lambda: rl.ELU(),
    "bent elu": lambda: rl.ELU(0.5),
    "tanh": lambda: rl.Tanh(),
    "sigmoid": lambda: rl.Sigmoid(),
    "silu": lambda: rl.SiLU(),
    "gelu": lambda: rl.GELU(),
    "gelu with tanh": lambda: rl.GELU("tanh"),
    "selu": lambda: rl.SELU(),
    "softplus": lambda: rl.Softplus(),
    "clip": lambda: rl.Clip(-0.3, 0.4),
    "threshold": lambda: rl.Threshold(0.0, 0.0),
    "jump": lambda: rl.Threshold(0.0, 0.5),
    "softmax": lambda: rl.Softmax(),
    "log softmax": lambda: rl.LogSoftmax(),
    "dropout": lambda: rl.Dropout(0.4),
    "own": HandWrittenReLU,
}
WITH_A_CORNER = {"selu", "relu", "leaky", "prelu", "bent elu", "threshold", "jump", "own"}


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_with_the_default_loss(name: str) -> None:
    x = np.vstack([THREE_BY_THREE, [[0.0, 1.0, -1.0]]])
    report = rl.gradcheck(LAYERS[name](), x)
    assert report
    assert report.loss_name == "SquaredError(0.5)"
    assert (report.verdict("x", (4, 0)) == "kink") == (name in WITH_A_CORNER)
    assert len(report.kinks) == (name in WITH_A_CORNER)


@pytest.mark.parametrize("at_zero", [0.0, 0.25, 1.0])
def test_a_users_layer_turns_a_corner_where_its_output_does(at_zero: float) -> None:
    report = rl.gradcheck(golden(activation=HandWrittenReLU(at_zero)), X, LABEL)
    assert report
    kink = report.entry("0.bias", 2).kink
    assert kink is not None
    assert (kink.layer, kink.name, kink.unit, kink.sample) == (1, "HandWrittenReLU", 2, 0)
    assert len(report.kinks) == 5


def test_a_users_layer_with_a_slope_outside_of_both_sides_is_wrong() -> None:
    report = rl.gradcheck(golden(activation=HandWrittenReLU(1.5)), X, LABEL)
    assert report.verdict("0.bias", 2) == "wrong"


class HandWrittenHiddenLayer:
    """Weights and ReLU in one class; ``at_zero`` is the derivative at 0, ``factor`` an error where units are at 0."""

    def __init__(self, inputs: int, units: int, seed: int, at_zero: float, factor: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.params = {"w": rng.standard_normal((inputs, units)), "b": np.zeros(units)}
        self.grads = {name: np.zeros_like(array) for name, array in self.params.items()}
        self.at_zero, self.factor = at_zero, factor

    def forward(self, x: Any, training: bool = False) -> Any:
        self.x, self.h = x, x @ self.params["w"] + self.params["b"]
        return np.maximum(self.h, 0)

    def backward(self, dy: Any) -> Any:
        dh = dy * np.where(self.h > 0, 1.0, np.where(self.h == 0, self.at_zero, 0.0))
        self.grads["w"], self.grads["b"] = self.x.T @ dh, dh.sum(axis=0)
        return dh @ self.params["w"].T * np.where((self.h == 0).any(axis=1, keepdims=True), self.factor, 1.0)


ROWS_OF_ZEROS = np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [-1.0, 0.5]])
CLASSES_OF_ROWS = np.array([0, 1, 1, 0])


def at_several_corners(kind: str, seed: int, at_zero: float, factor: float = 1.0) -> rl.Sequential:
    """In two of four rows every unit, of one or two layers, is exactly at 0."""
    own = HandWrittenReLU
    if kind == "one class":
        layers: Any = [HandWrittenHiddenLayer(2, 6, seed, at_zero, factor)]
    elif kind == "two layers":
        layers = [rl.Dense(2, 5, bias=False), own(at_zero), rl.Dense(5, 6, bias=False), own(1.0 - at_zero)]
    elif kind == "beside the package's":
        layers = [rl.Dense(2, 5, bias=False), own(at_zero), rl.Dense(5, 6, bias=False), rl.ReLU(0.1)]
    else:
        layers = [rl.Dense(2, 6), own(at_zero)]
    return rl.Sequential(*layers, rl.Dense(6, 2), dtype=np.float64, rng=seed)


@pytest.mark.parametrize("at_zero", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("kind", ["one layer", "two layers", "beside the package's", "one class"])
def test_several_units_of_a_users_layer_at_their_corners_together(kind: str, at_zero: float) -> None:
    """Each unit adds its own jump: the sum may lie beyond the slopes of both sides of the entry."""
    for seed in range(6):
        model = at_several_corners(kind, seed, at_zero)
        report = rl.gradcheck(model, ROWS_OF_ZEROS, CLASSES_OF_ROWS)
        assert report, (seed, str(report))
        assert any(entry.name == "x" and entry.index[0] == 0 for entry in report.kinks)


@pytest.mark.parametrize(("at_zero", "factor"), [(1.5, 1.0), (-0.5, 1.0), (1.0, 1.5)])
def test_units_at_their_corners_hide_no_mistake(at_zero: float, factor: float) -> None:
    for seed in range(4):
        model = at_several_corners("one class", seed, at_zero, factor)
        report = rl.gradcheck(model, ROWS_OF_ZEROS, CLASSES_OF_ROWS)
        assert {entry.index[0] for entry in report.wrong if entry.name == "x"} == {0, 2}
        assert all(entry.kink is not None for entry in report.wrong)


def test_a_users_layer_with_parameters() -> None:
    class Scale:
        def __init__(self) -> None:
            self.params = {"scale": np.array([2.0, 3.0, 0.5])}
            self.grads = {"scale": np.zeros(3)}

        def forward(self, x: Any, training: bool = False) -> Any:
            self.x = x
            return x * self.params["scale"]

        def backward(self, dy: Any) -> Any:
            self.grads["scale"] = (dy * self.x).sum(axis=0)
            return dy * self.params["scale"]

    report = rl.gradcheck(rl.Sequential(rl.Dense(3, 3), Scale(), dtype=np.float64, rng=0), THREE_BY_THREE)
    assert report
    assert report.verdict("1.scale", 0) == "ok"


def test_a_final_softmax_is_checked_on_its_logits() -> None:
    layers = [rl.Dense(3, 4), rl.ReLU(0.1), rl.Dense(4, 3)]
    y = np.array([0, 1, 2, 1])
    bare = rl.gradcheck(
        rl.Sequential(*copy.deepcopy(layers), rng=0), THREE_BY_THREE, y, rl.SoftmaxCrossEntropy()
    )
    topped = rl.gradcheck(
        rl.Sequential(*layers, rl.Softmax(), rng=0), THREE_BY_THREE, y, rl.SoftmaxCrossEntropy()
    )
    assert bare
    assert topped
    assert topped.loss == bare.loss
    with pytest.raises(ValueError, match="axis -1"):
        rl.gradcheck(rl.Sequential(rl.Softmax(0)), THREE_BY_THREE, y, rl.SoftmaxCrossEntropy())


def test_sample_weights_count() -> None:
    weights = np.array([0.0, 1.0, 2.0, 3.0])
    model = rl.mlp([3, 4, 3], rng=0)
    y = np.array([0, 1, 2, 1])
    report = rl.gradcheck(model, THREE_BY_THREE, y, rl.SoftmaxCrossEntropy(), sample_weight=weights)
    assert report
    assert report.entry("x", (0, 0)).analytic == 0.0
    assert report.loss != rl.gradcheck(model, THREE_BY_THREE, y, rl.SoftmaxCrossEntropy()).loss


def test_more_than_two_dimensions_and_units_as_tuples() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    x[1, 2, 3] = 0.0
    report = rl.gradcheck(rl.ReLU(0.1), x)
    kink = report.entry("x", (1, 2, 3)).kink
    assert kink is not None
    assert (kink.unit, kink.sample) == ((2, 3), 1)
    json.dumps(report.to_dict())


def test_dropout_is_held_still_and_the_model_stays_as_it_was() -> None:
    model = rl.Sequential(rl.Dense(3, 8), rl.ReLU(0.1), rl.Dropout(0.5), rl.Dense(8, 3), rng=3)
    model.forward(THREE_BY_THREE.astype(np.float32), training=True)
    loss = rl.SoftmaxCrossEntropy()
    dropout, generator = model.layers[2], model.rng.bit_generator
    before = copy.deepcopy((model.flat_params, model.flat_grads, dropout.state(), generator.state))
    attributes = dict(loss.__dict__)
    first = rl.gradcheck(model, THREE_BY_THREE, np.array([0, 1, 2, 1]), loss)
    after = (model.flat_params, model.flat_grads, dropout.state(), generator.state)
    assert first
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
    assert loss.__dict__ == attributes
    assert model.dtype == np.float32
    assert np.array_equal(model.params["0.weight"], before[0][:24].reshape(3, 8))
    assert first.to_dict() == rl.gradcheck(model, THREE_BY_THREE, np.array([0, 1, 2, 1]), loss).to_dict()


def test_a_users_random_layer_is_held_still_by_its_generator_or_refused() -> None:
    class Noise:
        def __init__(self, generator: Any) -> None:
            self.params: dict[str, Any] = {}
            self.grads: dict[str, Any] = {}
            self.generator = generator

        def forward(self, x: Any, training: bool = False) -> Any:
            draw = np.random.default_rng() if self.generator is None else self.generator
            self.mask = draw.random(x.shape) < 0.5
            return x * self.mask

        def backward(self, dy: Any) -> Any:
            return dy * self.mask

    held = rl.Sequential(rl.Dense(3, 3), Noise(np.random.default_rng(0)), dtype=np.float64, rng=0)
    assert rl.gradcheck(held, THREE_BY_THREE)
    loose = rl.Sequential(rl.Dense(3, 3), Noise(None), dtype=np.float64, rng=0)
    with pytest.raises(ValueError, match=r"layer 1, .*another result for the same input.*Generator"):
        rl.gradcheck(loose, THREE_BY_THREE)


# --- samples and reports ---


def test_of_a_large_net_a_sample_is_checked() -> None:
    model = rl.mlp([64, 50, 10], rng=0)
    x = np.random.default_rng(0).standard_normal((5, 64))
    report = rl.gradcheck(model, x, np.arange(5), max_entries=100)
    assert report
    assert report.checked == 100
    assert report.total == 64 * 50 + 50 + 500 + 10 + 320
    assert report.fraction == 100 / report.total
    assert {array.name: array.checked for array in report.arrays}["2.bias"] == 10
    places = [(entry.name, entry.index) for entry in report.entries]
    assert len(set(places)) == 100
    again = rl.gradcheck(model, x, np.arange(5), max_entries=100)
    assert places == [(entry.name, entry.index) for entry in again.entries]
    other = rl.gradcheck(model, x, np.arange(5), max_entries=100, seed=1)
    assert places != [(entry.name, entry.index) for entry in other.entries]
    assert f"100 ({100 / report.total:.1%}) of 4,080" in str(report)
    missing = next(i for i in np.ndindex(64, 50) if ("0.weight", i) not in places)
    with pytest.raises(KeyError, match="max_entries=None"):
        report.verdict("0.weight", missing)


def test_max_entries_none_checks_all() -> None:
    report = rl.gradcheck(rl.mlp([8, 40, 30], rng=0), np.ones((1, 8)), np.array([3]), max_entries=None)
    assert report.fraction == 1.0
    assert report.total == 8 * 40 + 40 + 40 * 30 + 30 + 8


def test_the_report_in_every_form() -> None:
    report = rl.gradcheck(golden(), X, LABEL)
    text = str(report)
    assert max(map(len, text.splitlines())) <= 80
    assert "all 19 entries checked, 14 ok, 5 kink, 0 wrong" in text
    assert "eps |loss| / h" in text
    assert "0.weight[0, 2]: backward 0.3601, differences 1.98055" in text
    assert "unit 2 of layer 1, ReLU(0.1), sample 0: input 0" in text
    html = report._repr_html_()
    well_formed(html)
    assert html.count("<table>") == html.count("</table>") == 1
    assert "x &lt;= 0" in html
    values = json.loads(json.dumps(report.to_dict()))
    assert values["ok"] is True
    assert values["counts"] == {"ok": 14, "kink": 5, "wrong": 0}
    entry = next(e for e in values["entries"] if e["name"] == "0.bias" and e["index"] == [2])
    assert entry["kink"] == {"layer": 1, "name": "ReLU(0.1)", "unit": 2, "sample": 0, "value": 0.0}
    assert {"analytic", "numeric", "absolute", "relative", "floor", "h", "verdict"} <= set(entry)
    assert "5 kink" in repr(report)


def test_many_wrong_entries_are_counted_not_listed() -> None:
    def loss(y: Any, target: Any) -> Any:
        value, dy = rl.SquaredError()(y, target)
        return value, dy * 2.0

    report = rl.gradcheck(rl.mlp([6, 6, 6], rng=0), np.ones((3, 6)), np.zeros((3, 6)), loss)
    assert len(str(report).splitlines()) < 40
    assert "more wrong" in str(report)


def test_questions_to_the_report_that_have_no_answer() -> None:
    report = rl.gradcheck(golden(), X, LABEL)
    with pytest.raises(KeyError, match=r"did you mean '0.weight'"):
        report.verdict("0.weigth", (0, 0))
    with pytest.raises(KeyError, match=r"there are 0\.weight"):
        report.verdict("nonsense", 0)
    with pytest.raises(IndexError, match=r"shape \(2, 3\)"):
        report.entry("0.weight", (2, 0))
    with pytest.raises(IndexError):
        report.entry("0.weight", 0)
    with pytest.raises(TypeError, match="integer"):
        report.entry("0.bias", 1.0)  # type: ignore[arg-type]
    assert report.entry("0.bias", -1) is report.entry("0.bias", 2)


# --- arguments ---


class Uncopyable(HandWrittenReLU):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("holds a socket")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((rl.ReLU, X), {}, TypeError, r"class ReLU; pass ReLU\(...\)"),
        ((3, X), {}, TypeError, "int without forward, backward, params, grads"),
        ((Uncopyable(), X), {}, TypeError, "cannot be copied .*holds a socket.*__deepcopy__"),
        ((rl.ReLU(), X, None, rl.SquaredError()), {}, TypeError, "y is None"),
        ((rl.ReLU(), X, X, rl.SquaredError), {}, TypeError, "expected an object such as"),
        ((rl.ReLU(), X, X, 3), {}, TypeError, "loss is 3"),
        ((rl.ReLU(), np.array([["a"]])), {}, TypeError, "x has dtype"),
        ((rl.ReLU(), np.empty((0, 2))), {}, ValueError, "x has no rows"),
        ((rl.ReLU(), X, np.ones((2, 2))), {}, ValueError, "x has 1 rows but y has 2"),
        ((rl.Dense(3, 2), X), {}, ValueError, r"Dense: x has shape \(1, 2\).*layer 0"),
        ((rl.Dense(2, 2), X, np.array([5])), {}, IndexError, "5"),
        ((rl.ReLU(), X), {"max_entries": 0}, ValueError, "max_entries is 0"),
        ((rl.ReLU(), X), {"max_entries": 1.5}, TypeError, "max_entries"),
        ((rl.ReLU(), X), {"seed": -1}, ValueError, "seed is -1"),
        ((rl.ReLU(), X * np.nan), {}, ValueError, "loss is nan.*sanity_check"),
        ((rl.ReLU(), X, X), {"sample_weight": np.ones(3)}, ValueError, "sample_weight has shape"),
        ((rl.ReLU(), X, X, lambda y, t: (0.5, y[0])), {}, ValueError, "returned as gradient"),
        ((rl.ReLU(), X, X, lambda y, t: (0.5, None)), {}, ValueError, "returned as gradient NoneType"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        rl.gradcheck(*arguments, **options)


def test_a_layer_that_insists_on_float32_is_told_why() -> None:
    class Single(HandWrittenReLU):
        def forward(self, x: Any, training: bool = False) -> Any:
            return super().forward(x).astype(np.float32)

    with pytest.raises(TypeError, match=r"layer 1, .*float64: keep the dtype of x"):
        rl.gradcheck(rl.Sequential(rl.Dense(2, 2), Single(), rng=0), X, X)


def test_a_layer_that_writes_into_its_input() -> None:
    class InPlace(HandWrittenReLU):
        def forward(self, x: Any, training: bool = False) -> Any:
            self.x = x.copy()
            x[x < 0] = 0.0
            return x

    assert rl.gradcheck(golden(activation=InPlace()), X, LABEL).counts() == {"ok": 14, "kink": 5, "wrong": 0}
    assert rl.gradcheck(InPlace(), THREE_BY_THREE)


def test_integers_and_lists_are_taken() -> None:
    x, y = rl.data.xor()
    assert rl.gradcheck(rl.mlp([2, 5, 1], rng=0), x, y, rl.SquaredError())
    assert rl.gradcheck(rl.mlp([2, 5, 2], rng=0), x.tolist(), y[:, 0].tolist())


def test_a_layer_without_values_gets_none_by_being_checked() -> None:
    layer = rl.Dense(2, 3)
    assert rl.gradcheck(layer, X)
    assert not layer.initialized


# --- random nets ---

ACTIVATIONS = st.sampled_from(
    [
        lambda features: rl.ReLU(),
        lambda features: rl.ReLU(0.1),
        lambda features: rl.ReLU(-0.2),
        lambda features: rl.PReLU(features),
        lambda features: rl.ELU(),
        lambda features: rl.ELU(0.4),
        lambda features: rl.Tanh(),
        lambda features: rl.Sigmoid(),
        lambda features: rl.SiLU(),
        lambda features: rl.GELU(),
        lambda features: rl.SELU(),
        lambda features: rl.Softplus(),
        lambda features: rl.Clip(-0.5, 0.5),
        lambda features: rl.Threshold(0.1, 0.1),
        lambda features: rl.Dropout(0.3),
    ]
)


@st.composite
def problems(draw: Any) -> Any:
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    batch, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    sizes = [width, *draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))]
    layers: list[Any] = []
    for before, after in pairwise(sizes):
        layers += [rl.Dense(before, after, bias=draw(st.booleans())), draw(ACTIVATIONS)(after)]
    outputs = draw(st.integers(1, 3))
    layers.append(rl.Dense(sizes[-1], outputs))
    x = rng.standard_normal((batch, width)) * 10.0 ** draw(st.integers(-2, 2))
    x = np.round(x) if draw(st.booleans()) else x
    y, loss = draw(
        st.sampled_from(
            [
                (rng.integers(0, outputs, batch), rl.SoftmaxCrossEntropy()),
                (rng.standard_normal((batch, outputs)), rl.SquaredError()),
                (rng.random((batch, outputs)), rl.SigmoidCrossEntropy()),
            ]
        )
    )
    return rl.Sequential(*layers, dtype=draw(st.sampled_from([np.float32, np.float64])), rng=seed), x, y, loss


@settings(max_examples=60, deadline=None)
@given(problems())
def test_random_nets_are_right(problem: Any) -> None:
    report = rl.gradcheck(*problem)
    assert report, str(report)


@pytest.mark.parametrize("margin", [700.0, 715.0, 740.0, 800.0])
def test_a_loss_that_is_almost_nothing_has_a_report(margin: float) -> None:
    """Its smallest visible change was computed as 0, by which the noise was divided."""
    model = rl.Sequential(rl.Dense(1, 2, bias=False), dtype=np.float64, rng=0)
    model.flat_params[:] = 1.0, 0.0
    report = rl.gradcheck(model, np.array([[margin]]), np.array([0]), rl.SoftmaxCrossEntropy())
    assert report, str(report)
    assert math.isfinite(report.noise)
    assert "noise floor" in str(report)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(problems())
def test_many_random_nets_are_right(problem: Any) -> None:
    report = rl.gradcheck(*problem)
    assert report, str(report)


# --- bare functions ---


def seeds_program(mask, target=((0,), (1,), (1,), (0,)), bias=False, forward=np.maximum):
    """Return ``function(params)`` as one writes it in plain NumPy: 2-30-1 on XOR, squared errors."""
    inputs, wanted = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array(target)

    def program(p):
        h = inputs.dot(p["w1"])
        if bias:
            h = h + p["b1"]
        y = forward(h, 0).dot(p["w2"])
        loss = np.square(y - wanted).sum()
        grad_y = 2.0 * (y - wanted)
        grad_h = grad_y.dot(p["w2"].T).copy()
        grad_h[mask(h)] = 0
        grads = {"w1": inputs.T.dot(grad_h), "w2": forward(h, 0).T.dot(grad_y)}
        return loss, grads | ({"b1": grad_h.sum(axis=0)} if bias else {})

    return program


def weights(bias=False):
    rng = np.random.default_rng(0)
    found = {"w1": rng.standard_normal((2, 30)), "w2": rng.standard_normal((30, 1))}
    return found | ({"b1": np.zeros(30)} if bias else {})


@pytest.mark.parametrize("mask", [lambda h: h < 0, lambda h: h <= 0, lambda h: ~(h > 0)])
def test_the_seeds_function_is_right_and_its_zeros_are_found(mask):
    params = weights()
    report = rl.gradcheck(seeds_program(mask), params)
    assert report
    assert report.counts() == {"ok": 90, "kink": 0, "wrong": 0}
    assert [array.name for array in report.arrays] == ["w1", "w2"]
    [note] = report.notes
    assert "30 of 120 entries are exactly 0, all in row 0" in note
    assert "changes no gradient" in note
    assert note in " ".join(str(report).split())
    assert report.to_dict()["notes"] == [note]
    for name, value in weights().items():
        assert np.array_equal(params[name], value)


def test_where_the_two_masks_differ_and_what_that_changes():
    wanted = ((1,), (1,), (1,), (0,))  # row 0 now wants what its zeros do not give
    for mask, other in ((lambda h: h < 0, "`h <= 0`"), (lambda h: h <= 0, "`h < 0`")):
        report = rl.gradcheck(seeds_program(mask, wanted, bias=True), weights(bias=True))
        # Either side of a corner is a derivative: no measurement can call one of them wrong.
        assert report
        assert {entry.name for entry in report.kinks} == {"b1"}
        assert len(report.kinks) == 30
        [note] = report.notes
        assert f"there {other} differs and changes the gradient of b1 in 30 of 30 entries" in note
        assert report.entry("b1", 3).kink.value == 0.0
        assert report.entry("b1", 3).kink.sample == 0


def test_a_function_whose_gradient_is_wrong():
    report = rl.gradcheck(seeds_program(lambda h: h < -1e9), weights())
    assert not report
    assert {entry.name for entry in report.wrong} == {"w1"}
    assert all(array.wrong == 0 for array in report.arrays if array.name == "w2")

    def doubled(p):
        loss, grads = seeds_program(lambda h: h < 0)(p)
        return loss, {name: 2 * gradient for name, gradient in grads.items()}

    assert any("2 times" in hint for hint in rl.gradcheck(doubled, weights()).hints)


def test_masks_without_a_zero_say_so():
    def program(p):
        h = np.array([[1.0, 2.0]]) @ p["w"]
        loss = np.where(h > 0, h, 0.1 * h).sum()
        return loss, {"w": np.array([[1.0], [2.0]]) @ np.where(h > 0, 1.0, 0.1)}

    report = rl.gradcheck(program, {"w": np.array([[0.5, -1.0], [0.25, 0.1]])})
    assert report
    assert report.notes == (
        "`h > 0` on an array of shape (1, 2): no entry is exactly 0, so `h >= 0` gives the same",
    )


def test_a_function_that_cannot_be_watched_still_has_its_corners():
    def strict(p):
        assert all(type(value) is np.ndarray for value in p.values())
        h = p["b"]
        return float(np.maximum(h, 0).sum()), {"b": (h > 0).astype(float)}

    report = rl.gradcheck(strict, {"b": np.array([1.0, -1.0, 0.0])})
    assert [entry.verdict for entry in report.entries] == ["ok", "ok", "kink"]
    assert report.notes == ()

    def beyond(p):
        value, grads = strict(p)
        return value, {"b": grads["b"] + np.array([0.0, 0.0, 1.5])}

    assert rl.gradcheck(beyond, {"b": np.array([1.0, -1.0, 0.0])}).verdict("b", 2) == "wrong"


def test_functions_that_do_not_fit_are_named():
    program = seeds_program(lambda h: h < 0)
    with pytest.raises(TypeError, match="params is ndarray, expected a mapping"):
        rl.gradcheck(program, np.zeros(3))
    with pytest.raises(TypeError, match="belong to models"):
        rl.gradcheck(program, weights(), np.zeros(3))
    with pytest.raises(TypeError, match="expected \\(loss, grads\\)"):
        rl.gradcheck(lambda p: 1.0, weights())
    with pytest.raises(ValueError, match="same names: w2"):
        rl.gradcheck(lambda p: (1.0, {"w1": p["w1"]}), weights())
    with pytest.raises(ValueError, match=r"grads\['w1'\] has shape \(30, 2\)"):
        rl.gradcheck(lambda p: (1.0, {"w1": p["w1"].T, "w2": p["w2"]}), weights())
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="random"):
        rl.gradcheck(lambda p: (rng.random(), {"a": np.zeros(1)}), {"a": np.zeros(1)})


STEPS_AT_ZERO = {
    "h < 0": lambda h: np.where(h < 0, 0.0, 1.0),
    "h <= 0": lambda h: np.where(h <= 0, 0.0, 1.0),
    "a quarter": lambda h: np.where(h > 0, 1.0, np.where(h == 0, 0.25, 0.0)),
}


def two_layers_at_zero(
    first: str, second: str, seed: int, *, strict: bool = False, error: float = 1.0
) -> Any:
    """Return a function of its inputs, two rows of which leave every unit of both layers at 0."""
    rng = np.random.default_rng(seed)
    w1, w2, w3 = (rng.standard_normal(shape) for shape in ((2, 5), (5, 6), (6, 1)))

    def program(p):
        assert not strict or type(p["x"]) is np.ndarray
        h1 = p["x"] @ w1
        h2 = np.maximum(h1, 0) @ w2
        error_of_rows = np.maximum(h2, 0) @ w3 - 1
        dh2 = 2 * error_of_rows @ w3.T * STEPS_AT_ZERO[second](h2)
        dh1 = dh2 @ w2.T * STEPS_AT_ZERO[first](h1)
        return np.square(error_of_rows).sum(), {"x": error * (dh1 @ w1.T)}

    return program


@pytest.mark.parametrize("first", STEPS_AT_ZERO)
@pytest.mark.parametrize("second", STEPS_AT_ZERO)
def test_several_units_of_a_function_at_their_corners_together(first: str, second: str) -> None:
    for seed in range(2):
        report = rl.gradcheck(two_layers_at_zero(first, second, seed), {"x": ROWS_OF_ZEROS})
        assert report, (seed, str(report))


@pytest.mark.parametrize("at_zero", ["h <= 0", "h < 0", "a quarter"])
def test_several_corners_of_a_function_that_cannot_be_watched(at_zero: str) -> None:
    def program(seed, error=1.0):
        weight, behind = (np.random.default_rng(seed).standard_normal(shape) for shape in ((2, 6), (6, 1)))

        def strict(p):
            assert type(p["x"]) is np.ndarray
            h = p["x"] @ weight
            rest = np.maximum(h, 0) @ behind - 1
            dh = 2 * rest @ behind.T * STEPS_AT_ZERO[at_zero](h)
            return np.square(rest).sum(), {"x": error * (dh @ weight.T)}

        return strict

    for seed in range(8):
        report = rl.gradcheck(program(seed), {"x": ROWS_OF_ZEROS})
        assert report, (seed, str(report))
        assert not rl.gradcheck(program(seed, 1.01), {"x": ROWS_OF_ZEROS})


def test_a_functions_units_at_their_corners_hide_no_mistake() -> None:
    for seed in range(3):
        for strict in (False, True):
            report = rl.gradcheck(
                two_layers_at_zero("h < 0", "h < 0", seed, strict=strict, error=1.5), {"x": ROWS_OF_ZEROS}
            )
            assert {entry.index[0] for entry in report.wrong} == {0, 1, 2, 3}
