"""Callbacks: when each moment comes, early stopping, Ctrl-C, exceptions, the progress line."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.callbacks import Callback, EarlyStopping
from relu_layers.layers import Dense, ReLU
from relu_layers.losses import SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential
from relu_layers.ops import reference
from relu_layers.optimizers import SGD, Adam
from relu_layers.trainer import Trainer


def make_trainer(**options: Any) -> Trainer:
    model = Sequential(Dense(4, 5), ReLU(), Dense(5, 3), dtype=np.float64, rng=0, ops=reference)
    return Trainer(model, SoftmaxCrossEntropy(), Adam(0.05), **options)


@pytest.fixture
def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 4)), rng.integers(0, 3, 12)


class Diary(Callback):
    """Writes down every moment."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_fit_begin(self, trainer: Any) -> None:
        self.lines.append(f"fit {trainer.recorded}")

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        self.lines.append(f"epoch {epoch}")

    def on_gradients_ready(self, trainer: Any) -> None:
        self.lines.append(f"gradients {trainer.optimizer.updates}")

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        self.lines.append(f"step {step} {trainer.optimizer.updates} {type(loss).__name__}")

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        self.lines.append(f"end of {record['epoch']}, {trainer.history.epochs} recorded")

    def on_fit_end(self, trainer: Any, history: Any) -> None:
        self.lines.append(f"fit end {history.epochs}")


def test_moments_in_order(data: Any) -> None:
    diary = Diary()
    make_trainer(accumulate=2, callbacks=[diary]).fit(*data, epochs=2, batch_size=5)
    assert diary.lines == [
        "fit ('loss', 'accuracy', 'learning_rate', 'dead_units')",
        *("epoch 1", "step 1 0 float", "gradients 0", "step 2 1 float", "gradients 1", "step 3 2 float"),
        "end of 1, 1 recorded",
        *("epoch 2", "step 4 2 float", "gradients 2", "step 5 3 float", "gradients 3", "step 6 4 float"),
        "end of 2, 2 recorded",
        "fit end 2",
    ]


def test_kinds_of_callbacks_and_their_order(data: Any) -> None:
    """The constructor's, then fit's, then progress; functions, objects with some methods, callables with both."""
    seen: list[Any] = []

    class Duck:
        def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
            seen.append("duck")

    class Both(Callback):
        def __call__(self, trainer: Any, record: dict[str, Any]) -> None:
            seen.append(("called", record["epoch"]))

        def on_fit_end(self, trainer: Any, history: Any) -> None:
            seen.append("end")

    trainer = make_trainer(callbacks=[lambda t, record: seen.append("function")])
    trainer.fit(*data, epochs=1, batch_size=6, callbacks=[Duck()], progress=Both())
    assert seen == ["duck", "function", ("called", 1), "end"]
    trainer.fit(*data, epochs=1, batch_size=6)
    assert seen[4:] == ["function"]


def test_steps_by_hand_tell_the_constructors_callbacks(data: Any) -> None:
    diary = Diary()
    make_trainer(callbacks=[diary]).step(*data)
    assert diary.lines == ["gradients 0", "step 1 1 float"]


def test_the_record_is_the_epochs_row(data: Any) -> None:
    records: list[dict[str, Any]] = []
    trainer = make_trainer(callbacks=[lambda t, record: records.append(record)])
    history = trainer.fit(*data, epochs=2, batch_size=6, validation=data)
    names = [
        "epoch",
        "loss",
        "accuracy",
        "validation_loss",
        "validation_accuracy",
        "learning_rate",
        "dead_units",
    ]
    assert list(records[1]) == names
    assert records == list(history)
    assert records[1]["epoch"] == 2
    assert isinstance(records[1]["dead_units"], tuple)
    records[1]["loss"] = "mine"
    assert history["loss"].dtype == np.float64


def test_gradients_may_be_changed_in_place(data: Any) -> None:
    """Where gradients always are lies the sum over the group; what is written there is what is used."""

    class Zero(Callback):
        def on_gradients_ready(self, trainer: Any) -> None:
            assert np.any(trainer.model.grads["2.bias"])
            trainer.model.grads["0.weight"] = np.zeros((4, 5))

    trainer = make_trainer(callbacks=[Zero()], accumulate=2)
    before = trainer.model.flat_params.copy()
    trainer.fit(*data, epochs=1, batch_size=6)
    changed = trainer.model.flat_params != before
    assert not changed[:20].any()
    assert changed[20:].any()


