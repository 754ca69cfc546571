"""Captured steps and inferences: the same bits as the layers give, in every way that they may be used."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import itertools
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers import _core
from relu_layers.layers import Dense, Layer
from relu_layers.ops import reference

Network = Callable[[], list[Any]]
STEPS = 7


def data(rows: int, inputs: int, outputs: int, labels: bool = True) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((rows, inputs)).astype(np.float32)
    if labels:
        return x, rng.integers(0, outputs, rows)
    return x, rng.standard_normal((rows, outputs)).astype(np.float32)


def usual() -> list[Any]:
    return [rl.Dense(5, 8), rl.ReLU(0.1), rl.Dense(8, 6), rl.ReLU(), rl.Dense(6, 3)]


NETWORKS: dict[str, Network] = {
    "usual": usual,
    "one layer": lambda: [rl.Dense(5, 3)],
    "softmax at the end": lambda: [*usual(), rl.Softmax()],
    "log softmax at the end": lambda: [*usual(), rl.LogSoftmax()],
    "dropout": lambda: [
        rl.Dense(5, 8),
        rl.Dropout(0.3),
        rl.ReLU(),
        rl.Dense(8, 7),
        rl.ReLU(),
        rl.Dropout(0.5),
        rl.Dense(7, 3),
    ],
    "others": lambda: [
        rl.Dense(5, 6, bias=False),
        rl.PReLU(6),
        rl.Dense(6, 6),
        rl.ELU(),
        rl.Dense(6, 4),
        rl.Tanh(),
        rl.Dense(4, 4),
        rl.Sigmoid(),
        rl.Dense(4, 4),
        rl.SiLU(),
        rl.Dense(4, 4),
        rl.SELU(),
        rl.Dense(4, 4),
        rl.GELU(),
        rl.Dense(4, 4),
        rl.GELU("tanh"),
        rl.Dense(4, 4),
        rl.Softplus(),
        rl.Clip(0.1, 1.5),
        rl.Dense(4, 3),
    ],
    "steep": lambda: [rl.ReLU(), rl.Dense(5, 4), rl.ReLU(-0.5), rl.Dense(4, 3), rl.Threshold(0.1, 0.1)],
    "softmax inside": lambda: [rl.Dense(5, 4), rl.Softmax(), rl.Dense(4, 3)],
}
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: rl.SGD(0.05),
    "momentum": lambda: rl.SGD(0.05, momentum=0.9, weight_decay=0.01, regularization="l1"),
    "nesterov": lambda: rl.SGD(rl.schedules.Step(0.05, 0.5, 3), momentum=0.9, nesterov=True),
    "multipliers": lambda: rl.SGD(0.05, multipliers={"0.weight": (0.0, 1.0), "2.weight": (2.0, 0.5)}),
    "adagrad": lambda: rl.AdaGrad(0.05),
    "rmsprop": lambda: rl.RMSProp(rl.schedules.Warmup(rl.schedules.Cosine(0.05, 20), 4)),
    "adadelta": lambda: rl.AdaDelta(),
    "adam": lambda: rl.Adam(0.01),
    "adamw": lambda: rl.AdamW(rl.schedules.Inverse(0.01, 0.1, 0.5), epsilon_hat=True),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"clip_norm": 0.3},
    "accumulated": {"accumulate": 3},
    "both": {"clip_norm": 0.5, "accumulate": 2},
}


def trainer(
    network: Network = usual, *, capture: bool = True, loss: Any = None, optimizer: Any = None, **options: Any
) -> rl.Trainer:
    model = rl.Sequential(*network(), rng=5)
    return rl.Trainer(
        model, loss or rl.SoftmaxCrossEntropy(), optimizer or rl.SGD(0.05), capture=capture, **options
    )


def state(of: rl.Trainer) -> dict[str, Any]:
    optimizer = of.optimizer.state_dict()
    return {
        "params": of.model.flat_params.tobytes(),
        "slots": {name: array.tobytes() for name, array in optimizer["slots"].items()},
        "updates": optimizer["updates"],
        "rate": optimizer["last_learning_rate"],
        "steps": of.steps,
        "history": {name: column.tobytes() for name, column in of.history.columns().items()},
        "masks": [layer.state() for layer in of.model.layers if isinstance(layer, rl.Dropout)],
    }


def runs_in_layers(of: rl.Trainer, work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether a layer was called."""
    called: list[int] = []
    forward = Dense.forward

    def counting(self: Dense, *args: Any, **options: Any) -> Any:
        called.append(1)
        return forward(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Dense, "forward", counting)
        work()
    return bool(called)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_takes_the_same_steps(optimizer: str, settings: str) -> None:
    x, labels = data(4, 5, 3)
    pair = [
        trainer(capture=c, optimizer=OPTIMIZERS[optimizer](), **SETTINGS[settings]) for c in (False, True)
    ]
    losses = [[each.step(x * (1 + i), labels) for i in range(STEPS)] for each in pair]
    assert losses[0] == losses[1]
    assert state(pair[0]) == state(pair[1])


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_layer_fits_the_same(network: str, settings: str) -> None:
    """Whole epochs with a short last batch, shuffled, validated."""
    x, labels = data(23, 5, 3)
    pair = [
        trainer(NETWORKS[network], capture=c, optimizer=rl.Adam(0.01), rng=1, **SETTINGS[settings])
        for c in (False, True)
    ]
    for each in pair:
        each.fit(x, labels, epochs=4, batch_size=4, validation=(x[:5], labels[:5]))
        each.fit(x, labels, epochs=2, batch_size=5, shuffle=False)
    assert state(pair[0]) == state(pair[1])


