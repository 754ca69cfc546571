"""Attributes that are assigned take effect, or are refused with the way to do it: none is taken in silence."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers._support.configured import Configured
from relu_layers.layers import ParameterLayer

X = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 32)


def trainer(**settings: Any) -> rl.Trainer:
    return rl.Trainer(rl.mlp([4, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1), **settings)


MADE: dict[str, Any] = {
    "model": lambda: rl.mlp([4, 8, 3], rng=0),
    "trainer": trainer,
    "optimizer": lambda: rl.Adam(),
    "AdamW": lambda: rl.AdamW(),
    "dense": lambda: rl.Dense(4, 3),
    "prelu": lambda: rl.PReLU(3),
    "relu": lambda: rl.ReLU(),
    "dropout": lambda: rl.Dropout(0.5),
    "loss": lambda: rl.SoftmaxCrossEntropy(),
    "schedule": lambda: rl.schedules.Step(0.1, 0.5, 10),
    "stopping": lambda: rl.EarlyStopping(3),
}
REFUSED = [
    ("model", "layers", (), "make a new Sequential"),
    ("model", "params", {}, "load_params"),
    ("model", "grads", {}, "model.grads"),
    ("model", "flat_params", np.zeros(67, np.float32), r"flat_params\[:\]"),
    ("model", "flat_grads", np.zeros(67, np.float32), r"flat_grads\[:\]"),
    ("model", "dtype", np.float64, "astype"),
    ("model", "weights", [], "no attribute 'weights'"),
    ("model", "training", False, "no attribute 'training'"),
    ("trainer", "model", rl.mlp([4, 3]), "make a new Trainer"),
    ("trainer", "communicator", object(), "make a new Trainer"),
    ("trainer", "steps", 0, "can be read, not replaced"),
    ("trainer", "clipnorm", 1.0, "did you mean 'clip_norm'"),
    ("trainer", "lr", 1.0, "no attribute 'lr'"),
    ("optimizer", "slots", {}, r"slots\[name\]\[:\] = values, or optimizer.load_state_dict"),
    ("optimizer", "lr", 0.0, "did you mean 'learning_rate'"),
    ("optimizer", "eps", 0.0, "did you mean 'epsilon'"),
    ("AdamW", "wd", 0.0, "did you mean 'weight_decay'"),
    ("dense", "weight", np.zeros((4, 3), np.float32), r"layer.params\['weight'\]"),
    ("dense", "params", {}, r"write params\[key\]"),
    ("dense", "out_features", 5, "make a new layer"),
    ("dense", "bias", False, "make a new layer"),
    ("prelu", "slope", 0.1, r"layer.params\['slope'\]"),
    ("prelu", "features", 4, "make a new layer"),
    ("relu", "slope", 0.1, "did you mean 'negative_slope'"),
    ("dropout", "p", 0.1, "did you mean 'rate'"),
    ("loss", "ignore_index", 3, "did you mean 'ignore_label'"),
    ("schedule", "step", 3, "did you mean 'every'"),
    ("stopping", "patiance", 3, "did you mean 'patience'"),
]


@pytest.mark.parametrize(("name", "attribute", "value", "words"), REFUSED)
def test_an_attribute_that_nothing_reads_is_refused(
    name: str, attribute: str, value: Any, words: str
) -> None:
    made = MADE[name]()
    before = dict(made.__dict__)
    with pytest.raises(AttributeError, match=words):
        setattr(made, attribute, value)
    assert made.__dict__.keys() == before.keys()


def test_a_class_of_ones_own_has_what_attributes_it_likes() -> None:
    class Own(rl.ReLU):
        pass

    class OwnModel(rl.Sequential):
        pass

    own = Own()
    own.anything = 3  # type: ignore[attr-defined]
    model = OwnModel(rl.Dense(2, 3), own)
    model.notes = "mine"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="make a new Sequential"):
        model.layers = ()


@pytest.mark.parametrize("name", ["AdamW", "relu", "dropout", "loss", "schedule", "stopping"])
def test_whatever_a_constructor_takes_may_be_set_again(name: str) -> None:
    made = MADE[name]()
    for argument, value in made.config().items():
        setattr(made, argument, value)
    assert repr(made) == repr(MADE[name]())


def test_the_model_s_ops_may_be_replaced() -> None:
    model = rl.mlp([4, 8, 3], dtype=np.float64, rng=0)
    calls = []

    class Spy:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(rl.ops.reference, name)

    wanted = model(X.astype(np.float64))
    for _ in range(3):  # captured
        model(X.astype(np.float64))
    model.ops = Spy()
    np.testing.assert_allclose(model(X.astype(np.float64)), wanted, rtol=1e-12)
    assert "dense_forward" in calls


def test_callbacks_and_loss_of_a_trainer_may_be_replaced() -> None:
    one = trainer()
    losses: list[float] = []

    class Steps(rl.Callback):
        def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
            losses.append(loss)

    for _ in range(4):
        one.step(X, Y)
    one.callbacks = Steps()
    one.step(X, Y)
    one.fit(X, Y, epochs=1, batch_size=16)
    assert len(losses) == 3
    one.callbacks = None
    one.step(X, Y)
    assert len(losses) == 3
    one.loss = rl.SoftmaxCrossEntropy(label_smoothing=0.1)
    assert one.step(X, Y) != rl.SoftmaxCrossEntropy()(one.model(X), Y)[0]


def test_a_loss_that_ends_the_network_elsewhere_is_refused() -> None:
    model = rl.Sequential(rl.Dense(4, 3), rl.Softmax(), rng=0)
    one = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.1))
    with pytest.raises(ValueError, match="make a new Trainer"):
        one.loss = rl.SquaredError()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_function_in_place_of_a_layer_s_own_is_called(place: int) -> None:
    """Captured or not, and not passed over where a Dense does the work of the ReLU behind it."""
    for capture in (True, False):
        one = trainer(capture=capture)
        for _ in range(4):
            one.step(X, Y)
            one.model(X)
        layer, calls = one.model.layers[place], []
        own = layer.forward

        def counted(*given: Any, own: Any = own, calls: list[int] = calls, **named: Any) -> Any:
            calls.append(1)
            return own(*given, **named)

        layer.forward = counted
        for _ in range(5):
            one.step(X, Y)
            one.model(X)
        assert len(calls) == 10
        del layer.forward
        one.step(X, Y)
        assert len(calls) == 10


def test_a_function_in_place_of_a_class_s_own_is_called_without_capture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    own = rl.ReLU.backward

    def counted(*given: Any, **named: Any) -> Any:
        calls.append(1)
        return own(*given, **named)

    one = trainer(capture=False)
    one.step(X, Y)
    monkeypatch.setattr(rl.ReLU, "backward", counted)
    for _ in range(3):
        one.step(X, Y)
    assert len(calls) == 3


def test_layers_with_parameters_keep_their_arrays() -> None:
    layer = rl.Dense(4, 3)
    assert isinstance(layer, ParameterLayer)
    layer.params["weight"] = np.ones((4, 3), np.float32)
    assert (layer.forward(np.ones((1, 4), np.float32)) == 4).all()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
def test_items_of_the_estimators_lists_are_the_network_s(name: str) -> None:
    pytest.importorskip("sklearn")
    from relu_layers.sklearn import MLPClassifier

    one = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, Y)
    values = getattr(one, name)
    values[0] = values[0] * 0
    assert not getattr(one, name)[0].any()
    getattr(one, name)[:] = [np.ones_like(value) for value in values]
    assert all((value == 1).all() for value in getattr(one, name))
    with pytest.raises(ValueError, match=name):
        values[0] = np.zeros(7)
    for change in (lambda: values.append(values[0]), values.pop, values.clear):
        with pytest.raises(TypeError, match="an array for each layer"):
            change()
    assert isinstance(values, list)


def settable() -> dict[str, Callable[[], Any]]:
    """Return a maker for every class of the package whose settings are attributes."""
    rate, classes = 0.5, {}
    pending = list(Configured.__subclasses__())
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        own = kind.__module__.startswith("relu_layers") and not kind.__name__.startswith("_")
        if own and "__init__" in kind.__dict__:
            classes[f"{kind.__module__}.{kind.__qualname__}"] = kind
    given = {
        "MultiStep": (rate, 0.5, [2, 3]), "Inverse": (rate, 0.5, 1.0), "Sigmoid": (rate, 0.5, 3),
        "Step": (rate, 0.5, 3), "Polynomial": (rate, 1.0, 9), "Exponential": (rate, 0.5), "Cosine": (rate, 9),
        "Warmup": (rate, 3), "Constant": (rate,), "Threshold": (0.1, 0.0), "Dense": (4, 3), "PReLU": (3,),
        "Dropout": (0.5,), "ModelCheckpoint": ("m.npz",), "CSVLog": ("h.csv",),
        "SGD": (rate,), "AdaGrad": (rate,), "RMSProp": (rate,),
    }  # fmt: skip
    return {
        name: partial(kind, *given.get(kind.__name__, ()) if "layers.sigmoid" not in name else ())
        for name, kind in sorted(classes.items())
        if kind.__name__ not in ("FunctionLoss", "Optimizer", "ParameterLayer")
    }


WRONG = [None, "x", -7, 7, -0.5, 1e400, float("nan"), [3, 1], object(), np.ones(2), True, b"x", {"name": 3}]


def outcome(kind: type, given: dict[str, Any], argument: str) -> Any:
    """Return what a constructor makes of an argument, or the error with which it refuses it."""
    try:
        return getattr(kind(**given), argument)
    except (TypeError, ValueError) as error:
        return error


@pytest.mark.parametrize("name", settable())
def test_a_setting_takes_later_what_the_constructor_takes(name: str) -> None:
    kind = type(settable()[name]())
    names = inspect.signature(kind).parameters
    for argument, value in itertools.product(names, WRONG):
        made = settable()[name]()
        before = getattr(made, argument)
        expected = outcome(kind, {a: getattr(made, a) for a in names} | {argument: value}, argument)
        if argument in made._FIXED and value is not before:
            with pytest.raises(AttributeError):
                setattr(made, argument, value)
            expected = before
        elif isinstance(expected, Exception):
            with pytest.raises(type(expected), match=re.escape(str(expected))):
                setattr(made, argument, value)
            expected = before
        else:
            setattr(made, argument, value)
        now = getattr(made, argument)
        assert type(now) is type(expected)
        assert callable(now) or repr(now) == repr(expected)


@pytest.mark.parametrize(
    ("made", "name", "value", "words"),
    [
        (rl.ReLU(), "negative_slope", "steep", "negative_slope is 'steep' of type str, expected a number"),
        (rl.Dropout(0.5), "rate", 1.0, "rate is 1.0, expected 0 <= rate < 1"),
        (rl.SGD(0.1), "weight_decay", -1, "weight_decay is -1.0, expected at least 0"),
        (rl.Adam(), "beta1", 1.0, "beta1 is 1.0, expected at least 0 and below 1"),
        (rl.SoftmaxCrossEntropy(), "normalization", "mean", "normalization is 'mean', expected one of"),
        (rl.schedules.Step(0.1, 0.5, 10), "every", 0, "every is 0, expected at least 1"),
        (rl.EarlyStopping(3), "patience", 0, "patience is 0, expected at least 1"),
        (rl.Clip(), "minimum", 6.0, "expected minimum < maximum"),
    ],
)
def test_a_setting_that_the_constructor_refuses_is_refused_later(
    made: Any, name: str, value: Any, words: str
) -> None:
    before = getattr(made, name)
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        setattr(made, name, value)
    assert getattr(made, name) == before


@pytest.mark.parametrize(
    ("name", "attribute", "value", "words"),
    [
        ("trainer", "accumulate", 0, "accumulate is 0, expected at least 1"),
        ("trainer", "accumulate", 2.0, "accumulate is 2.0"),
        ("trainer", "l2_penalty", -1.0, "l2_penalty is -1.0, expected at least 0"),
        ("trainer", "capture", 1, "capture is 1"),
        ("trainer", "loss", "mse", "loss is 'mse'"),
        ("trainer", "rng", "seed", "seed"),
        ("model", "predicts", "labels", "predicts is 'labels', expected one of numbers, classes"),
        ("model", "rng", -1, "expected non-negative"),
    ],
)
def test_what_trainer_and_model_could_not_use_is_refused(
    name: str, attribute: str, value: Any, words: str
) -> None:
    made = MADE[name]()
    before = getattr(made, attribute)
    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        setattr(made, attribute, value)
    assert getattr(made, attribute) is before


@pytest.mark.parametrize("name", ["model", "trainer"])
def test_a_seed_that_is_assigned_is_a_generator(name: str) -> None:
    made = MADE[name]()
    made.rng = 5
    assert made.rng.integers(1000) == np.random.default_rng(5).integers(1000)


def test_a_number_that_is_assigned_reads_as_the_constructor_s() -> None:
    optimizer = rl.SGD(0.5)
    optimizer.weight_decay = 1
    assert repr(optimizer) == "SGD(0.5, weight_decay=1.0)"


def test_a_class_of_ones_own_with_a_constructor_of_its_own_assigns_as_it_likes() -> None:
    class Own(rl.schedules.Constant):
        def __init__(self, factor: float) -> None:
            super().__init__(0.5)
            self.base = self.base * factor

    schedule = Own(3.0)
    schedule.base = 2
    assert schedule(0) == 2.0
