"""One model used from within its own training, from two threads, and in a forked child: refused, never a crash."""

from __future__ import annotations

import copy
import gc
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

NEVER_IN_TWO = "in use"


def batch(rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, 4)).astype(np.float32), rng.integers(0, 3, rows)


class Calling(rl.schedules.Schedule):
    """A constant rate that calls something first, once."""

    def __init__(self) -> None:
        self.base = 0.1
        self._call: Callable[[], object] | None = None

    def arm(self, call: Callable[[], object]) -> None:
        """Call ``call`` from the next call; no public attribute changes, so captures stay as they are."""
        self._call = call

    def __call__(self, updates: int) -> float:
        call, self._call = self._call, None
        if call is not None:
            call()
        return self.base


def trainer_with(schedule: Any, hidden: int = 8, **options: Any) -> rl.Trainer:
    model = rl.Sequential(rl.Dense(4, hidden), rl.ReLU(), rl.Dense(hidden, 3), rng=0)
    return rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(schedule), **options)


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("nested", ["same shape", "new shapes", "fit", "other trainer"])
def test_a_schedule_that_trains_its_own_model(capture: bool, nested: str) -> None:
    schedule = Calling()
    trainer = trainer_with(schedule, capture=capture)
    second = rl.Trainer(trainer.model, rl.SoftmaxCrossEntropy(), rl.SGD(0.1), capture=capture)
    x, y = batch(5)
    for _ in range(4):
        trainer.step(x, y)
        second.step(x, y)

    def call() -> None:
        if nested == "same shape":
            trainer.step(x, y)
        elif nested == "new shapes":
            for rows in range(6, 20):
                trainer.step(*batch(rows))
        elif nested == "fit":
            trainer.fit(*batch(40), epochs=1, batch_size=5)
        else:
            second.step(x, y)

    expected = trainer_with(0.1)
    expected.model.load_params(dict(trainer.model.params))
    before = trainer.model.flat_params.copy()
    schedule.arm(call)
    with pytest.raises(RuntimeError, match=NEVER_IN_TWO):
        trainer.step(x, y)
    np.testing.assert_array_equal(trainer.model.flat_params, before)
    assert trainer.step(x, y) == expected.step(x, y)
    np.testing.assert_array_equal(trainer.model.flat_params, expected.model.flat_params)


def test_a_schedule_that_drops_the_captures_of_its_trainer() -> None:
    """What a step runs stays alive even where the schedule has the trainer forget it."""
    schedule = Calling()
    trainer, expected = trainer_with(schedule), trainer_with(0.1, capture=False)
    x, y = batch(5)
    for _ in range(4):
        trainer.step(x, y)
        expected.step(x, y)

    def call() -> None:
        trainer.capture = False
        trainer._captures.refresh()
        gc.collect()

    schedule.arm(call)
    for _ in range(3):
        assert trainer.step(x, y) == expected.step(x, y)
    np.testing.assert_array_equal(trainer.model.flat_params, expected.model.flat_params)


def test_a_schedule_that_takes_the_batch_away() -> None:
    schedule = Calling()
    trainer = trainer_with(schedule, hidden=600)
    x, y = batch(200)
    for _ in range(4):
        trainer.step(x, y)
    refused = []

    def call() -> None:
        try:
            x.resize((1, 4), refcheck=False)
        except ValueError as error:
            refused.append(error)

    schedule.arm(call)
    trainer.step(x, y)
    assert refused
    assert x.shape == (200, 4)


def test_the_gradients_stay_where_they_are_while_a_step_runs() -> None:
    schedule = Calling()
    trainer = trainer_with(schedule)
    x, y = batch(5)
    for _ in range(4):
        trainer.step(x, y)
    refused = []

    def call() -> None:
        for array in (trainer.model.flat_grads, trainer.model.flat_params):
            try:
                array.resize((1,), refcheck=False)
            except ValueError as error:
                refused.append(error)

    schedule.arm(call)
    trainer.step(x, y)
    assert len(refused) == 2


