"""Epochs so short that several run in one call: results, errors and generators are those of one by one.

A callback after each epoch has `fit` run them one by one: what it records is the reference.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.data import Minibatches

EPOCHS = 40


def examples(rows: int, classes: int, dtype: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((rows, 2)).astype(dtype)
    return x, rng.integers(0, classes, rows) if classes else rng.standard_normal((rows, 1)).astype(dtype)


def trainer(classes: int = 3, dtype: str = "float32", dropout: bool = False, **settings: Any) -> rl.Trainer:
    layers = [rl.Dense(2, 8), rl.ReLU(), *([rl.Dropout(0.3)] if dropout else []), rl.Dense(8, classes or 1)]
    model = rl.Sequential(*layers, rng=0, dtype=dtype)
    loss = rl.SoftmaxCrossEntropy() if classes else rl.SquaredError()
    return rl.Trainer(
        model, loss, settings.pop("optimizer", None) or rl.SGD(0.05, momentum=0.9), rng=3, **settings
    )


def one_by_one(trainer: rl.Trainer, record: Any) -> None:
    """Be called after each epoch."""


def assert_same(left: rl.Trainer, right: rl.Trainer) -> None:
    assert left.steps == right.steps
    assert left.history.names == right.history.names
    for name in left.history.names:
        np.testing.assert_array_equal(left.history[name], right.history[name])
    for name, value in left.model.params.items():
        assert value.tobytes() == right.model.params[name].tobytes()
    assert left.rng.bit_generator.state == right.rng.bit_generator.state


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("rows", "batch_size"), [(4, 4), (4, 3), (10, 4), (7, 20), (33, 8), (3, 1)])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"classes": 0},
        {"dtype": "float64", "accumulate": 3},
        {"l2_penalty": 0.01, "clip_norm": 0.5},
        {"dropout": True},
        {"optimizer": "adam"},
        {"optimizer": "schedule"},
    ],
    ids=str,
)
def test_epochs_in_one_call_are_those_of_one_by_one(
    settings: dict[str, Any], rows: int, batch_size: int, shuffle: bool
) -> None:
    optimizers: dict[str, Callable[[], Any]] = {
        "adam": lambda: rl.Adam(0.01),
        "schedule": lambda: rl.SGD(rl.schedules.Step(0.1, gamma=0.5, every=7)),
    }
    x, y = examples(rows, settings.get("classes", 3), settings.get("dtype", "float32"))
    trainers = []
    for callbacks in ((), one_by_one):
        own = settings | {
            "optimizer": optimizers[settings["optimizer"]]() if "optimizer" in settings else None
        }
        trainers.append(trainer(**own))
        for epochs in (EPOCHS, 3, 1):
            trainers[-1].fit(x, y, epochs=epochs, batch_size=batch_size, shuffle=shuffle, callbacks=callbacks)
    assert_same(*trainers)


def test_orders_of_short_epochs_are_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other tests compare would prove nothing if all epochs ran one by one."""
    drawn = []
    draw = Minibatches.draw
    monkeypatch.setattr(Minibatches, "draw", lambda self: drawn.append(1) or draw(self))
    trainer().fit(*examples(10, 3, "float32"), epochs=200, batch_size=4)
    assert len(drawn) < 100


