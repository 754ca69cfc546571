"""The sanity checks: a sound model passes, and each thing that can be wrong is found with its place."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

NAMES = [
    "numbers",
    "inputs",
    "gradients",
    "chance",
    "overfitting",
    "dead units",
    "gradient sizes",
    "updates",
]


def blobs(rows: int = 60, classes: int = 4, seed: int = 0) -> tuple[Any, Any]:
    """Standardised points around one centre per class."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    x = rng.standard_normal((classes, 6))[y] + 0.3 * rng.standard_normal((rows, 6))
    return (x - x.mean(axis=0)) / x.std(axis=0), y


def sound(**options: Any) -> rl.Sequential:
    return rl.mlp([6, 32, 16, 4], rng=0, **options)


def test_a_sound_model_passes_everything() -> None:
    x, y = blobs()
    report = rl.sanity_check(sound(), x, y, rl.SoftmaxCrossEntropy(), optimizer=rl.SGD(0.01))
    assert report
    assert [check.name for check in report.checks] == NAMES
    assert [check.verdict for check in report.checks] == ["ok"] * 8, str(report)
    assert report["chance"].values["chance"] == pytest.approx(math.log(4), rel=1e-6)
    assert "-ln(1/4) = 1.386" in report["chance"].finding
    assert report["overfitting"].values["accuracy"] == 1.0
    assert report["overfitting"].values["rows"] == 20
    assert set(report["updates"].values["ratios"]) == {"0.weight", "2.weight", "4.weight"}
    assert [one["name"] for one in report.sizes] == list(sound().params)


def test_the_model_and_the_optimizer_stay_as_they_were() -> None:
    x, y = blobs()
    model = rl.Sequential(rl.Dense(6, 8), rl.ReLU(), rl.Dropout(0.5), rl.Dense(8, 4), rng=0)
    optimizer, loss = rl.Adam(0.01), rl.SoftmaxCrossEntropy()
    trainer = rl.Trainer(model, loss, optimizer)
    trainer.step(x.astype(np.float32), y)
    values, grads, mask = model.flat_params.copy(), model.flat_grads.copy(), model.layers[2].state()
    generator = model.rng.bit_generator.state
    moments = {name: slot.copy() for name, slot in optimizer.slots.items()}
    attributes = dict(loss.__dict__)
    report = rl.sanity_check(model, x, y, loss, optimizer=optimizer)
    assert report
    assert np.array_equal(model.flat_params, values)
    assert np.array_equal(model.flat_grads, grads)
    assert model.layers[2].state() == mask
    assert model.layers[2].rate == 0.5
    assert model.rng.bit_generator.state == generator
    assert optimizer.updates == 1
    assert all(np.array_equal(optimizer.slots[name], moments[name]) for name in moments)
    assert loss.__dict__ == attributes
    assert rl.sanity_check(model, x, y, loss, optimizer=optimizer).to_dict() == report.to_dict()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_input_is_located(value: float) -> None:
    x, y = blobs()
    x[3, 5] = value
    check = rl.sanity_check(sound(), x, y)["numbers"]
    assert check.verdict == "fail"
    assert f"x is {value} in row 3, column 5; 1 of 360" in check.finding
    assert check.values == {"where": "x", "sample": 3, "index": [3, 5]}
    assert check.advice


def test_a_bad_target_is_located() -> None:
    x, _ = blobs()
    y = np.ones((60, 4))
    y[7, 1] = np.nan
    assert "y is nan in row 7" in rl.sanity_check(sound(), x, y)["numbers"].finding


def test_a_bad_parameter_is_located() -> None:
    x, y = blobs()
    model = sound()
    model.params["2.weight"][4, 5] = np.nan
    report = rl.sanity_check(model, x, y)
    assert "parameter 2.weight is nan at [4, 5]" in report["numbers"].finding
    assert {report[name].verdict for name in NAMES[2:]} == {"skipped"}


def test_an_overflow_is_located_to_layer_unit_and_sample() -> None:
    class RootOfNegative:
        def __init__(self) -> None:
            self.params: dict[str, Any] = {}
            self.grads: dict[str, Any] = {}

        def forward(self, x: Any, training: bool = False) -> Any:
            self.y = np.where((np.arange(len(x)) == 2)[:, None] & (np.arange(8) == 5), np.float32(np.nan), x)
            return self.y

        def backward(self, dy: Any) -> Any:
            return dy

    x, y = blobs()
    model = rl.Sequential(rl.Dense(6, 8), RootOfNegative(), rl.Dense(8, 4), rng=0)
    check = rl.sanity_check(model, x, y)["numbers"]
    assert "layer 1, RootOfNegative is the first layer" in check.finding
    assert "nan at unit 5, sample 2" in check.finding
    assert check.values == {"where": "output", "layer": 1, "unit": 5, "sample": 2}