LOSSES: dict[str, tuple[Callable[[], Any], bool]] = {
    "softmax": (lambda: rl.SoftmaxCrossEntropy(label_smoothing=0.1), True),
    "ignoring": (lambda: rl.SoftmaxCrossEntropy(ignore_label=1), True),
    "class weights": (lambda: rl.SoftmaxCrossEntropy(class_weight=[1.0, 2.0, 0.5]), True),
    "sum": (lambda: rl.SoftmaxCrossEntropy(normalization="none"), True),
    "sigmoid": (lambda: rl.SigmoidCrossEntropy(), False),
    "squared": (lambda: rl.SquaredError(0.5, "batch_size"), False),
    "huber": (lambda: rl.Huber(0.5), False),
    "squared, valid": (lambda: rl.SquaredError(normalization="valid"), False),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_fits_the_same(loss: str, weighted: bool) -> None:
    make, labelled = LOSSES[loss]
    x, y = data(22, 5, 3, labelled)
    if loss == "sigmoid":
        y = (y > 0).astype(np.float32)
    weights = np.linspace(0.1, 2.0, 22).astype(np.float32) if weighted else None
    pair = [trainer(capture=c, loss=make(), rng=1) for c in (False, True)]
    for each in pair:
        each.fit(x, y, epochs=5, batch_size=4, sample_weight=weights)
        for _ in range(3):
            each.step(x[:4], y[:4], None if weights is None else weights[:4])
    assert state(pair[0]) == state(pair[1])


@pytest.mark.parametrize("weighted", [False, True])
def test_a_penalty_fits_the_same(weighted: bool) -> None:
    x, y = data(22, 5, 3)
    weights = np.linspace(0.1, 2.0, 22).astype(np.float32) if weighted else None
    pair = [trainer(capture=c, rng=1, l2_penalty=0.3) for c in (False, True)]
    for each in pair:
        each.fit(x, y, epochs=5, batch_size=4, sample_weight=weights)
        each.l2_penalty = 0.1
        for _ in range(3):
            each.step(x[:4], y[:4], None if weights is None else weights[:4])
        each.fit(x, y, epochs=5, batch_size=4, sample_weight=weights)
    assert state(pair[0]) == state(pair[1])
    np.testing.assert_array_equal(pair[0].history["penalty"], pair[1].history["penalty"])
    assert (pair[0].history["penalty"] > 0).all()


def test_targets_as_probabilities_and_other_label_types() -> None:
    x, labels = data(20, 5, 3)
    for y in (np.eye(3, dtype=np.float32)[labels], labels.astype(np.uint8), labels.astype(np.int16)):
        pair = [trainer(capture=c, rng=1) for c in (False, True)]
        for each in pair:
            each.fit(x, y, epochs=4, batch_size=4)
        assert state(pair[0]) == state(pair[1])


def test_steps_are_really_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = data(32, 5, 3)
    each = trainer(NETWORKS["dropout"])
    assert runs_in_layers(each, lambda: each.step(x[:4], labels[:4]), monkeypatch)
    each.step(x[:4], labels[:4])
    assert not runs_in_layers(each, lambda: each.step(x[4:8], labels[4:8]), monkeypatch)
    assert runs_in_layers(each, lambda: each.step(x[:5], labels[:5]), monkeypatch)
    each.fit(x, labels, epochs=4, batch_size=4)
    assert not runs_in_layers(each, lambda: each.step(x[4:8], labels[4:8]), monkeypatch)


def test_many_short_fits_are_replayed_like_a_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(12, 5, 3)
    short, plain = trainer(), trainer(capture=False)

    def fits(of: rl.Trainer, times: int) -> None:
        for _ in range(times):
            of.fit(x, y, epochs=1, batch_size=4)

    fits(short, 6)  # of three steps each
    fits(plain, 6)
    assert not runs_in_layers(short, lambda: fits(short, 2), monkeypatch)
    fits(plain, 2)
    assert state(short) == state(plain)


def test_capture_false_runs_in_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = data(4, 5, 3)
    each = trainer(capture=False)
    for _ in range(4):
        assert runs_in_layers(each, lambda: each.step(x, labels), monkeypatch)


def test_inference_is_really_replayed_into_new_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = data(6, 5, 3)
    each = trainer(NETWORKS["dropout"])
    model = each.model
    first = model(x)
    model(x)
    assert not runs_in_layers(each, lambda: model(x), monkeypatch)
    y = model(x)
    assert y is not first
    assert not np.shares_memory(y, first)
    assert y.tobytes() == first.tobytes()
    out = np.empty_like(y)
    assert not runs_in_layers(each, lambda: model(x, out=out), monkeypatch)
    assert model(x, out=out) is out
    assert out.tobytes() == first.tobytes()
    model.params["0.bias"] += 1.0
    apart = rl.Sequential(*NETWORKS["dropout"](), rng=0, ops=reference)
    apart.load_params(model.params)
    np.testing.assert_allclose(model(x), apart(x), rtol=1e-5, atol=1e-6)


def changes() -> list[tuple[str, Callable[[rl.Trainer], None]]]:
    def layer(index: int, name: str, value: Any) -> Callable[[rl.Trainer], None]:
        return lambda of: setattr(of.model.layers[index], name, value)

    def loss(name: str, value: Any) -> Callable[[rl.Trainer], None]:
        return lambda of: setattr(of.loss, name, value)

    def optimizer(name: str, value: Any) -> Callable[[rl.Trainer], None]:
        return lambda of: setattr(of.optimizer, name, value)

    def itself(name: str, value: Any) -> Callable[[rl.Trainer], None]:
        return lambda of: setattr(of, name, value)

    return [
        ("negative_slope", layer(1, "negative_slope", 0.7)),
        ("negative_slope below 0", layer(1, "negative_slope", -0.7)),
        ("alpha", layer(3, "alpha", 0.3)),
        ("rate", layer(4, "rate", 0.6)),
        ("dropout state", lambda of: of.model.layers[4].load_state({"key": 9, "counter": 40})),
        ("threshold", layer(6, "threshold", 0.3)),
        ("value", layer(6, "value", 0.2)),
        ("class_weight", loss("class_weight", [1.0, 0.5, 3.0])),
        ("label_smoothing", loss("label_smoothing", 0.3)),
        ("ignore_label", loss("ignore_label", 0)),
        ("normalization", loss("normalization", "none")),
        ("learning_rate", optimizer("learning_rate", 0.5)),
        ("schedule", optimizer("learning_rate", rl.schedules.Exponential(0.5, 0.9))),
        ("base", lambda of: setattr(of.optimizer.learning_rate, "base", 0.3)),
        ("momentum", optimizer("momentum", 0.5)),
        ("nesterov", optimizer("nesterov", True)),
        ("weight_decay", optimizer("weight_decay", 0.1)),
        ("regularization", optimizer("regularization", "l1")),
        ("multipliers", optimizer("multipliers", {"0.weight": (0.0, 0.0)})),
        ("updates", optimizer("updates", 100)),
        ("clip_norm", itself("clip_norm", 0.01)),
        ("accumulate", itself("accumulate", 2)),
        ("loss", itself("loss", rl.SoftmaxCrossEntropy(normalization="none"))),
        ("target", lambda of: rl.use_target(rl.build_info()["targets"][-1]) and None),
        ("parameters", lambda of: of.model.flat_params.__imul__(0.5) and None),
    ]


@pytest.mark.parametrize(("name", "change"), [pytest.param(*pair, id=pair[0]) for pair in changes()])
def test_a_changed_attribute_counts_from_the_next_step_on(
    name: str, change: Callable[[rl.Trainer], None], restored_target: None
) -> None:
    def network() -> list[Any]:
        return [
            *(rl.Dense(5, 8), rl.ReLU(0.1), rl.Dense(8, 6), rl.ELU(), rl.Dropout(0.2), rl.Dense(6, 4)),
            *(rl.Threshold(0.0, 0.0), rl.Dense(4, 3)),
        ]

    x, labels = data(4, 5, 3)
    optimizer = rl.SGD(0.05, momentum=0.9, weight_decay=0.01)
    pair = [trainer(network, capture=c, optimizer=copy.deepcopy(optimizer)) for c in (False, True)]
    ends = []
    for each in pair:
        target = rl.target()
        losses = [each.step(x, labels) for _ in range(4)]
        answers = [each.model(x) for _ in range(3)]
        if name == "parameters":
            each.model.flat_params *= 0.5
        else:
            change(each)
        losses += [each.step(x, labels) for _ in range(4)]
        answers.append(each.model(x))
        ends.append((losses, [y.tobytes() for y in answers], state(each)))
        rl.use_target(target)
    assert ends[0] == ends[1]


@pytest.fixture
def restored_target() -> Any:
    target = rl.target()
    yield
    rl.use_target(target)


def test_public_attributes_of_built_in_objects_are_all_watched() -> None:
    """Setting any argument of a constructor makes captures look again."""
    from relu_layers import _core
    from relu_layers.layers import BUILT_IN

    made = [
        rl.Dense(2, 3),
        rl.PReLU(3),
        *(
            BUILT_IN[n]()
            for n in (
                "ReLU",
                "ELU",
                "Sigmoid",
                "SiLU",
                "GELU",
                "SELU",
                "Softplus",
                "Clip",
                "Tanh",
                "Softmax",
                "LogSoftmax",
            )
        ),
    ]
    made += [rl.Threshold(0.0, 0.0), rl.Dropout(0.5), rl.SoftmaxCrossEntropy(), rl.SigmoidCrossEntropy()]
    made += [
        rl.SquaredError(),
        rl.SGD(0.1),
        rl.Adam(),
        rl.AdaGrad(0.1),
        rl.RMSProp(0.1),
        rl.AdaDelta(),
        rl.AdamW(),
    ]
    made += [rl.schedules.Constant(0.1), rl.schedules.Step(0.1, 0.5, 3), rl.schedules.Cosine(0.1, 10)]
    for each in made:
        for name in each.config():
            replay = _core.InferenceReplay(_core.UsageGuard(), np.zeros(1), [each])
            assert replay.current
            setattr(each, name, getattr(each, name))
            # A rate is read whenever it is needed.
            assert replay.current == (name == "learning_rate"), f"{each!r}.{name}"


def test_wrong_arguments_are_refused_as_by_the_layers_and_change_nothing() -> None:
    x, labels = data(4, 5, 3)
    each = trainer(NETWORKS["dropout"], optimizer=rl.Adam(0.01))
    for _ in range(3):
        each.step(x, labels)
    before = state(each)
    bad = labels.copy()
    bad[2] = 3
    with pytest.raises(IndexError, match=r"labels\[2\] is 3"):
        each.step(x, bad)
    with pytest.raises(TypeError, match="float64"):
        each.step(x.astype(np.float64), labels)
    with pytest.raises(TypeError, match="labels"):
        each.step(x, labels.astype(np.float32))
    with pytest.raises(ValueError, match="expected"):
        each.step(x[:, :4].copy(), labels)
    with pytest.raises(ValueError, match="labels"):
        each.step(x, labels[:3])
    with pytest.raises(TypeError):
        each.step(x.tolist(), labels)
    with pytest.raises(ValueError, match="shares memory"):
        each.step(each.model.flat_grads[: x.size].reshape(x.shape), labels)
    assert state(each) == before
    x[1] = np.nan
    with pytest.raises(rl.DivergenceError, match="row 1 of the batch"):
        each.step(x, labels)
    assert state(each) == before


def test_arrays_of_any_layout_give_the_same_steps() -> None:
    x, labels = data(8, 5, 3)
    pair = [trainer(capture=c) for c in (False, True)]
    for each in pair:
        for array in (x[:4], x[::2], np.asfortranarray(x[:4]), x[3::-1], x[:4].copy(), x[4:]):
            for picked in (labels[:4], labels[::2]):
                each.step(array, picked)
    assert state(pair[0]) == state(pair[1])


def test_divergence_in_the_middle_of_a_fit() -> None:
    x, labels = data(40, 5, 3)
    x[17] = 3e38  # finite, as all that fit takes, but the sums of the first layer are not
    pair = [trainer(capture=c, rng=1, optimizer=rl.SGD(0.01, momentum=0.9)) for c in (False, True)]
    messages = []
    for each in pair:
        with pytest.raises(rl.DivergenceError) as caught:
            each.fit(x, labels, epochs=2, batch_size=4, shuffle=False)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "epoch 1, batch 5" in messages[0]
    assert state(pair[0]) == state(pair[1])
    assert pair[0].steps == 4


class Watcher(rl.Callback):
    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        self.seen.append((step, loss))


def test_callbacks_see_every_step_and_may_change_things() -> None:
    class Changing(Watcher):
        def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
            super().on_step_end(trainer, step, loss)
            if step == 9:
                trainer.optimizer.learning_rate = 0.5
            if step == 14:
                trainer.model.layers[1].negative_slope = 0.4
            if step == 19:
                trainer.clip_norm = 0.1

    x, labels = data(30, 5, 3)
    watchers = [Changing(), Changing()]
    pair = [trainer(capture=c, rng=1, callbacks=[w]) for c, w in zip((False, True), watchers, strict=True)]
    for each in pair:
        each.fit(x, labels, epochs=4, batch_size=4)
    assert watchers[0].seen == watchers[1].seen
    assert len(watchers[0].seen) == 32
    assert state(pair[0]) == state(pair[1])


def test_gradients_ready_comes_before_every_update() -> None:
    class Halving(rl.Callback):
        calls = 0

        def on_gradients_ready(self, trainer: Any) -> None:
            self.calls += 1
            trainer.model.flat_grads *= 0.5

    x, labels = data(30, 5, 3)
    pair = [trainer(capture=c, rng=1, callbacks=[Halving()]) for c in (False, True)]
    for each in pair:
        each.fit(x, labels, epochs=3, batch_size=4)
        each.step(x[:4], labels[:4])
        each.step(x[:4], labels[:4])
        each.step(x[:4], labels[:4])
        assert each.callbacks[0].calls == 27
    assert state(pair[0]) == state(pair[1])


def test_a_callback_that_asks_for_seconds_leaves_steps_out() -> None:
    class Seldom(Watcher):
        refresh_seconds = 100.0

    x, labels = data(4000, 5, 3)
    seldom, every = Seldom(), Watcher()
    trainer(callbacks=[seldom]).fit(x, labels, epochs=1, batch_size=4)
    assert 1 <= len(seldom.seen) < 1000
    assert seldom.seen[-1][0] == 1000
    trainer(callbacks=[seldom, every]).fit(x, labels, epochs=1, batch_size=4)
    assert len(every.seen) == 1000


def test_what_cannot_be_captured_runs_in_the_layers() -> None:
    class Doubling(Layer):
        def forward(self, x: Any, training: bool = False, *, out: Any = None) -> Any:
            self._saved = x
            return np.multiply(x, np.float32(2), out=out)

        def backward(self, dy: Any, *, out: Any = None) -> Any:
            self._saved = None
            return np.multiply(dy, np.float32(2), out=out)

    class Steep(rl.ReLU):
        def forward(self, x: Any, training: bool = False, *, out: Any = None) -> Any:
            return super().forward(x, training, out=out)

    def halves(y: Any, target: Any) -> tuple[float, Any]:
        return rl.SoftmaxCrossEntropy(normalization="none")(y, target)

    x, labels = data(24, 5, 3)
    cases: list[dict[str, Any]] = [
        {"network": lambda: [rl.Dense(5, 4), Doubling(), rl.Dense(4, 3)]},
        {"network": lambda: [rl.Dense(5, 4), Steep(0.3), rl.Dense(4, 3)]},
        {"loss": halves},
        {"optimizer": lambda: rl.SGD(lambda updates: 0.1 / (1 + updates))},
    ]
    for case in cases:
        make = case.pop("optimizer", lambda: rl.SGD(0.05))
        pair = [trainer(capture=c, rng=1, optimizer=make(), **case) for c in (False, True)]
        for each in pair:
            each.fit(x, labels, epochs=4, batch_size=4)
            for _ in range(4):
                each.step(x[:4], labels[:4])
        assert state(pair[0]) == state(pair[1])


@pytest.mark.parametrize("through", [copy.deepcopy, lambda of: pickle.loads(pickle.dumps(of))])
def test_a_copied_trainer_counts_for_itself(through: Callable[[rl.Trainer], rl.Trainer]) -> None:
    x, labels = data(4, 5, 3)
    each = trainer(NETWORKS["dropout"], optimizer=rl.Adam(0.01), accumulate=2)
    for _ in range(5):
        each.step(x, labels)
    other = through(each)
    assert state(other) == state(each)
    ends = [[of.step(x, labels) for _ in range(5)] for of in (each, other)]
    assert ends[0] == ends[1]
    assert state(other) == state(each)
    assert each.steps == 10


def test_backward_after_anything_but_a_training_forward() -> None:
    x, labels = data(4, 5, 3)
    each = trainer()
    for _ in range(3):
        each.model(x)
        each.step(x, labels)
    dy = np.ones((4, 3), dtype=np.float32)
    each.model.forward(x, training=True)
    each.step(x, labels)
    with pytest.raises(RuntimeError, match=r"backward must follow.*updated in between"):
        each.model.backward(dy)
    each.model.forward(x, training=True)
    each.model(x)  # inference disturbs nothing
    assert each.model.backward(dy).shape == x.shape
    with pytest.raises(RuntimeError, match="backward must follow"):
        each.model.backward(dy)


@pytest.mark.parametrize("width", [8, 700])
def test_many_threads_in_one_model(width: int) -> None:
    """Small calls keep the GIL, large ones run side by side: each gets its own rows."""
    model = rl.mlp([20, width, width, 3], rng=0)
    batches = [np.random.default_rng(i).standard_normal((16, 20)).astype(np.float32) for i in range(8)]
    expected = [model(x).tobytes() for x in batches]
    wrong: list[int] = []

    def infer(i: int) -> None:
        for _ in range(60):
            if model(batches[i]).tobytes() != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=infer, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_second_thread_cannot_train_beside_a_long_fit() -> None:
    x, labels = data(512, 200, 10)
    each = trainer(lambda: [rl.Dense(200, 300), rl.ReLU(), rl.Dense(300, 10)])
    refused: list[str] = []
    stop = threading.Event()

    def intrude() -> None:
        while not stop.is_set():
            try:
                each.step(x[:64], labels[:64])
            except RuntimeError as error:
                refused.append(str(error))
                return

    thread = threading.Thread(target=intrude)
    each.fit(x, labels, epochs=1, batch_size=64)
    thread.start()
    try:
        for _ in range(400):
            try:
                each.fit(x, labels, epochs=4, batch_size=64)
            except RuntimeError as error:
                refused.append(str(error))
            if refused:
                break
    finally:
        stop.set()
        thread.join()
    assert refused
    assert "in use by another thread" in refused[0]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.parametrize("width", [8, 1500])
def test_ctrl_c_ends_a_fit_between_two_steps(width: int) -> None:
    x, labels = data(2000, 20, 3)
    network = [rl.Dense(20, width), rl.ReLU(), rl.Dense(width, width), rl.ReLU(), rl.Dense(width, 3)]
    each = trainer(lambda: network, optimizer=rl.SGD(1e-4))
    twin = trainer(lambda: copy.deepcopy(network), optimizer=rl.SGD(1e-4), capture=False)
    np.copyto(twin.model.flat_params, each.model.flat_params)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            each.fit(x, labels, epochs=10**9, batch_size=8, shuffle=False)
        assert time.monotonic() - began < 30.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert each.steps == each.optimizer.updates > 0
    if width > 8:
        for step in itertools.islice(itertools.cycle(range(250)), each.steps):
            twin.step(x[step * 8 : step * 8 + 8], labels[step * 8 : step * 8 + 8])
        assert twin.model.flat_params.tobytes() == each.model.flat_params.tobytes()


def test_replayed_steps_leave_no_array_behind() -> None:
    """The number of blocks that Python holds does not grow with steps."""
    import sys

    x, labels = data(4, 5, 3)
    each = trainer(NETWORKS["dropout"], optimizer=rl.Adam(rl.schedules.Cosine(0.01, 1000)))
    for _ in range(10):
        each.step(x, labels)
    before = sys.getallocatedblocks()
    for _ in range(1000):
        each.step(x, labels)
    assert sys.getallocatedblocks() - before < 50


def test_a_recording_of_another_thread_leaves_a_training_as_it_is() -> None:
    """One thread records at a time: what another would record must not be done instead."""
    x, y = data(24, 5, 3, labels=False)
    expected, each = (
        trainer(capture=c, loss=rl.SquaredError(), optimizer=rl.SGD(0.05, weight_decay=0.1))
        for c in (False, True)
    )
    opened, close = threading.Event(), threading.Event()

    def hold() -> None:
        other = _core.Capture(None, None, None, None)
        other.start(1)
        opened.set()
        close.wait(60)
        other.stop()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert opened.wait(60)
        for part in (slice(0, 8), slice(8, 16), slice(16, 24)):
            assert each.step(x[part], y[part]) == expected.step(x[part], y[part])
    finally:
        close.set()
        thread.join()
    assert state(each) == state(expected)
    # The refusal was of that moment: the shape is captured when it comes again.
    each.step(x[:8], y[:8])
    assert each._captures.replay.find(x[:8], y[:8], None) is not None


# --- everything at once, over long stretches ---

SCHEDULES: dict[str, Callable[[], Any]] = {
    "constant": lambda: 0.03,
    "step": lambda: rl.schedules.Step(0.05, 0.995, 1),
    "exponential": lambda: rl.schedules.Exponential(0.05, 0.996),
    "inverse": lambda: rl.schedules.Inverse(0.05, 0.01, 0.7),
    "multistep": lambda: rl.schedules.MultiStep(0.05, 0.9, list(range(1, 900, 7))),
    "polynomial": lambda: rl.schedules.Polynomial(0.05, 1.5, 1200),
    "sigmoid": lambda: rl.schedules.Sigmoid(0.05, -0.01, 300),
    "cosine": lambda: rl.schedules.Cosine(0.05, 700),
    "warmup": lambda: rl.schedules.Warmup(rl.schedules.Cosine(0.05, 600), 250),
}
SCHEDULED: dict[str, Callable[..., Any]] = {
    "sgd": lambda rate, **more: rl.SGD(rate, weight_decay=0.01, **more),
    "nesterov": lambda rate, **more: rl.SGD(
        rate, momentum=0.8, nesterov=True, regularization="l1", weight_decay=0.01, **more
    ),
    "adagrad": lambda rate, **more: rl.AdaGrad(rate, weight_decay=0.01, **more),
    "rmsprop": lambda rate, **more: rl.RMSProp(rate, weight_decay=0.01, **more),
    "adadelta": lambda rate, **more: rl.AdaDelta(rate, weight_decay=0.01, **more),
    "adam": lambda rate, **more: rl.Adam(rate, weight_decay=0.01, **more),
    "adamw": lambda rate, **more: rl.AdamW(rate, epsilon_hat=True, **more),
}
ROWS = 611


def stretches_of(of: rl.Trainer) -> list[int]:
    """Note how many steps each replayed stretch of the trainer has."""
    noted: list[int] = []
    stretch = of._captures.stretch

    def noting(*arguments: Any) -> Any:
        result = stretch(*arguments)
        noted.append(result[0])
        return result

    of._captures.stretch = noting  # type: ignore[method-assign]
    return noted


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_rate_that_changes_every_step_of_a_long_stretch(schedule: str) -> None:
    x, labels = data(ROWS, 5, 3)
    pair = [
        trainer(capture=c, optimizer=rl.SGD(SCHEDULES[schedule](), momentum=0.9), rng=1)
        for c in (False, True)
    ]
    noted = stretches_of(pair[1])
    for each in pair:
        each.fit(x, labels, epochs=4, batch_size=2)
    assert max(noted) >= 100
    assert state(pair[0]) == state(pair[1])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    network=st.sampled_from(sorted(NETWORKS)),
    loss=st.sampled_from(sorted(LOSSES)),
    optimizer=st.sampled_from(sorted(SCHEDULED)),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    clip_norm=st.sampled_from([None, 0.05, 2.0]),
    accumulate=st.integers(1, 5),
    l2_penalty=st.sampled_from([0.0, 0.1]),
    batch_size=st.sampled_from([2, 3, 7, 50]),
    shuffle=st.booleans(),
    weighted=st.booleans(),
    validated=st.booleans(),
    stepped=st.booleans(),
)
def test_all_options_together_over_long_stretches(
    network: str,
    loss: str,
    optimizer: str,
    schedule: str,
    clip_norm: float | None,
    accumulate: int,
    l2_penalty: float,
    batch_size: int,
    shuffle: bool,
    weighted: bool,
    validated: bool,
    stepped: bool,
) -> None:
    make, labelled = LOSSES[loss]
    dense = next(i for i, layer in enumerate(NETWORKS[network]()) if isinstance(layer, Dense))
    multipliers = {f"{dense}.weight": (0.5, 2.0)}
    x, y = data(ROWS, 5, 3, labelled)
    weight = np.random.default_rng(8).random(ROWS).astype(np.float32) if weighted else None
    if loss == "sigmoid":
        y = (y > 0).astype(np.float32)
    pair = [
        trainer(
            NETWORKS[network],
            capture=capture,
            loss=make(),
            optimizer=SCHEDULED[optimizer](SCHEDULES[schedule](), multipliers=multipliers),
            rng=1,
            clip_norm=clip_norm,
            accumulate=accumulate,
            l2_penalty=l2_penalty,
        )
        for capture in (False, True)
    ]
    ends: list[Any] = []
    for each in pair:
        end: Any = None
        try:
            for _ in range(2):
                each.fit(
                    x,
                    y,
                    sample_weight=weight,
                    epochs=1,
                    batch_size=batch_size,
                    shuffle=shuffle,
                    validation=(x[:9], y[:9]) if validated else None,
                )
                for start in range(0, 20 if stepped else 0, 4):
                    part = slice(start, start + 4)
                    each.step(x[part], y[part], None if weight is None else weight[part])
        except (rl.DivergenceError, ValueError) as error:
            end = type(error)
        ends.append(end)
    assert ends[0] == ends[1]
    assert state(pair[0]) == state(pair[1])


