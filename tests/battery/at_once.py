"""Eight threads do everything to one model at once: infer, step, fit, evaluate, save, copy, restore.

What is refused is a RuntimeError that says why; whatever is saved can be read back whole; a second model that
only infers keeps its bits, and the first one ends finite and usable.
"""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from common import Part

import relu_layers as rl
from relu_layers import _core

part = Part("at once")
seconds = part.size(4.0, 300.0)
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 30)).astype(np.float32)
y = rng.integers(0, 5, 64)
loss = rl.SoftmaxCrossEntropy()
model = rl.Sequential(rl.Dense(30, 32), rl.ReLU(0.1), rl.Dropout(0.2), rl.Dense(32, 5), rng=0)
still = rl.mlp([30, 32, 5], rng=0)
wanted = still(x).tobytes()
trainer = rl.Trainer(model, loss, rl.Adam(rl.schedules.Cosine(0.001, 10**6)), rng=1)
other = rl.Trainer(model, loss, rl.SGD(0.001), rng=2)
saved = part.folder / "model.npz"
checkpoint = part.folder / "checkpoint.safetensors"
model.save(saved)
trainer.save_checkpoint(checkpoint)
number = itertools.count()
targets = [name for name in rl.build_info()["targets"] if name != "baseline"] or ["baseline"]


def knobs() -> None:
    rl.set_num_threads(1 + next(number) % 4)
    rl.use_target(targets[next(number) % len(targets)])
    time.sleep(0.002)


def infer() -> None:
    model(x)
    part.check(still(x).tobytes() == wanted, "a model that nobody trains: other bits")


def fit() -> None:
    trainer.fit(x, y, epochs=2, batch_size=8)


def save() -> None:
    model.save(saved)
    trainer.save_checkpoint(checkpoint)


def read() -> None:
    whole = rl.load(saved), rl.Trainer.restore(checkpoint).model
    part.check(all(np.isfinite(each.flat_params).all() for each in whole), "what was saved is not finite")


def duplicate() -> None:
    copy.deepcopy(model)(x)
    pickle.loads(pickle.dumps(trainer)).step(x, y)


def understand() -> None:
    rl.explain(still, x[:2], y[:2], loss=loss)
    trainer.evaluate(x, y)


JOBS: dict[str, Callable[[], Any]] = {
    "inferences": infer,
    "steps": lambda: other.step(x, y),
    "fits": fit,
    "saves": save,
    "restores": read,
    "copies": duplicate,
    "evaluations": understand,
    "settings": knobs,
}
stop = threading.Event()
refused = itertools.count()


def repeat(name: str) -> None:
    rest = Random(name)
    while not stop.is_set():
        # So that whoever was refused finds the model free now and then.
        time.sleep(rest.uniform(0, 0.004))
        try:
            JOBS[name]()
            done[name] += 1
        except RuntimeError as error:
            next(refused)
            part.check("thread" in str(error), f"{name}: {error}")
        except BaseException as error:
            part.check(False, f"{name}: {error!r}")


done = dict.fromkeys(JOBS, 0)
part.count("wrong", 0)
_core.set_parallel_threshold(0.0)
threads = [threading.Thread(target=repeat, args=(name,), daemon=True) for name in JOBS]
for thread in threads:
    thread.start()
time.sleep(seconds)
stop.set()
for thread in threads:
    thread.join(60)
part.check(not any(thread.is_alive() for thread in threads), "a thread hangs")
for name, times in done.items():
    part.count(name, times)
    part.check(times > 0, f"{name}: never")
part.count("refused with a reason", next(refused))
trainer.step(x, y)
part.check(bool(np.isfinite(model.flat_params).all()), "the model is not finite")
left = set(os.listdir(part.folder)) - {saved.name, checkpoint.name}
part.check(not left, f"{left} stay")
part.finish()