def test_stop_ends_after_the_epoch(data: Any) -> None:
    def stop(trainer: Any, record: dict[str, Any]) -> None:
        if record["epoch"] == 2:
            trainer.stop()

    trainer = make_trainer()
    assert trainer.fit(*data, epochs=9, batch_size=6, callbacks=[stop]).epochs == 2
    assert trainer.fit(*data, epochs=1, batch_size=6).epochs == 3


# --- exceptions ---


class Failing(Callback):
    def __init__(self, moment: str, after: int = 1) -> None:
        self.after = after

        def fail(*arguments: Any) -> None:
            self.after -= 1
            if self.after < 0:
                raise OSError(moment)

        setattr(self, moment, fail)


@pytest.mark.parametrize(
    "moment",
    ["on_fit_begin", "on_epoch_begin", "on_gradients_ready", "on_step_end", "on_epoch_end", "on_fit_end"],
)
def test_after_an_exception_training_goes_on_from_whole_steps(data: Any, moment: str) -> None:
    x, labels = data
    handler = signal.getsignal(signal.SIGINT)
    trainer, twin = make_trainer(accumulate=2), make_trainer(accumulate=2)
    failing = Failing(moment, after=0 if "fit" in moment else 1)
    with pytest.raises(OSError, match=moment):
        trainer.fit(x, labels, epochs=3, batch_size=3, shuffle=False, callbacks=[failing])
    assert signal.getsignal(signal.SIGINT) is handler
    done = trainer.steps
    for i in range(done):
        twin.step(x[3 * (i % 4) :][:3], labels[3 * (i % 4) :][:3])
    assert trainer.optimizer.updates == twin.optimizer.updates
    np.testing.assert_array_equal(trainer.model.flat_params, twin.model.flat_params)
    assert trainer.history.epochs == done // 4
    for one in (trainer, twin):
        one.fit(x, labels, epochs=1, batch_size=3, shuffle=False)
    np.testing.assert_array_equal(trainer.model.flat_params, twin.model.flat_params)


# --- Ctrl-C ---


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Sends SIGINT to this process, with Python's own handler in place."""
    if not hasattr(signal, "raise_signal"):
        pytest.skip("needs signals")
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, former)


class Pressing(ReLU):
    """A layer that gets Ctrl-C in the middle of its backward of a given step."""

    def __init__(self, press: Callable[[], None], when: int) -> None:
        super().__init__()
        self.press, self.when = press, when

    def backward(self, dy: Any, *, out: Any = None) -> Any:
        self.when -= 1
        if self.when == 0:
            self.press()
        return super().backward(dy, out=out)


def pressing_trainer(layer: Any, **options: Any) -> Trainer:
    model = Sequential(Dense(4, 5), layer, Dense(5, 3), dtype=np.float64, rng=0, ops=reference)
    return Trainer(model, SoftmaxCrossEntropy(), Adam(0.05), **options)


def test_ctrl_c_in_a_step_of_fit_waits_for_its_end(data: Any, ctrl_c: Any) -> None:
    x, labels = data
    trainer, twin = pressing_trainer(Pressing(ctrl_c, 6)), pressing_trainer(ReLU())
    early = EarlyStopping(1, monitor="loss")
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, labels, epochs=3, batch_size=3, shuffle=False, callbacks=[early])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (trainer.steps, trainer.optimizer.updates, trainer.history.epochs) == (6, 6, 1)
    for i in range(6):
        twin.step(x[3 * (i % 4) :][:3], labels[3 * (i % 4) :][:3])
    np.testing.assert_array_equal(trainer.model.flat_params, twin.model.flat_params)
    trainer.fit(x, labels, epochs=1, batch_size=3)


def test_ctrl_c_in_a_step_by_hand_waits_for_its_end(data: Any, ctrl_c: Any) -> None:
    trainer, twin = pressing_trainer(Pressing(ctrl_c, 1)), pressing_trainer(ReLU())
    with pytest.raises(KeyboardInterrupt):
        trainer.step(*data)
    twin.step(*data)
    np.testing.assert_array_equal(trainer.model.flat_params, twin.model.flat_params)
    assert trainer.steps == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_a_callback_comes_at_once(data: Any, ctrl_c: Any) -> None:
    reached: list[int] = []

    def press(trainer: Any, record: Any) -> None:
        ctrl_c()
        reached.append(1)

    trainer = make_trainer()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*data, epochs=2, batch_size=6, callbacks=[press])
    assert not reached
    assert trainer.history.epochs == 1


