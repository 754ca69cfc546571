"""Ctrl-C at random moments of every kind of fit, of saves and of the command line.

A fit stops after a whole step: all it learned equals, bit for bit, an uninterrupted run of as many steps, and
it can go on. A save leaves the old file or the new one and nothing else. The command ends with 130 and
without a traceback.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Child, Part, bytes_of

import relu_layers as rl

ROWS, BATCH = 1000, 25
# How the interpreter complains about an interrupt in its own start.
STARTING = ("Fatal Python error: init_", "Could not import runpy module")
part = Part("interrupts")
interrupts = part.size(3, 30)
rng = np.random.default_rng(0)
x = rng.standard_normal((ROWS, 20)).astype(np.float32)
y = rng.integers(0, 5, ROWS)
archive = part.folder / "rows.npz"
np.savez(archive, x=x, y=y)
table = part.folder / "rows.csv"
with table.open("w") as file:
    file.write(",".join(f"c{i}" for i in range(20)) + ",y\n")
    for row, label in zip(x, y, strict=True):
        file.write(",".join(f"{value:.4f}" for value in row) + f",k{label}\n")


class EveryStep(rl.Callback):
    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        pass


class StopAt(rl.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
        if step == self.step:
            raise StopIteration


def new_trainer(**options: Any) -> rl.Trainer:
    model = rl.Sequential(rl.Dense(20, 40), rl.ReLU(0.1), rl.Dropout(0.2), rl.Dense(40, 5), rng=0)
    rate = rl.schedules.Cosine(0.001, 10**5)
    return rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(rate), rng=3, **options)


Fit = Callable[[rl.Trainer, list[Any]], object]


def on_arrays(**options: Any) -> Fit:
    return lambda trainer, callbacks: trainer.fit(
        x, y, epochs=10**6, batch_size=BATCH, callbacks=callbacks, **options
    )


def on_source(path: Path) -> Fit:
    def fit(trainer: rl.Trainer, callbacks: list[Any]) -> None:
        source = rl.sources.open_source(path)
        trainer.fit(source, epochs=10**6, batch_size=BATCH, callbacks=callbacks)

    return fit


FITS: dict[str, tuple[dict[str, Any], Fit, list[Any]]] = {
    "arrays": ({}, on_arrays(), []),
    "in order": ({}, on_arrays(shuffle=False), []),
    "not captured": ({"capture": False}, on_arrays(), []),
    "groups, clipped": ({"accumulate": 3, "clip_norm": 0.5}, on_arrays(), []),
    "progress": ({}, on_arrays(progress=True), []),
    "a callback": ({}, on_arrays(), [EveryStep()]),
    "validation": ({}, on_arrays(validation=(x[:100], y[:100])), []),
    "a source": ({}, on_source(archive), []),
}


def learned(trainer: rl.Trainer) -> bytes:
    masks = [layer.state_dict() for layer in trainer.model.layers if isinstance(layer, rl.Dropout)]
    state = [trainer.model.flat_params, trainer.optimizer.state_dict(), trainer.steps, masks]
    return bytes_of(state)


def interrupted(options: dict[str, Any], fit: Fit, callbacks: list[Any], pipe: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    trainer = new_trainer(**options)
    try:
        os.write(pipe, b"ready   ")
        fit(trainer, callbacks)
    except KeyboardInterrupt:
        os.write(pipe, f"{time.time():17.6f}".encode())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "another handler"
    twin = new_trainer(**options)
    try:
        if trainer.steps:
            fit(twin, [*callbacks, StopAt(trainer.steps)])
    except StopIteration:
        pass
    assert learned(twin) == learned(trainer), f"other bits than {trainer.steps} whole steps"
    trainer.fit(x, y, epochs=1, batch_size=BATCH)


def fits() -> None:
    for name, (options, fit, callbacks) in FITS.items():
        for _ in range(interrupts):
            child = Child(lambda pipe: interrupted(options, fit, callbacks, pipe))  # noqa: B023
            child.read(8)
            time.sleep(part.random.uniform(0, 0.3))
            sent = time.time()
            child.kill(signal.SIGINT)
            part.count("interrupts")
            ended = child.end()
            if part.check(ended.code == 0, f"{name}: ended with {ended.code}: {ended.said[17:300]!r}"):
                late.append(float(ended.said[:17]) - sent)


def saves() -> None:
    folder = part.folder / "saves"
    folder.mkdir()
    path = folder / "model.npz"
    model = rl.mlp([10, 20, 5], rng=0)
    model.save(path)

    def work(pipe: int) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            os.write(pipe, b"ready   ")
            while True:
                model.save(path)
        except KeyboardInterrupt:
            pass

    for _ in range(4 * interrupts):
        child = Child(work)
        child.read(8)
        time.sleep(part.random.uniform(0, 0.02))
        child.kill(signal.SIGINT)
        part.count("interrupts")
        ended = child.end()
        part.check(ended.code == 0, f"save: ended with {ended.code}: {ended.said[:200]!r}")
        for name in set(os.listdir(folder)) - {path.name}:
            part.check(False, "save: a temporary file stays", figure="parts left")
            (folder / name).unlink()
        part.check(rl.load(path).flat_params.tobytes() == model.flat_params.tobytes(), "save: other content")


def commands() -> None:
    command = [sys.executable, "-m", "relu_layers", "train", os.fspath(table), "--target", "y"]
    command += ["--epochs", "100000", "--patience", "0", "--output", os.fspath(part.folder / "out")]
    for _ in range(interrupts):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(part.random.uniform(0.2, 1.5))
        process.send_signal(signal.SIGINT)
        part.count("interrupts")
        try:
            _, complaint = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            part.check(False, "the command hangs")
            continue
        # Until the interpreter has come to the command, what it prints is its own; before it has come to itself,
        # its exit code is 1.
        quiet = "Traceback" not in complaint or "__main__.py" not in complaint
        codes = (130, -signal.SIGINT, *[1] * complaint.startswith(STARTING))
        part.check(
            quiet and process.returncode in codes,
            f"the command ended with {process.returncode}: {complaint[-200:]!r}",
        )


late: list[float] = []
for figure in ("interrupts", "wrong", "parts left"):
    part.count(figure, 0)
fits()
saves()
commands()
part.remarks.append(f"fits noticed after at most {max(late, default=0.0):.2f} s")
part.finish()