ELSEWHERE: dict[str, Callable[[rl.Trainer], object]] = {
    "a training forward": lambda of: of.model.forward(np.ones((4, 5), np.float32), training=True),
    "a pass": lambda of: of.model.run(np.ones((4, 5), np.float32)).backward(np.ones((4, 3), np.float32)),
    "a step": lambda of: of.step(np.ones((4, 5), np.float32), np.zeros(4, int)),
    "a layer's attribute": lambda of: setattr(of.model.layers[1], "rate", 0.5),
    "the rate": lambda of: setattr(of.optimizer, "learning_rate", 0.5),
    "an optimizer's setting": lambda of: setattr(of.optimizer, "momentum", 0.5),
    "a loss's setting": lambda of: setattr(of.loss, "label_smoothing", 0.5),
    "the clip norm": lambda of: setattr(of, "clip_norm", 0.5),
    "accumulate": lambda of: setattr(of, "accumulate", 2),
    "another trainer": lambda of: trainer(),
    "a mask's state": lambda of: [
        layer.load_state({"key": 1, "counter": 2}) for layer in of.model if isinstance(layer, rl.Dropout)
    ],
    "an optimizer": lambda of: setattr(of, "optimizer", rl.SGD(0.5)),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_happens_to_other_objects_costs_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = data(4, 5, 3)
    other, each = trainer(NETWORKS["dropout"]), trainer(NETWORKS["dropout"], optimizer=rl.Adam(0.01))
    for _ in range(3):
        each.step(x, labels)
        each.model(x)
    ELSEWHERE[name](other)
    assert not runs_in_layers(each, lambda: each.step(x, labels), monkeypatch)
    assert not runs_in_layers(each, lambda: each.model(x), monkeypatch)


@pytest.mark.parametrize("clip", [None, 0.01])
def test_a_rate_or_a_limit_that_is_assigned_is_used_without_a_new_capture(
    clip: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels = data(4, 5, 3)
    pair = [trainer(capture=c, optimizer=rl.Adam(0.01), clip_norm=clip) for c in (False, True)]
    rates = [
        0.1,
        0.05,
        0.05,
        1,
        rl.schedules.Exponential(0.1, 0.5),
        lambda n: 0.1 / (n + 1),
        np.float32(0.25),
        0.3,
    ]
    limits = [None, 0.5, 0.5, 1e-3, None, 2, 1e9, 0.1]
    ends = []
    for each in pair:
        losses = [each.step(x, labels) for _ in range(3)]

        def assign_and_step(each: rl.Trainer = each, losses: list[float] = losses) -> None:
            for rate, limit in zip(rates, limits, strict=True):
                each.optimizer.learning_rate = rate
                each.clip_norm = limit
                losses.append(each.step(x, labels))
                if isinstance(rate, float):  # through the schedule that a reader gets
                    each.optimizer.learning_rate.base = rate / 2
                    losses.append(each.step(x, labels))

        assert runs_in_layers(each, assign_and_step, monkeypatch) != each.capture
        each.fit(np.tile(x, (10, 1)), np.tile(labels, 10), epochs=10, batch_size=4)
        each.optimizer.learning_rate.base /= 2
        each.fit(np.tile(x, (10, 1)), np.tile(labels, 10), epochs=10, batch_size=4)
        ends.append((losses, state(each), repr(each.history.columns())))
    assert ends[0] == ends[1]


def test_nothing_keeps_a_trainer_alive() -> None:
    """What counts the changes of a trainer outlives it without holding it."""
    import gc
    import weakref

    x, labels = data(4, 5, 3)
    each = trainer()
    for _ in range(4):
        each.step(x, labels)
        each.model(x)
    gone = [weakref.ref(each), weakref.ref(each.model), weakref.ref(each.optimizer)]
    step = each._captures.step
    del each
    gc.collect()
    assert gone[0]() is None
    del step
    gc.collect()
    assert [ref() for ref in gone] == [None, None, None]


FROZEN_CASES = {
    "trunk": {"0.weight": (0, 0), "0.bias": (0, 0), "2.weight": (0, 0), "2.bias": (0, 0)},
    "middle": {"2.weight": (0, 1), "2.bias": (0, 1)},
    "prelu": {"3.slope": (0, 1)},
    "half a layer": {"2.bias": (0, 1)},
    "end": {"5.weight": (0, 0), "5.bias": (0, 0)},
    "all": {f"{i}.{n}": (0, 0) for i, n in ((0, "weight"), (0, "bias"), (2, "weight"), (2, "bias"))}
    | {"3.slope": (0, 0), "5.weight": (0, 0), "5.bias": (0, 0)},
}


@pytest.mark.parametrize("case", FROZEN_CASES)
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_frozen_layers_cost_no_gradient_and_change_nothing_else(
    case: str, accumulate: int, clip: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others learn the same bits as where every gradient is computed."""

    def network() -> list[Any]:
        return [rl.Dense(5, 8), rl.ReLU(0.1), rl.Dense(8, 6), rl.PReLU(6), rl.ReLU(), rl.Dense(6, 3)]

    x, labels = data(16, 5, 3)
    whole: list[int] = []
    calls: list[Any] = []
    original = Dense.backward

    @functools.wraps(original)
    def counting(self: Dense, dy: Any, **options: Any) -> Any:
        calls.append((self, options))
        return original(self, dy, **options)

    monkeypatch.setattr(Dense, "backward", counting)
    ends = []
    for skipping in (False, True):
        for capture in (False, True):
            each = trainer(
                network,
                capture=capture,
                optimizer=rl.Adam(0.01, multipliers=FROZEN_CASES[case]),
                accumulate=accumulate,
                clip_norm=clip,
            )
            if not skipping:
                monkeypatch.setattr(rl.Adam, "frozen", lambda self, model: frozenset(), raising=False)
            losses = [each.step(x, labels) for _ in range(9)]
            each.fit(x, labels, epochs=6, batch_size=4)
            ends.append((losses, state(each)))
            if not skipping:
                monkeypatch.delattr(rl.Adam, "frozen")
            whole.append(sum(k.get("need_gradients", True) for _, k in calls))
            calls.clear()
    assert all(end == ends[0] for end in ends)
    layers = [0, 2, 5]
    skipped = [i for i in layers if f"{i}.weight" in FROZEN_CASES[case]]
    assert (whole[2] < whole[0]) == bool(skipped)


def test_a_method_with_a_shortcut_is_the_method() -> None:
    """However a captured step is called, and whatever is assigned between two, it does what the layers do."""
    x, y = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)

    class Doubled(rl.Trainer):
        def step(self, x: Any, y: Any, sample_weight: Any = None) -> float:
            return 2 * super().step(x, y, sample_weight)

    def losses(kind: type[rl.Trainer], capture: bool, *calls: Any) -> list[float]:
        trainer = kind(rl.mlp([2, 3, 1], rng=0), rl.SquaredError(), rl.SGD(0.1), capture=capture)
        return [call(trainer) for call in calls]

    weight = np.full(4, 0.5, np.float32)
    calls = [lambda trainer: trainer.step(x, y)] * 3 + [
        lambda trainer: trainer.step(x, y=y),
        lambda trainer: rl.Trainer.step(trainer, x, y, None),
        lambda trainer: trainer.step(x, y, sample_weight=weight),
        lambda trainer: trainer.step(x, y, weight),
        lambda trainer: trainer.step(x, y, weight),
    ]
    assert losses(rl.Trainer, True, *calls) == losses(rl.Trainer, False, *calls)
    assert losses(Doubled, True, *calls[:3]) == [2 * value for value in losses(rl.Trainer, False, *calls[:3])]
    trainer = rl.Trainer(rl.mlp([2, 3, 1], rng=0), rl.SquaredError(), rl.SGD(0.1))
    for _ in range(3):
        trainer.step(x, y)
    seen: list[int] = []

    class Noted(rl.callbacks.Callback):
        def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
            seen.append(step)

    trainer.callbacks = Noted()
    trainer.step(x, y)
    trainer.callbacks = ()
    trainer.step(x, y)
    assert seen == [4]
    assert trainer.steps == 5
    for wrong in ((), (x,), (x, y, None, None)):
        with pytest.raises(TypeError, match=r"Trainer\.step\(\)"):
            trainer.step(*wrong)
    assert inspect.signature(trainer.step) == inspect.signature(rl.Trainer.step.__wrapped__.__get__(trainer))
    gone = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert gone() is None
