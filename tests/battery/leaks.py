"""Everything over and over: memory, file descriptors and threads are in the end what they were in the middle."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import pickle
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import Part

import relu_layers as rl

PROC = Path("/proc/self")
ALLOWED = 1024  # kilobytes of resident memory in the second half
part = Part("leaks")
if not PROC.is_dir():
    part.skip("needs /proc")
x, y = rl.data.two_moons(120, rng=0)
rows = x.astype(np.float32)
loss = rl.SoftmaxCrossEntropy()
archive, table = part.folder / "rows.npz", part.folder / "rows.csv"
np.savez(archive, x=rows, y=y)
table.write_text("a,b,y\n" + "".join(f"{a},{b},k{int(c)}\n" for (a, b), c in zip(x, y, strict=True)))


def train(seed: int) -> rl.Trainer:
    network = rl.Sequential(rl.Dense(2, 8), rl.ReLU(), rl.Dropout(0.1), rl.Dense(8, 2), rng=seed)
    stopping = rl.EarlyStopping(monitor="loss")
    trainer = rl.Trainer(network, loss, rl.Adam(rl.schedules.Cosine(0.01, 100)), callbacks=[stopping])
    trainer.fit(x, y, epochs=2, batch_size=16, validation=(x, y))
    trainer.fit(rl.sources.open_source(archive), epochs=1, batch_size=16)
    trainer.step(rows[:8], y[:8])
    return trainer


def store(trainer: rl.Trainer) -> None:
    model = trainer.model
    for suffix in ("npz", "safetensors", "onnx", "h"):
        model.save(part.folder / f"model.{suffix}")
    for suffix in ("npz", "safetensors", "onnx"):
        rl.load(part.folder / f"model.{suffix}").predict(x)
    trainer.save_checkpoint(part.folder / "checkpoint.npz")
    rl.Trainer.restore(part.folder / "checkpoint.npz").step(rows[:8], y[:8])
    trainer.history.to_csv(part.folder / "history.csv")
    copy.deepcopy(model)(rows)
    pickle.loads(pickle.dumps(trainer)).evaluate(x, y)
    rl.sources.open_source(table, target="y")


def understand(model: rl.Sequential) -> None:
    model.predict_proba(x)
    str(rl.explain(model, x[:3], y[:3], loss=loss))
    rl.gradcheck(model, x[:3], y[:3], loss)


def fail(trainer: rl.Trainer) -> None:
    """Every kind of refusal."""
    damaged = part.folder / "damaged.npz"
    damaged.write_bytes((part.folder / "model.npz").read_bytes()[:-100])
    wrong: list[Any] = [
        lambda: trainer.model(x),
        lambda: trainer.step(x, y),
        lambda: rl.ops.matmul(rows, rows),
        lambda: rl.ops.softmax_cross_entropy(rows, y + 9),
        lambda: rl.ops.relu_forward([1]),
        lambda: rl.ops.relu_forward(rows, out=rows[::-1]),
        lambda: rl.load(part.folder / "nothing.npz"),
        lambda: rl.load(damaged),
    ]
    for call in wrong:
        with contextlib.suppress(TypeError, ValueError, IndexError, OSError):
            call()


def state() -> tuple[int, int, int]:
    """Return kilobytes resident, descriptors, threads."""
    gc.collect()
    pages = int((PROC / "statm").read_text().split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE") // 1024
    return resident, len(os.listdir(PROC / "fd")), len(os.listdir(PROC / "task"))


def turn(number: int) -> None:
    trainer = train(number)
    store(trainer)
    understand(trainer.model)
    fail(trainer)
    part.count("turns")


warnings.simplefilter("ignore")
if part.long:
    begin = time.monotonic()
    while time.monotonic() - begin < 300:
        turn(part.figures["turns"])
    warm = state()
    while time.monotonic() - begin < 600:
        turn(part.figures["turns"])
else:
    for number in range(15):
        turn(number)
    warm = state()
    for number in range(15, 30):
        turn(number)
end = state()
# In the short form the allocator is still settling: what counts there are hundreds of kilobytes a turn.
allowed = part.size(8 * ALLOWED, ALLOWED)
part.check(end[0] - warm[0] < allowed, f"{end[0] - warm[0]} kB more in the second half", figure="leaks")
part.check(end[1:] == warm[1:], f"descriptors and threads {warm[1:]}, then {end[1:]}", figure="leaks")
part.remarks.append(f"{end[0] - warm[0]:+} kB in the second half, {end[1]} descriptors, {end[2]} threads")
part.finish()