def test_a_handler_of_ones_own_gets_the_signal_after_the_step(data: Any, ctrl_c: Any) -> None:
    steps: list[int] = []
    trainer = pressing_trainer(Pressing(ctrl_c, 2))

    def mine(number: int, frame: Any) -> None:
        steps.append(trainer.steps)

    signal.signal(signal.SIGINT, mine)
    trainer.fit(*data, epochs=1, batch_size=4)
    assert steps == [2]
    assert trainer.history.epochs == 1
    assert signal.getsignal(signal.SIGINT) is mine


def test_an_ignored_ctrl_c_stays_ignored(data: Any, ctrl_c: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pressing_trainer(Pressing(ctrl_c, 2)).fit(*data, epochs=1, batch_size=4)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_leave_signals_alone(data: Any) -> None:
    handler = signal.getsignal(signal.SIGINT)
    seen: list[Any] = []
    trainer = make_trainer(callbacks=[lambda t, r: seen.append(signal.getsignal(signal.SIGINT))])
    thread = threading.Thread(target=lambda: trainer.fit(*data, epochs=1, batch_size=4))
    thread.start()
    thread.join()
    assert seen == [handler]


# --- early stopping ---


class Script(Callback):
    """Replaces what an epoch measured, before early stopping sees it, and marks the weights."""

    def __init__(self, values: list[float], monitor: str) -> None:
        self.values, self.monitor = values, monitor

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        record[self.monitor] = self.values[record["epoch"] - 1]
        trainer.model.flat_params[:] = record["epoch"]


def run_script(values: list[float], data: Any, monitor: str = "loss", **options: Any) -> tuple[Trainer, Any]:
    stopping = EarlyStopping(monitor=monitor, **options)

    def play(trainer: Any, record: dict[str, Any]) -> None:
        script.on_epoch_end(trainer, record)
        stopping.on_epoch_end(trainer, record)

    class Played(Callback):
        def on_fit_begin(self, trainer: Any) -> None:
            stopping.on_fit_begin(trainer)

        def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
            play(trainer, record)

        def on_fit_end(self, trainer: Any, history: Any) -> None:
            stopping.on_fit_end(trainer, history)

    script = Script(values, monitor)
    trainer = make_trainer(callbacks=[Played()])
    trainer.fit(*data, epochs=len(values), batch_size=6)
    return trainer, stopping


NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([5, 4, 3, 3, 3, 3], {"patience": 2}, 5, 3),
        ([5, 4, 3, 3.5, 2, 3, 3, 1], {"patience": 2}, 7, 5),
        ([5, 4, 3], {"patience": 2}, 3, 3),
        ([5, 4, 4.5], {"patience": 2}, 3, 2),
        ([5, 4.9, 4.8, 4.7, 3], {"patience": 3, "min_delta": 0.5}, 4, 1),
        ([NAN, 5, NAN, NAN, 1], {"patience": 2}, 4, 2),
        ([0.5, 0.7, 0.6, 0.7, 0.9], {"patience": 2, "monitor": "accuracy"}, 4, 2),
    ],
)
def test_early_stopping(data: Any, values: Any, options: Any, epochs: int, best: int) -> None:
    trainer, stopping = run_script(values, data, **options)
    assert trainer.history.epochs == epochs
    assert stopping.best_epoch == best
    assert stopping.best == values[best - 1]
    np.testing.assert_array_equal(trainer.model.flat_params, best)


def test_early_stopping_may_leave_the_last_weights(data: Any) -> None:
    trainer, stopping = run_script([5, 4, 4, 4], data, patience=2, restore_best=False)
    np.testing.assert_array_equal(trainer.model.flat_params, 4)
    assert "weights" not in stopping.state_dict()


def test_early_stopping_starts_anew_with_another_trainer(data: Any) -> None:
    stopping = EarlyStopping(patience=1, monitor="loss")
    first, second = make_trainer(), make_trainer()
    first.fit(*data, epochs=2, batch_size=6, callbacks=[stopping])
    best = stopping.best
    first.fit(*data, epochs=2, batch_size=6, callbacks=[stopping])
    assert stopping.best is not None
    assert best is not None
    assert stopping.best < best
    second.fit(*data, epochs=1, batch_size=6, callbacks=[stopping])
    assert stopping.best == second.history["loss"][0]


