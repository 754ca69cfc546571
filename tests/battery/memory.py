"""The n-th allocation fails, for every n; so does the n-th start of a thread.

Two ways of counting: the allocations that the extension itself asks for, which fail once or from then on, and
all that the calling thread asks for, of which one fails. The call gives the right result or a MemoryError;
inputs, the model and outputs of ops are untouched then, no signal stays blocked and the next call is right.
Without threads to be had every result is that of one thread. Nothing ends the process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Part, bytes_of, in_child, muted, preloaded

import relu_layers as rl
from relu_layers import _core

part = Part("memory")
# Through malloc goes what Python itself allocates.
library = preloaded(part, "memory", PYTHONMALLOC="malloc")
Ranges = ctypes.c_size_t * 4
# Called without allocating anything: not through a name that is looked up, and without a result.
disarm = library.memory_disarm
disarm.restype = None
library.memory_arm.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, Ranges]
most = part.size(4, 60)

rng = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


a, b, dy, bias = normal(200, 300), normal(300, 150), normal(200, 150), normal(150)
strided = normal(200, 600)[:, ::2]
labels = rng.integers(0, 10, 200)
out = np.zeros((200, 150), np.float32)
grads = np.zeros_like(a), np.zeros_like(b), np.zeros_like(bias)
model = rl.mlp([300, 64, 10], rng=0)
kept = part.folder / "kept.npz"
model.save(kept)
saved = part.folder / "saved.npz"


def new_trainer() -> rl.Trainer:
    network = rl.Sequential(rl.Dense(300, 16), rl.ReLU(), rl.Dropout(0.5), rl.Dense(16, 10), rng=0)
    return rl.Trainer(network, rl.SoftmaxCrossEntropy(), rl.Adam(rl.schedules.Step(0.01, 0.5, 9)), rng=1)


def fitted() -> Any:
    trainer = new_trainer()
    trainer.fit(a, labels, epochs=2, batch_size=8)
    return trainer.model.flat_params


def stepped() -> Any:
    trainer = new_trainer()
    for first in (0, 8, 16, 24):
        trainer.step(a[first : first + 8], labels[first : first + 8])
    return trainer.model.flat_params


def loaded(path: Path) -> Any:
    return rl.load(path).flat_params


def save() -> None:
    model.save(saved)


CALLS: dict[str, Callable[[], Any]] = {
    "matmul, out": lambda: rl.ops.matmul(a, b, out=out),
    "matmul": lambda: rl.ops.matmul(a, b),
    "matmul, strided": lambda: rl.ops.matmul(strided, b, out=out),
    "dense_forward": lambda: rl.ops.dense_forward(a, b, bias, out=out),
    "dense_backward": lambda: rl.ops.dense_backward(a, b, dy, out=grads),
    "relu, strided": lambda: rl.ops.relu_forward(strided, 0.1),
    "softmax": lambda: rl.ops.softmax_forward(a),
    "cross entropy": lambda: rl.ops.softmax_cross_entropy(a, labels),
    "new model": lambda: rl.mlp([300, 64, 10], rng=0).flat_params,
    "inference": lambda: model(a),
    "prediction": lambda: model.predict(a),
    "steps": stepped,
    "fit": fitted,
    "save": save,
    "load": lambda: loaded(kept),
}
OUTPUTS = (out, *grads)
INPUTS = (a, b, dy, bias, strided, labels)


def extension() -> Any:
    """Return where the code of the extension lies, and that of the C++ library, which allocates for it."""
    ranges: list[int] = []
    with open("/proc/self/maps") as maps:
        lines = maps.readlines()
    for library_name in (Path(_core.__file__).name, "libstdc++.so"):
        ends = [end for line in lines if library_name in line for end in line.split()[0].split("-")]
        places = [int(end, 16) for end in ends] or [0]
        ranges += [min(places), max(places)]
    return Ranges(*ranges)


def attempt(call: Callable[[], Any], wanted: bytes, arm: Callable[[], None], in_place: bool) -> bytes:
    """In a child: one call under what is armed, then one more; return what is wrong, or nothing."""
    wrong: list[str] = []
    outputs = bytes_of(OUTPUTS)
    result: Any = None
    failed = False
    with muted():
        try:
            arm()
            result = call()
            disarm()
        except BaseException as error:
            disarm()
            failed = True
            if not isinstance(error, MemoryError):
                wrong.append(f"{type(error).__name__}: {error}")
    if signal.pthread_sigmask(signal.SIG_BLOCK, []):
        wrong.append("signals are blocked")
    if bytes_of(INPUTS) != inputs or model.flat_params.tobytes() != parameters:
        wrong.append("inputs or model changed")
    if failed and in_place and bytes_of(OUTPUTS) != outputs:
        wrong.append("outputs were written")
    if not failed and bytes_of(result) != wanted:
        wrong.append("wrong result")
    if bytes_of(call()) != wanted:
        wrong.append("the next call is wrong")
    if loaded(kept).tobytes() != parameters:
        wrong.append("the file is not the saved one")
    return "; ".join(wrong).encode()


def places(total: int) -> list[int]:
    """Return which of ``total`` allocations fail: all where they are few."""
    if total <= most:
        return list(range(1, total + 1))
    return sorted(part.random.sample(range(1, total + 1), most))


def each_place(name: str, kind: str, threads: bool, code: Any) -> None:
    call = CALLS[name]
    wanted = bytes_of(call())

    def total() -> bytes:
        library.memory_arm(0, 0, int(threads), code)
        call()
        disarm()
        return str(library.memory_count()).encode()

    counted = in_child(total)
    if not part.check(counted.code == 0, f"{name}: {counted.said!r}"):
        return
    for nth in places(int(counted.said)):
        # An interpreter that can allocate nothing at all does not come to an end with raising MemoryError.
        for forever in (0, 1) if threads or code[1] else (0,):
            part.count(f"{kind} failed")

            def arm(nth: int = nth, forever: int = forever) -> None:
                library.memory_arm(nth, forever, int(threads), code)

            ended = in_child(lambda arm=arm: attempt(call, wanted, arm, "out" in name or "back" in name))
            what = f"ended with {ended.code} " if ended.code else ""
            part.check(
                ended.code == 0 and not ended.said,
                f"{name}, {kind}{' from the ' if forever else ' '}{nth}: {what}{ended.said.decode()[:200]}",
            )


for figure in ("allocations of the extension failed", "allocations failed", "threads failed", "wrong"):
    part.count(figure, 0)
# The parent stays without workers, so that every child starts its own.
rl.set_num_threads(1)
for call in CALLS.values():
    call()
rl.set_num_threads(4)
_core.set_parallel_threshold(0.0)
inputs, parameters = bytes_of(INPUTS), model.flat_params.tobytes()
code = extension()
assert threading.active_count() == 1
os.environ["RELU_LAYERS_NUM_THREADS"] = "4"
for name in CALLS:
    each_place(name, "allocations of the extension", False, code)
    each_place(name, "allocations", False, Ranges())
for name in ("matmul", "dense_backward", "inference", "fit"):
    each_place(name, "threads", True, Ranges())
part.finish()
