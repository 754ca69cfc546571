"""State is read and replaced as a whole: while another thread trains it is refused, from a callback it works."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

X = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
Y = np.arange(64) % 3


def made() -> rl.Trainer:
    model = rl.Sequential(rl.Dense(4, 8), rl.ReLU(), rl.Dropout(0.2), rl.Dense(8, 3), rng=0)
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(0.01), accumulate=3)
    trainer.fit(X, Y, epochs=1, batch_size=16)
    return trainer


# What reads the state of a trainer, a folder given for files.
READERS: dict[str, Callable[[rl.Trainer, Path], Any]] = {
    "save_checkpoint": lambda t, folder: t.save_checkpoint(folder / "c.npz"),
    "save_checkpoint safetensors": lambda t, folder: t.save_checkpoint(folder / "c.safetensors"),
    "save npz": lambda t, folder: t.model.save(folder / "m.npz"),
    "save safetensors": lambda t, folder: t.model.save(folder / "m.safetensors"),
    "save onnx": lambda t, folder: t.model.save(folder / "m.onnx"),
    "save h": lambda t, folder: t.model.save(folder / "m.h"),
    "pickle model": lambda t, folder: pickle.dumps(t.model),
    "pickle trainer": lambda t, folder: pickle.dumps(t),
    "pickle optimizer": lambda t, folder: pickle.dumps(t.optimizer),
    "deepcopy model": lambda t, folder: copy.deepcopy(t.model),
    "deepcopy trainer": lambda t, folder: copy.deepcopy(t),
    "deepcopy optimizer": lambda t, folder: copy.deepcopy(t.optimizer),
    "copy model": lambda t, folder: copy.copy(t.model),
    "astype": lambda t, folder: t.model.astype(np.float64),
    "state_dict of the optimizer": lambda t, folder: t.optimizer.state_dict(),
    "state_dict of the trainer": lambda t, folder: t.state_dict(),
}
# What replaces it.
WRITERS: dict[str, Callable[[rl.Trainer, Any], Any]] = {
    "load_params": lambda t, before: t.model.load_params(before["params"]),
    "load_state_dict of the optimizer": lambda t, before: t.optimizer.load_state_dict(before["optimizer"]),
    "load_state_dict of the trainer": lambda t, before: t.load_state_dict(before["trainer"]),
}


class Pause(rl.Callback):
    """Stops a training after its first step until it is let go."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        self.inside.set()
        assert self.go.wait(60)


@pytest.fixture
def paused() -> Iterator[rl.Trainer]:
    """A trainer that another thread is training, in the middle of an epoch."""
    trainer, pause = made(), Pause()
    thread = threading.Thread(
        target=lambda: trainer.fit(X, Y, epochs=1, batch_size=16, callbacks=[pause]), daemon=True
    )
    thread.start()
    assert pause.inside.wait(60)
    yield trainer
    pause.go.set()
    thread.join(60)


def state_of(trainer: rl.Trainer) -> dict[str, Any]:
    return {
        "params": {name: array.copy() for name, array in trainer.model.params.items()},
        "optimizer": copy.deepcopy(trainer.optimizer.state_dict()),
        "trainer": copy.deepcopy(trainer.state_dict()),
    }


