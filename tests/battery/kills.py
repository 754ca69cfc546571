"""SIGKILL at random moments of every kind of save, and of a fit with a checkpoint after every epoch.

After each kill the file is whole and holds the last state that was announced or the one under way; the next
save leaves nothing but the file; a fit that is resumed ends with the bits of one that was never stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Child, Part

import relu_layers as rl

EPOCHS, BATCH = 60, 20
part = Part("kills")
kills = part.size(10, 150)
x, y = rl.data.two_moons(400, rng=0)


def new_trainer() -> rl.Trainer:
    return rl.Trainer(rl.mlp([2, 16, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.01), rng=5)


def numbered(model: rl.Sequential, number: int) -> None:
    """Give every parameter a value that says which state it belongs to."""
    model.flat_params[:] = np.arange(model.flat_params.size, dtype=np.float32) + np.float32(number)


def number_in(model: rl.Sequential) -> int:
    """Return the number of a whole state, -1 for a mixture."""
    first = model.flat_params[0]
    whole = np.arange(model.flat_params.size, dtype=np.float32) + first
    return int(first) if np.array_equal(whole, model.flat_params) else -1


def number_in_csv(path: Path) -> int:
    lines = path.read_text().splitlines()
    whole = len(lines) == 401 and all(line.split(",")[1:] == lines[1].split(",")[1:] for line in lines[1:])
    return int(float(lines[1].split(",")[1])) if whole else -1


def history_of(number: int) -> rl.History:
    history = rl.History()
    for epoch in range(400):
        history.append({"epoch": epoch + 1, "loss": float(number)})
    return history


def killed(work: Callable[[int], object], longest: float) -> int:
    """Kill a child at a random moment after its first announcement; return the last number it announced."""
    child = Child(work)
    announced = child.read(8)
    time.sleep(part.random.uniform(0, longest))
    child.kill()
    part.count("kills")
    announced += child.end().said
    return int(announced[-8:]) if len(announced) >= 8 else -1


def after_kill(path: Path, announced: int, number: Callable[[], int], save: Callable[[Path], object]) -> None:
    try:
        part.check(number() in (announced, announced + 1), f"{path.name}: a state that was never saved")
    except (OSError, ValueError, IndexError) as error:
        part.check(False, f"{path.name}: {error!r}", figure="lost")
    save(path)
    others = set(os.listdir(path.parent)) - {path.name}
    part.check(not others, f"{path.name}: {others} stay after the next save", figure="parts left")
    path.unlink()
    for name in others:
        (path.parent / name).unlink()


def in_saves(name: str, save: Callable[[Path, int], object], number: Callable[[Path], int]) -> None:
    path = part.folder / name
    save(path, 0)
    path.unlink()
    for _ in range(kills):

        def work(pipe: int) -> None:
            for count in range(10**7):
                save(path, count)
                os.write(pipe, b"%08d" % count)

        announced = killed(work, 0.03)
        after_kill(path, announced, lambda: number(path), lambda at: save(at, 0))


def in_fits() -> None:
    whole = new_trainer()
    whole.fit(x, y, epochs=EPOCHS, batch_size=BATCH)
    path = part.folder / "fit.npz"
    for _ in range(kills):

        def work(pipe: int) -> None:
            def keep(trainer: Any, record: dict[str, Any]) -> None:
                trainer.save_checkpoint(path)
                os.write(pipe, b"%08d" % record["epoch"])

            new_trainer().fit(x, y, epochs=EPOCHS, batch_size=BATCH, callbacks=[keep])
            time.sleep(60)

        announced = killed(work, 0.15)
        after_kill(
            path, announced, lambda: resumed(path, whole), lambda at: new_trainer().save_checkpoint(at)
        )


def resumed(path: Path, whole: rl.Trainer) -> int:
    trainer = rl.Trainer.restore(path)
    epochs = trainer.history.epochs
    if epochs < EPOCHS:
        trainer.fit(x, y, epochs=EPOCHS - epochs, batch_size=BATCH)
    same = trainer.model.flat_params.tobytes() == whole.model.flat_params.tobytes()
    part.check(same, f"resumed after epoch {epochs}: other bits", figure="resumed with other bits")
    return epochs


for figure in ("kills", "lost", "wrong", "resumed with other bits", "parts left"):
    part.count(figure, 0)
model = rl.mlp([20, 60, 10], rng=0)
trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(0.01))


def save_model(path: Path, number: int) -> None:
    numbered(model, number)
    model.save(path)


def save_checkpoint(path: Path, number: int) -> None:
    numbered(model, number)
    trainer.save_checkpoint(path)


for name in ("model.npz", "model.safetensors", "model.onnx"):
    in_saves(name, save_model, lambda path: number_in(rl.load(path)))
for name in ("checkpoint.npz", "checkpoint.safetensors"):
    in_saves(name, save_checkpoint, lambda path: number_in(rl.Trainer.restore(path).model))
in_saves("history.csv", lambda path, number: history_of(number).to_csv(path), number_in_csv)
in_fits()
part.finish()