def test_a_fit_with_a_schedule_draws_ahead_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its epochs cannot run together: to draw for them again and again would cost more than they do."""
    tries = []
    draw = Minibatches.draw_ahead
    monkeypatch.setattr(
        Minibatches, "draw_ahead", lambda self, passes: tries.append(passes) or draw(self, passes)
    )
    rate = rl.schedules.Step(0.1, gamma=0.5, every=7)
    trainer(optimizer=rl.SGD(rate)).fit(*examples(10, 3, "float32"), epochs=100, batch_size=4)
    assert len(tries) == 1


def test_marks_stay_while_rows_are_made() -> None:
    """An epoch that goes on in the layers has the units that were active before."""
    own = trainer()
    own.fit(*examples(10, 3, "float32"), epochs=2, batch_size=4)
    meter = own._captures.meter
    before = meter.marks()
    assert any(before[8:])
    assert list(meter.records(np.zeros((0, 3)), np.zeros(0, np.intp), [])) == []
    assert meter.marks() == before


def test_a_call_whose_time_is_over_takes_back_the_orders_that_it_did_not_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = examples(10, 3, "float32")
    monkeypatch.setattr("relu_layers._training.loop._LONGEST_STRETCH", 1e-9)  # over after each epoch
    short, single = trainer(), trainer()
    short.fit(x, y, epochs=EPOCHS, batch_size=4)
    single.fit(x, y, epochs=EPOCHS, batch_size=4, callbacks=one_by_one)
    assert_same(short, single)


@pytest.mark.parametrize("rate", [0.4, 30.0, 1e4])
def test_a_training_that_diverges_ends_at_the_same_step(rate: float) -> None:
    x, y = examples(9, 0, "float32")
    ends = []
    for callbacks in ((), one_by_one):
        own = trainer(classes=0, optimizer=rl.SGD(rate))
        with pytest.raises(rl.DivergenceError) as raised, np.errstate(all="ignore"):
            own.fit(100 * x, y, epochs=500, batch_size=2, callbacks=callbacks)
        ends.append((own, str(raised.value)))
    assert ends[0][1] == ends[1][1]
    assert_same(ends[0][0], ends[1][0])


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
@pytest.mark.parametrize("rows", [1, 2, 5, 1000])
def test_orders_drawn_ahead_are_those_of_one_by_one(bits: Any, rows: int) -> None:
    array = np.zeros((rows, 1))
    ahead, single = (
        Minibatches(array, batch_size=1, shuffle=True, rng=np.random.Generator(bits(5))) for _ in range(2)
    )
    orders, keep = ahead.draw_ahead(6)
    assert orders is not None
    for order in orders[:4]:
        np.testing.assert_array_equal(order, single.draw())
    keep(4)
    np.testing.assert_array_equal(ahead.draw(), single.draw())


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread"
)
def test_an_interrupt_leaves_history_generator_and_parameters_together() -> None:
    x, y = examples(8, 3, "float32")
    own = trainer()
    timer = threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        own.fit(x, y, epochs=10**7, batch_size=4)
    timer.join()
    epochs, begun = own.history.epochs, -(-own.steps // 2)
    assert epochs in (begun, begun - 1)
    expected = np.random.default_rng(3)
    for _ in range(begun):
        expected.permutation(8)
    states = [expected.bit_generator.state]
    expected.permutation(8)  # the next order may have been drawn, and none of its steps done
    states.append(expected.bit_generator.state)
    assert own.rng.bit_generator.state in states
    again = trainer()
    again.fit(x, y, epochs=epochs, batch_size=4, callbacks=one_by_one)
    np.testing.assert_array_equal(own.history["loss"], again.history["loss"])


def test_a_callback_may_end_a_fit_with_any_exception() -> None:
    x, y = examples(8, 3, "float32")
    for moment in rl.callbacks.MOMENTS:
        for error in (StopIteration, GeneratorExit, ValueError):

            def end(*arguments: Any, error: type[BaseException] = error) -> None:
                raise error("enough")

            callback = rl.Callback()
            setattr(callback, moment, end)
            with pytest.raises(error, match="enough"):
                trainer().fit(x, y, epochs=3, callbacks=[callback])


def test_another_thread_ends_a_fit_of_short_epochs() -> None:
    x, y = examples(8, 3, "float32")
    own = trainer()
    timer = threading.Timer(0.2, own.stop)
    timer.start()
    own.fit(x, y, epochs=10**7, batch_size=4)
    timer.join()
    assert own.steps == 2 * own.history.epochs < 2 * 10**7