@pytest.mark.parametrize("name", READERS)
def test_reading_while_another_thread_trains_is_refused(
    name: str, paused: rl.Trainer, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="in a callback such as on_epoch_end"):
        READERS[name](paused, tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", WRITERS)
def test_replacing_while_another_thread_trains_is_refused(name: str, paused: rl.Trainer) -> None:
    before = paused.model.flat_params.copy()
    with pytest.raises(RuntimeError, match="in a callback such as on_epoch_end"):
        WRITERS[name](paused, state_of(made()))
    assert np.array_equal(paused.model.flat_params, before)


def test_a_file_that_was_good_stays(paused: rl.Trainer, tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes(b"good")
    with pytest.raises(RuntimeError):
        paused.save_checkpoint(tmp_path / "c.npz")
    assert (tmp_path / "c.npz").read_bytes() == b"good"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("moment", ["on_epoch_end", "on_step_end", "on_gradients_ready"])
def test_reading_in_a_callback_works(name: str, moment: str, tmp_path: Path) -> None:
    trainer, seen = made(), []

    class Reads(rl.Callback):
        pass

    def read(self: Any, trainer: Any, *_: Any) -> None:
        READERS[name](trainer, tmp_path)
        seen.append(1)

    setattr(Reads, moment, read)
    trainer.fit(X, Y, epochs=1, batch_size=16, callbacks=[Reads()])
    assert seen


@pytest.mark.parametrize("name", WRITERS)
def test_replacing_in_a_callback_works(name: str) -> None:
    trainer, before = made(), state_of(made())

    def replace(trainer: Any, record: Any) -> None:
        WRITERS[name](trainer, before)

    trainer.fit(X, Y, epochs=1, batch_size=16, callbacks=[replace])


def flat_loss(y: Any, target: Any) -> tuple[float, Any]:
    return 1.0, y


class AllOnes(rl.Callback):
    """Every parameter goes down by the rate in every step: equal values stay equal."""

    def on_gradients_ready(self, trainer: Any) -> None:
        trainer.model.flat_grads[:] = 1.0


def checkpointed(trainer: rl.Trainer, folder: Path) -> rl.Trainer:
    trainer.save_checkpoint(folder / "c.npz")
    return rl.Trainer.restore(folder / "c.npz", loss=flat_loss, callbacks=[AllOnes()])


@pytest.mark.parametrize(
    "again",
    [checkpointed, lambda t, _: pickle.loads(pickle.dumps(t)), lambda t, _: copy.deepcopy(t)],
    ids=["checkpoint", "pickle", "deepcopy"],
)
def test_between_the_steps_of_another_thread_it_is_that_of_a_whole_step(again: Any, tmp_path: Path) -> None:
    model = rl.Sequential(rl.Dense(300, 300), rl.Dense(300, 300), rng=0)
    model.flat_params[:] = 0.0
    trainer = rl.Trainer(model, flat_loss, rl.SGD(1.0), callbacks=[AllOnes()])
    x = np.zeros((1, 300), np.float32)
    stop = threading.Event()

    def step() -> None:
        while not stop.wait(0.0005):
            with contextlib.suppress(RuntimeError):  # it is being read
                trainer.step(x, x)

    thread = threading.Thread(target=step, daemon=True)
    thread.start()
    read, end = 0, time.monotonic() + 60
    try:
        while read < 20 and time.monotonic() < end:
            try:
                found = again(trainer, tmp_path)
            except RuntimeError:  # it is being trained
                stop.wait(0.0005)
                continue
            read += 1
            assert np.unique(found.model.flat_params).tolist() == [-float(found.optimizer.updates)]
            assert found.steps == found.optimizer.updates
    finally:
        stop.set()
        thread.join(60)
    assert read


def test_what_shares_a_generator_shares_it_in_a_pickle_and_a_copy() -> None:
    """Dropout and shuffling draw from one generator: two would draw the same numbers twice."""
    trainer = made()
    assert trainer.rng is trainer.model.rng
    for again in (pickle.loads(pickle.dumps(trainer)), copy.deepcopy(trainer)):
        assert again.rng is again.model.rng
        assert again.rng is not trainer.rng
        assert again.optimizer.state_dict()["updates"] == trainer.optimizer.updates
    first, second = pickle.loads(pickle.dumps(trainer)), copy.deepcopy(trainer)
    for one in (trainer, first, second):
        one.fit(X, Y, epochs=2, batch_size=16)
    assert trainer.model.flat_params.tobytes() == first.model.flat_params.tobytes()
    assert trainer.model.flat_params.tobytes() == second.model.flat_params.tobytes()


@pytest.mark.parametrize(
    "copied", [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy], ids=["pickle", "copy"]
)
def test_what_stands_beside_a_trainer_stays_its_own(copied: Any) -> None:
    """A dict of model, optimizer and trainer is of one training before and after: not of three."""
    trainer = made()
    trainer.step(X[:16], Y[:16])
    beside = {
        "model": trainer.model,
        "trainer": trainer,
        "optimizer": trainer.optimizer,
        "loss": trainer.loss,
    }
    again = copied(beside)
    assert again["model"] is again["trainer"].model
    assert again["optimizer"] is again["trainer"].optimizer
    assert again["loss"] is again["trainer"].loss
    for one in (trainer, again["trainer"]):
        one.step(X[16:32], Y[16:32])
    assert again["model"].flat_params.tobytes() == trainer.model.flat_params.tobytes()


class StepsWhenPickled(rl.Callback):
    trainer: Any = None

    def __reduce__(self) -> Any:
        self.trainer.step(X[:16], Y[:16])
        return StepsWhenPickled, ()


def test_a_trainer_that_is_trained_while_it_is_pickled_is_refused() -> None:
    """The model's arrays would be of one step, the optimizer's of the next."""
    trainer = made()
    spy = StepsWhenPickled()
    spy.trainer = trainer
    trainer.callbacks = (spy,)
    with pytest.raises(RuntimeError, match="mix the states of two steps"):
        pickle.dumps(trainer)


def test_a_pickled_trainer_can_be_copied_and_pickled_while_it_is_trained_again() -> None:
    trainer = pickle.loads(pickle.dumps(made()))
    pause = Pause()
    thread = threading.Thread(
        target=lambda: trainer.fit(X, Y, epochs=1, batch_size=16, callbacks=[pause]), daemon=True
    )
    thread.start()
    assert pause.inside.wait(60)
    with pytest.raises(RuntimeError, match="another thread"):
        pickle.dumps(trainer.model)
    pause.go.set()
    thread.join(60)