def test_what_is_not_recorded_cannot_be_watched(data: Any) -> None:
    trainer = make_trainer(callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match=r"no 'validation_loss'; pass validation=\(x, y\)"):
        trainer.fit(*data, epochs=1, batch_size=6)
    with pytest.raises(ValueError, match="no 'accuracy'; choose monitor from loss, learning_rate"):
        Trainer(trainer.model, SquaredError(), SGD(0.1), callbacks=[EarlyStopping(monitor="accuracy")]).fit(
            data[0], np.zeros((12, 3)), epochs=1, batch_size=6
        )
    assert trainer.steps == 0


@pytest.mark.parametrize(
    ("arguments", "error"), [((0,), ValueError), ((1.5,), TypeError), ((1, "x", -1.0), ValueError)]
)
def test_wrong_arguments_of_early_stopping(arguments: Any, error: Any) -> None:
    with pytest.raises(error, match="EarlyStopping"):
        EarlyStopping(*arguments)
    with pytest.raises(TypeError, match=r"pass EarlyStopping\(\.\.\.\)"):
        make_trainer(callbacks=[EarlyStopping])


def test_repr_and_config_rebuild_early_stopping() -> None:
    stopping = EarlyStopping(3, min_delta=0.5)
    assert repr(stopping) == "EarlyStopping(3, min_delta=0.5)"
    assert repr(EarlyStopping(**stopping.config())) == repr(stopping)