@pytest.mark.parametrize("capture", [False, True])
def test_a_batch_in_the_gradients_is_refused(capture: bool) -> None:
    """Backward would write what it reads: captured steps may not run what the layers refuse."""
    trainer = trainer_with(0.1, hidden=40, capture=capture)
    x, y = batch(5)
    weight = np.ones(5, np.float32)
    for _ in range(4):
        trainer.step(x, y)
        trainer.step(x, y, weight)
    grads = trainer.model.flat_grads
    before = trainer.model.flat_params.copy()
    inside = grads[:20].reshape(5, 4)
    for call in (
        lambda: trainer.step(inside, y),
        lambda: trainer.step(inside, y, weight),
        lambda: trainer.fit(inside, y, epochs=1, batch_size=5, shuffle=False),
    ):
        with pytest.raises(ValueError, match=r"shares memory|overlaps"):
            call()
        np.testing.assert_array_equal(trainer.model.flat_params, before)


@pytest.mark.parametrize("capture", [False, True])
def test_weights_in_the_gradients_give_what_the_layers_give(capture: bool) -> None:
    """Backward of the last layer has read the weights before any gradient is written: allowed, and the same bits."""
    trainer, expected = (
        trainer_with(0.1, hidden=40, capture=capture),
        trainer_with(0.1, hidden=40, capture=False),
    )
    x, y = batch(5)
    for one in (trainer, expected):
        for _ in range(4):
            one.step(x, y, np.ones(5, np.float32))
        one.model.flat_grads[:5] = [1, 2, 3, 4, 5]
    weights = trainer.model.flat_grads[:5], expected.model.flat_grads[:5]
    assert trainer.step(x, y, weights[0]) == expected.step(x, y, weights[1])
    np.testing.assert_array_equal(trainer.model.flat_params, expected.model.flat_params)