def test_an_overflow_of_the_weights_names_the_layer() -> None:
    x, y = blobs()
    model = sound()
    model.params["0.weight"] *= np.float32(1e20)
    model.params["2.weight"] *= np.float32(1e20)
    check = rl.sanity_check(model, x, y)["numbers"]
    assert "layer 2, Dense(32, 16) is the first layer" in check.finding
    assert "standardise" in check.advice


def test_a_loss_or_a_gradient_that_is_not_finite() -> None:
    x, y = blobs()

    def infinite(logits: Any, target: Any) -> Any:
        return math.inf, np.zeros_like(logits)

    def undefined(logits: Any, target: Any) -> Any:
        return 1.0, np.full_like(logits, np.nan)

    assert "the loss is inf" in rl.sanity_check(sound(), x, y, infinite)["numbers"].finding
    assert "gradient of 4.bias is nan" in rl.sanity_check(sound(), x, y, undefined)["numbers"].finding


def test_columns_on_different_scales_far_from_zero_or_constant() -> None:
    x, y = blobs()
    assert rl.sanity_check(sound(), x * [1, 1, 1, 1, 1, 1e4], y)["inputs"].verdict == "warn"
    assert rl.sanity_check(sound(), x * [1, 1, 1, 1, 1, 1e-4], y)["inputs"].verdict == "warn"
    assert rl.sanity_check(sound(), x + 100.0, y)["inputs"].verdict == "warn"
    x[:, 2] = 0.25
    check = rl.sanity_check(sound(), x, y)["inputs"]
    assert check.verdict == "ok"
    assert "1 of them constant" in check.finding
    assert "all rows are the same" in rl.sanity_check(sound(), np.ones((60, 6)), y)["inputs"].finding
    assert rl.sanity_check(sound(), x[:1], y[:1])["inputs"].verdict == "skipped"


def test_inputs_that_are_too_large_start_far_from_chance() -> None:
    x, y = blobs()
    check = rl.sanity_check(sound(), 100.0 * x, y)["chance"]
    assert check.verdict == "warn"
    assert check.values["fresh"] > 10.0 * check.values["chance"]
    assert "standardise" in check.advice


def test_chance_of_a_regression_is_the_mean_and_of_an_own_loss_unknown() -> None:
    x, _ = blobs()
    y = x[:, :1] * 3.0
    model = rl.mlp([6, 16, 1], rng=0)
    report = rl.sanity_check(model, x, y)
    assert report["chance"].values["chance"] == pytest.approx(9.0, rel=1e-5)
    assert report["overfitting"].verdict == "ok"
    assert rl.sanity_check(model, x, y + 100.0)["chance"].verdict == "warn"
    own = rl.sanity_check(model, x, y, lambda p, t: rl.SquaredError()(p, t))
    assert own["chance"].verdict == "skipped"
    assert own["overfitting"].verdict == "ok"


def test_sigmoid_at_the_end_takes_its_cross_entropy() -> None:
    x, y = blobs(classes=2)
    model = rl.Sequential(rl.Dense(6, 8), rl.ReLU(), rl.Dense(8, 1), rl.Sigmoid(), rng=0)
    report = rl.sanity_check(model, x, y[:, None])
    assert report
    assert report["chance"].values["chance"] == pytest.approx(math.log(2), rel=1e-6)


def test_contradictory_rows_cannot_be_learned() -> None:
    x, y = blobs(rows=20)
    x[1] = x[0]
    check = rl.sanity_check(sound(), x, y)["overfitting"]
    assert check.verdict == "fail"
    assert "rows with equal inputs have different targets" in check.advice


def test_a_linear_model_cannot_learn_xor() -> None:
    x, y = rl.data.xor()
    check = rl.sanity_check(rl.mlp([2, 2], rng=0), x, y[:, 0])["overfitting"]
    assert check.verdict == "fail"
    assert "too few units" in check.advice


