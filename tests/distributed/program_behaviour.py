"""What several ranks do where one process has nothing to do: each part prints lines that the tests read."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import relu_layers as rl
from relu_layers.distributed import world

sys.path.insert(0, str(Path(__file__).resolve().parent))
from configurations import state

communicator = world()
rank, size = communicator.rank, communicator.size
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 4)).astype(np.float32)
y = rng.integers(0, 3, 64)


def trainer(**options: Any) -> rl.Trainer:
    model = rl.mlp([4, 8, 3], rng=options.pop("seed", 0))
    optimizer = rl.SGD(options.pop("rate", 0.1))
    return rl.Trainer(
        model, rl.SoftmaxCrossEntropy(), optimizer, rng=1, **{"communicator": communicator, **options}
    )


def expect(name: str, act: Any) -> None:
    """Print for each rank, in order, the error that it gets."""
    try:
        act()
        text = "no error"
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    for number, line in enumerate(communicator.allgather(text)):
        if rank == 0:
            print(f"{name} | {number} | {line}")


def fit(one: rl.Trainer, **options: Any) -> None:
    one.fit(options.pop("x", x), options.pop("y", y), **{"epochs": 2, "batch_size": 4, **options})


# Ranks that differ.
expect("rate", lambda: fit(trainer(rate=0.1 if rank == 0 else 0.2)))
expect("seed", lambda: fit(trainer(seed=rank)))
expect("batch_size", lambda: fit(trainer(), batch_size=4 + (rank == size - 1)))
expect("data", lambda: fit(trainer(), x=x + (rank == 1)))
expect("validation", lambda: fit(trainer(), validation=(x[: 8 + rank], y[: 8 + rank])))
expect("clip", lambda: fit(trainer(clip_norm=None if rank else 1.0)))
expect("argument", lambda: fit(trainer(), epochs=-1 if rank == 1 else 2))
expect("order", lambda: fit(trainer(), shuffle=lambda rows: np.roll(np.arange(rows), rank)))

# A rank that raises, and another place.
used = trainer()


class Raises(rl.Callback):
    every_rank = True

    def __init__(self, where: str, which: int) -> None:
        self.where, self.which = where, which

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "where") and rank == object.__getattribute__(self, "which"):

            def fail(*arguments: Any) -> None:
                raise OSError("the disk is full")

            return fail
        return object.__getattribute__(self, name)


for where in (
    "on_fit_begin",
    "on_epoch_begin",
    "on_gradients_ready",
    "on_step_end",
    "on_epoch_end",
    "on_fit_end",
):
    expect(where, lambda where=where: fit(used, callbacks=[Raises(where, size - 1)]))
    states = communicator.allgather(state(used) if where != "on_gradients_ready" else "")
    assert len(set(states)) == 1, (where, states)
fit(used)
assert len(set(communicator.allgather(state(used)))) == 1
bad = x.copy()
bad[9] = np.nan
expect("row", lambda: fit(trainer(), x=bad))
bad[9] = 3e38
expect("divergence", lambda: fit(trainer(), x=bad, shuffle=False))
expect("places", lambda: used.step(x[:4], y[:4]) if rank == 0 else fit(used))
expect("changed", lambda: fit(trainer(), callbacks=[lambda t, r: t.model.flat_params.fill(0)]))

# Steps of one's own: each rank brings a minibatch.
alone = rl.Trainer(
    rl.mlp([4, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1), rng=1, accumulate=2 * size
)
losses = [alone.step(x[i : i + 4], y[i : i + 4]) for i in range(0, 16 * size, 4)]
seen: list[tuple[int, float]] = []


class Watch(rl.Callback):
    def on_step_end(self, trainer: rl.Trainer, step: int, loss: float) -> None:
        seen.append((step, loss))


together = trainer(accumulate=2, callbacks=[Watch()])
own = [together.step(x[i : i + 4], y[i : i + 4]) for i in range(4 * rank, 16 * size, 4 * size)]
assert own == losses[rank::size], (own, losses)
assert np.array_equal(alone.model.flat_params, together.model.flat_params)
assert seen == ([*enumerate(losses, 1)] if rank == 0 else [])
one_more = slice(4 * rank, 4 * rank + 4)
together.step(x[one_more], y[one_more])
with tempfile.TemporaryDirectory() as folder:
    path = communicator.bcast(str(Path(folder) / "open.npz"))
    together.save_checkpoint(path)
    communicator.Barrier()
    restored = rl.Trainer.restore(path, communicator=communicator, callbacks=[Watch()])
    for i in range(size):
        alone.step(x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4])
    fit(restored)
    fit(alone)
    assert state(restored) == state(alone)
    communicator.Barrier()

# Stopping, callbacks on rank 0, gradients that a callback changes.
called: list[int] = []
stopped = trainer()


def stop(trainer: rl.Trainer, record: dict[str, Any]) -> None:
    called.append(record["epoch"])
    trainer.stop()


fit(stopped, epochs=9, callbacks=[stop])
assert stopped.history.epochs == 1
assert called == ([1] if rank == 0 else [])


class Noise(rl.Callback):
    def on_gradients_ready(self, trainer: rl.Trainer) -> None:
        trainer.model.flat_grads[:] *= 0.5


noisy = trainer()
fit(noisy, callbacks=[Noise()])
single = rl.Trainer(rl.mlp([4, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1), rng=1, accumulate=size)
fit(single, callbacks=[Noise()])
assert np.array_equal(noisy.model.flat_params, single.model.flat_params)

# Bad communicators and group sizes.
expect("no communicator", lambda: trainer(communicator=object()))
from mpi4py import MPI  # noqa: E402

expect("null communicator", lambda: trainer(communicator=MPI.COMM_NULL))
with tempfile.TemporaryDirectory() as folder:
    path = communicator.bcast(str(Path(folder) / "group.npz"))
    if rank == 0:
        rl.Trainer(
            rl.mlp([4, 8, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1), accumulate=5
        ).save_checkpoint(path)
    communicator.Barrier()
    expect("group", lambda: rl.Trainer.restore(path, communicator=communicator))
if rank == 0:
    print("done")