def test_two_threads_on_a_trainer_whose_schedule_sleeps() -> None:
    class Sleeping(rl.schedules.Schedule):
        def __init__(self) -> None:
            self.base = 0.1

        def __call__(self, updates: int) -> float:
            # Here, where the step has the model to itself: after it the other thread may be first to say so.
            done[updates] = under_way.rows
            time.sleep(1e-4)
            return self.base

    trainer, expected = trainer_with(Sleeping()), trainer_with(0.1)
    sizes = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    done: dict[int, int] = {}
    under_way = threading.local()
    unexpected: list[BaseException] = []

    def run(own: list[int]) -> None:
        for number in range(100):
            under_way.rows = own[number % len(own)]
            try:
                trainer.step(*batch(under_way.rows))
            except RuntimeError as error:
                if NEVER_IN_TWO not in str(error):
                    unexpected.append(error)
            except BaseException as error:
                unexpected.append(error)

    threads = [threading.Thread(target=run, args=(sizes[i::2],)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not unexpected
    assert trainer.steps == len(done) > 0
    for _, rows in sorted(done.items()):
        expected.step(*batch(rows))
    np.testing.assert_array_equal(trainer.model.flat_params, expected.model.flat_params)


# --- forks ---


@contextmanager
def running(target: Callable[[threading.Event], object]) -> Iterator[None]:
    """Run ``target`` in a thread, which goes on until the event is set."""
    stop = threading.Event()
    thread = threading.Thread(target=target, args=(stop,))
    thread.start()
    time.sleep(0.1)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def exits_of_children(children: int, body: Callable[[], None]) -> list[int]:
    """Fork, run ``body`` in each child, and return how they ended: 0 for well."""
    ends = []
    for _ in range(children):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                body()
                code = 0
            finally:
                os._exit(code)
        ends.append(os.waitpid(pid, 0)[1])
        time.sleep(0.003)
    return ends


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("busy", ["inference", "fit", "steps with a sleeping schedule"])
def test_a_child_forked_while_another_thread_uses_the_model(busy: str) -> None:
    class Sleeping(rl.schedules.Schedule):
        def __call__(self, updates: int) -> float:
            time.sleep(1e-3)
            return 0.01

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2000, 64)).astype(np.float32), rng.integers(0, 3, 2000)
    model = rl.mlp([64, 256, 3], rng=0)
    schedule: Any = Sleeping() if busy.startswith("steps") else 0.01
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(schedule))

    def use(stop: threading.Event) -> None:
        while not stop.is_set():
            if busy == "inference":
                model(x)
            elif busy == "fit":
                trainer.fit(x, y, epochs=1, batch_size=500)
            else:
                trainer.step(x[:10], y[:10])

    def child() -> None:
        for _ in range(4):
            model(x[:7])
            model(x)
            trainer.step(x[:10], y[:10])
        trainer.fit(x[:100], y[:100], epochs=2, batch_size=10)
        # And a model that is captured for the first time.
        other = rl.Trainer(rl.mlp([64, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.01))
        for _ in range(4):
            other.step(x[:10], y[:10])
        assert other._captures._captured

    with running(use):
        assert exits_of_children(8, child) == [0] * 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_a_child_forked_while_another_thread_shuffles_draws_the_same_numbers(kind: str) -> None:
    """The generator's lock was held by a thread that the child does not have: it would wait for ever."""
    rng = np.random.Generator(getattr(np.random, kind)(3))
    model = rl.mlp([64, 8, 3], rng=rng)
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.01))
    apart = rl.Trainer(rl.mlp([64, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.01), rng=5)
    x, y = np.zeros((20, 64), np.float32), np.zeros(20, int)
    expected = copy.deepcopy(rng).permutation(20).tolist()

    def shuffle(stop: threading.Event) -> None:
        with rng.bit_generator.lock, apart.rng.bit_generator.lock:
            stop.wait(60)

    def child() -> None:
        signal.alarm(30)
        assert trainer.rng is model.rng is not apart.rng
        assert copy.deepcopy(trainer.rng).permutation(20).tolist() == expected
        trainer.fit(x, y, epochs=2, batch_size=10)
        apart.fit(x, y, epochs=2, batch_size=10)

    with running(shuffle):
        assert exits_of_children(2, child) == [0, 0]
    assert trainer.rng is model.rng is rng


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_thread_that_forks_in_its_own_training_goes_on_in_the_child() -> None:
    """Its claim on the model is its own in both processes; other threads of the child are still refused."""
    x, y = batch(40)
    trainer = trainer_with(0.1)
    ends: list[int] = []
    forked: list[int] = []

    class Forks(rl.callbacks.Callback):
        def on_epoch_end(self, trainer: Any, record: Any) -> None:
            if forked or ends:
                return
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pid = os.fork()
            if pid == 0:
                forked.append(1)
                refused: list[str] = []

                def other() -> None:
                    try:
                        trainer.step(x, y)
                    except RuntimeError as error:
                        refused.append(str(error))

                thread = threading.Thread(target=other)
                thread.start()
                thread.join()
                if not refused:
                    os._exit(3)
            else:
                ends.append(os.waitpid(pid, 0)[1])

    try:
        trainer.fit(x, y, epochs=3, batch_size=10, callbacks=[Forks()])
        if forked:
            trainer.step(x, y)
            thread = threading.Thread(target=trainer.step, args=(x, y))
            thread.start()
            thread.join()
    finally:
        if forked:
            os._exit(0 if trainer.steps == 14 else 2)
    assert ends == [0]


@contextmanager
def at_collection(number: int, call: Callable[[], object]) -> Iterator[None]:
    """Call ``call`` in the ``number``-th garbage collection; there is one wherever there can be."""
    left = number

    def callback(phase: str, info: dict[str, int]) -> None:
        nonlocal left
        left -= phase == "start"
        if left == 0 and phase == "start":
            call()

    thresholds = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(1, 1_000_000, 1_000_000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(callback)


@pytest.mark.parametrize("way", ["inference", "forward", "backward", "step"])
def test_an_array_resized_while_a_captured_call_begins(way: str) -> None:
    """Keeping arrays from being resized allocates, which may collect garbage, which may run any code."""
    rng = np.random.default_rng(0)
    model = rl.mlp([32, 64, 32], rng=0)
    trainer = rl.Trainer(model, rl.SquaredError(), rl.SGD(0.0))

    def arrays(rows: int) -> tuple[Any, Any]:
        return tuple(rng.standard_normal((rows, 32)).astype(np.float32) for _ in range(2))

    def run(x: Any, y: Any) -> Any:
        if way == "inference":
            return model(x)
        if way == "step":
            return trainer.step(x, y)
        outputs = model.forward(x, training=True)
        return outputs if way == "forward" else model.backward(y)

    for rows in (64, 2):
        for _ in range(4):
            run(*arrays(rows))
    for number in range(1, 16):
        x, y = arrays(64)

        def shrink(x: Any = x, y: Any = y) -> None:
            for array in (x, y) if way == "step" else (y,) if way == "backward" else (x,):
                with suppress(ValueError):  # locked by now
                    array.resize((2, 32), refcheck=False)

        try:
            with at_collection(number, shrink):
                result = run(x, y)
        except (ValueError, RuntimeError):
            continue
        if way in ("inference", "forward"):
            assert result.shape == x.shape
            np.testing.assert_array_equal(result, model(x))
        elif way == "backward":
            assert len(y) == 64
        else:
            assert result == trainer.step(x, y)
