"""Attributes that are assigned take effect, or are refused with the way to do it: none is taken in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl
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