# --- progress ---


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_silent_unless_asked(data: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for progress in (None, False):
        make_trainer().fit(*data, epochs=1, batch_size=6, progress=progress)
    assert capfd.readouterr() == ("", "")


def test_progress_off_a_terminal_is_a_line_per_epoch(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    make_trainer().fit(*data, epochs=2, batch_size=6, progress=True)
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all("loss " in line and "accuracy " in line for line in lines)


def test_progress_on_a_terminal_is_one_line(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(OSError, match="on_epoch_end"):
        make_trainer().fit(
            *data, epochs=3, batch_size=6, progress=True, callbacks=[Failing("on_epoch_end", 2)]
        )
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert "epoch 1/3 [" in text
    assert "epoch 2/3  loss" in text


def test_progress_without_stderr_is_silent(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    make_trainer().fit(*data, epochs=1, batch_size=6, progress=True)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to another process")
def test_ctrl_c_ends_a_program_within_a_step(tmp_path: Any) -> None:
    """A whole program: interrupted from outside, its model is as after the steps it counted."""
    import subprocess
    import time

    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\n"
        "from relu_layers.layers import Dense, ReLU\n"
        "from relu_layers.losses import SquaredError\n"
        "from relu_layers.model import Sequential\n"
        "from relu_layers.ops import reference\n"
        "from relu_layers.optimizers import SGD\n"
        "from relu_layers.trainer import Trainer\n"
        "def make():\n"
        "    model = Sequential(Dense(8, 64), ReLU(), Dense(64, 1), dtype=np.float64, rng=0, ops=reference)\n"
        "    return Trainer(model, SquaredError(), SGD(1e-4, 0.9, multipliers={'0.bias': (2.0, 1.0)}))\n"
        "x, y = np.ones((32, 8)), np.ones((32, 1))\n"
        "a, b = make(), make()\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    a.fit(x, y, epochs=10**9, batch_size=32, shuffle=False)\n"
        "except KeyboardInterrupt:\n"
        "    for _ in range(a.steps):\n"
        "        b.step(x, y)\n"
        "    same = np.array_equal(a.model.flat_params, b.model.flat_params)\n"
        "    print('whole' if same and a.steps == a.optimizer.updates else 'torn')\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "whole\n"
    assert process.returncode == 0


def records(callback: Any, losses: list[float], data: tuple[Any, Any], **settings: Any) -> Trainer:
    """Train with a callback that is given these validation losses."""
    x, y = data
    made = rl.Trainer(rl.mlp([4, 5, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.5))

    class Told(Callback):
        def on_fit_begin(self, trainer: Any) -> None:
            callback.on_fit_begin(trainer)

        def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
            callback.on_epoch_end(trainer, {**record, "validation_loss": losses[record["epoch"] - 1]})

    made.fit(x, y, epochs=len(losses), batch_size=4, validation=(x, y), callbacks=Told(), **settings)
    return made


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [("validation_loss", [True, True, False, True, False, False]), (None, [True] * 6)],
    ids=["best", "last"],
)
def test_the_model_of_the_best_or_of_the_last_epoch_is_saved(
    monitor: str | None, expected: list[bool], data: tuple[Any, Any], tmp_path: Any
) -> None:
    seen = []

    class Watched(rl.ModelCheckpoint):
        def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
            super().on_epoch_end(trainer, record)
            seen.append(bool((rl.load(self.path).flat_params == trainer.model.flat_params).all()))

    records(Watched(tmp_path / "model.npz", monitor), [3.0, 2.0, 2.5, 1.0, 1.0, float("nan")], data)
    assert seen == expected
    with pytest.raises(ValueError, match="records no 'validation_los'"):
        records(rl.ModelCheckpoint(tmp_path / "a.npz", "validation_los"), [1.0], data)


def test_the_log_has_every_epoch_after_every_epoch(data: tuple[Any, Any], tmp_path: Any) -> None:
    x, y = data
    path = tmp_path / "log.csv"
    lengths = []

    def count(trainer: Any, record: dict[str, Any]) -> None:
        lengths.append(len(path.read_text().splitlines()))

    made = rl.Trainer(rl.mlp([4, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1))
    made.fit(x, y, epochs=3, callbacks=[rl.CSVLog(path), count])
    assert lengths == [2, 3, 4]
    made.history.to_csv(tmp_path / "own.csv")
    assert path.read_text() == (tmp_path / "own.csv").read_text()


def test_the_rate_falls_where_the_loss_has_stopped_falling(data: tuple[Any, Any]) -> None:
    losses = [3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    made = records(rl.ReduceOnPlateau(0.5, patience=2), losses, data)
    # Lowered after epochs 3, 6 and 8; the history has the rate of each epoch's last update.
    assert made.history["learning_rate"].tolist() == [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]
    assert made.optimizer.learning_rate.base == 0.0625
    made = records(rl.ReduceOnPlateau(0.1, patience=1, min_rate=0.2), [1.0] * 4, data)
    assert made.optimizer.learning_rate.base == 0.2
    made = records(rl.ReduceOnPlateau(0.5, patience=1, monitor="accuracy", min_delta=9.0), [1.0] * 3, data)
    assert made.optimizer.learning_rate.base == 0.125
    x, y = data
    scheduled = rl.Trainer(
        rl.mlp([4, 3]), rl.SoftmaxCrossEntropy(), rl.SGD(rl.schedules.Exponential(0.1, 0.9))
    )
    with pytest.raises(ValueError, match="expected a number"):
        scheduled.fit(x, y, epochs=1, validation=(x, y), callbacks=rl.ReduceOnPlateau())


def test_a_checkpoint_rebuilds_what_lowers_the_rate_and_not_what_writes_files(
    data: tuple[Any, Any], tmp_path: Any
) -> None:
    x, y = data

    def made(*callbacks: Any) -> Trainer:
        model = rl.mlp([4, 5, 3], rng=0)
        return rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.5), callbacks=callbacks)

    straight = made(rl.ReduceOnPlateau(0.5, 1, "loss", 9.0))
    straight.fit(x, y, epochs=4, batch_size=4)
    halfway = made(rl.ReduceOnPlateau(0.5, 1, "loss", 9.0))
    halfway.fit(x, y, epochs=2, batch_size=4)
    halfway.save_checkpoint(tmp_path / "c.npz")
    restored = rl.Trainer.restore(tmp_path / "c.npz")
    restored.fit(x, y, epochs=2, batch_size=4)
    assert restored.history["learning_rate"].tolist() == straight.history["learning_rate"].tolist()
    np.testing.assert_array_equal(restored.model.flat_params, straight.model.flat_params)
    logged = made(rl.CSVLog(tmp_path / "log.csv"))
    logged.save_checkpoint(tmp_path / "c.npz")
    with pytest.raises(ValueError, match="pass it in callbacks="):
        rl.Trainer.restore(tmp_path / "c.npz")
    again = rl.Trainer.restore(tmp_path / "c.npz", callbacks=rl.CSVLog(tmp_path / "other.csv"))
    again.fit(x, y, epochs=1)
    assert (tmp_path / "other.csv").exists()
    assert not (tmp_path / "log.csv").exists()