def test_dead_units_are_counted() -> None:
    x, y = blobs()
    model = sound()
    model.params["0.bias"][:8] = -100.0
    check = rl.sanity_check(model, x, y)["dead units"]
    assert check.verdict == "warn"
    assert check.values["layers"][0]["never"] >= 8
    assert "of 32 dead" in check.finding
    leaky = sound(negative_slope=0.1)
    leaky.params["0.bias"][:8] = -100.0
    check = rl.sanity_check(leaky, x, y)["dead units"]
    assert check.verdict == "ok"
    assert "8 of 32 never above 0" in check.finding


def test_a_layer_that_is_dead_altogether_fails() -> None:
    x, y = blobs()
    model = sound()
    model.params["2.bias"][...] = -100.0
    report = rl.sanity_check(model, x, y)
    assert not report
    assert report["dead units"].verdict == "fail"
    assert report["gradient sizes"].verdict == "fail"
    assert "0.weight" in report["gradient sizes"].finding


def test_gradients_that_vanish_or_explode_on_the_way_to_the_front() -> None:
    x, y = blobs()
    model = sound()
    model.params["4.weight"] *= np.float32(1e-5)
    assert "vanish" in rl.sanity_check(model, x, y)["gradient sizes"].advice
    model.params["4.weight"] *= np.float32(1e5)
    model.params["0.weight"] *= np.float32(1e-5)
    assert "explode" in rl.sanity_check(model, x, y)["gradient sizes"].advice


@pytest.mark.parametrize(("rate", "verdict"), [(1e-8, "warn"), (1e-2, "ok"), (10.0, "warn")])
def test_updates_against_weights(rate: float, verdict: str) -> None:
    x, y = blobs()
    assert rl.sanity_check(sound(), x, y, optimizer=rl.SGD(rate))["updates"].verdict == verdict


def test_an_update_that_diverges_fails() -> None:
    x, y = blobs()
    check = rl.sanity_check(sound(), x, y, optimizer=rl.SGD(1e30))["updates"]
    assert check.verdict == "fail"
    assert "diverged" in check.finding


def test_without_an_optimizer_a_rate_is_told_that_moves_weights_by_a_thousandth() -> None:
    x, y = blobs()
    rates = rl.sanity_check(sound(), x, y)["updates"].values["rates"]
    model = sound()
    before = model.params["2.weight"].copy()
    rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(rates["2.weight"])).step(x.astype(np.float32), y)
    moved = np.linalg.norm(model.params["2.weight"] - before) / np.linalg.norm(before)
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_a_wrong_gradient_is_found() -> None:
    x, y = blobs()

    def loss(logits: Any, target: Any) -> Any:
        value, dy = rl.SoftmaxCrossEntropy()(logits, target)
        return value, dy * len(logits)

    check = rl.sanity_check(sound(), x, y, loss)["gradients"]
    assert check.verdict == "fail"
    assert "division by the batch" in check.advice


def test_the_report_in_every_form() -> None:
    x, y = blobs()
    x[0, 0] = np.nan
    report = rl.sanity_check(sound(), x, y)
    text = str(report)
    assert max(map(len, text.splitlines())) <= 80
    assert "-> " in text
    assert "1 fail" in repr(report)
    html = report._repr_html_()
    assert html.count("<table>") == 2
    xml.etree.ElementTree.fromstring(html.replace("<br>", "<br/>"))
    values = json.loads(json.dumps(report.to_dict()))
    assert values["ok"] is False
    assert [check["name"] for check in values["checks"]] == NAMES
    with pytest.raises(KeyError, match="there are numbers, inputs"):
        report["number"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((rl.Dense(6, 4), *blobs()), {}, TypeError, "model is a Dense, expected a Sequential"),
        ((rl.mlp([6, 4]), *blobs(), rl.SquaredError), {}, TypeError, "loss is"),
        ((rl.mlp([6, 4]), *blobs()), {"optimizer": "adam"}, TypeError, "optimizer is 'adam'"),
        ((rl.mlp([6, 4]), *blobs()), {"seed": -1}, ValueError, "seed is -1"),
        ((rl.mlp([6, 4]), np.empty((0, 6)), np.empty(0, int)), {}, ValueError, "no rows"),
        ((rl.mlp([6, 4]), blobs()[0], np.zeros(3, int)), {}, ValueError, "60 rows but y has 3"),
        ((rl.mlp([5, 4]), *blobs()), {}, ValueError, "layer 0"),
        ((rl.mlp([6, 3]), *blobs()), {}, IndexError, "3"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        rl.sanity_check(*arguments, **options)
