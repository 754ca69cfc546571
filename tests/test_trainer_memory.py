"""After warm-up a step allocates no array, and the kernels work on the memory that NumPy shows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from relu_layers import ops
from relu_layers.callbacks import Callback
from relu_layers.layers import ELU, Dense, Dropout, PReLU, ReLU, Sigmoid, Softmax, Tanh
from relu_layers.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential
from relu_layers.optimizers import BUILT_IN, SGD, Adam
from relu_layers.trainer import Trainer

ROWS, FEATURES, CLASSES = 512, 256, 64
# The smallest array of a step is a bias of 64 float32 parameters, but the arrays that matter grow with the batch:
# logits take 128 KiB. Python's own objects stay far below this.
ALLOWANCE = 16 * 1024


@pytest.fixture
def peak() -> Iterator[Callable[[Callable[[], Any]], int]]:
    """How many bytes a call has in use at most, beyond those before it, in NumPy's and Python's memory."""

    def measure(call: Callable[[], Any]) -> int:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    yield measure
    tracemalloc.stop()


def live_arrays() -> int:
    """Bytes of NumPy arrays made since tracing began."""
    only_numpy = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([only_numpy]).traces)


def make_model(*last: Any) -> Sequential:
    layers = [Dense(FEATURES, 128), ReLU(0.01), Dropout(0.2), Dense(128, 96), PReLU(96), Tanh(), ELU()]
    return Sequential(*layers, Dense(96, CLASSES), *last, rng=0)


def batch() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, ROWS)


@pytest.mark.parametrize("optimizer", BUILT_IN)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_allocates_no_array(peak: Any, optimizer: str, accumulate: int) -> None:
    multipliers = {"0.bias": (2.0, 0.0), "3.bias": (0.0, 0.0)}
    built = BUILT_IN[optimizer](0.001, multipliers=multipliers)
    trainer = Trainer(
        make_model(Softmax()), SoftmaxCrossEntropy(), built, clip_norm=0.1, accumulate=accumulate
    )
    x, labels = batch()
    weight = np.ones(ROWS, np.float32)
    for _ in range(4):
        trainer.step(x, labels, weight)
    before = live_arrays()
    for _ in range(4):
        assert peak(lambda: trainer.step(x, labels, weight)) < ALLOWANCE
    assert live_arrays() <= before


@pytest.mark.parametrize(
    ("loss", "last"),
    [(SquaredError(), ()), (SquaredError(), (Tanh(),)), (SigmoidCrossEntropy(), (Sigmoid(),))],
)
def test_neither_do_other_losses(peak: Any, loss: Any, last: Any) -> None:
    trainer = Trainer(make_model(*last), loss, SGD(0.001))
    x, _ = batch()
    target = np.full((ROWS, CLASSES), 0.5, np.float32)
    for _ in range(3):
        trainer.step(x, target)
    assert peak(lambda: trainer.step(x, target)) < ALLOWANCE


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_of_fit_allocates_no_array_per_step(peak: Any, shuffle: bool) -> None:
    """From the end of one step to the end of the next: gathering, the step, accuracy, dead units."""

    class Watch(Callback):
        def __init__(self) -> None:
            self.peaks: list[int] = []

        def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
            now, most = tracemalloc.get_traced_memory()
            self.peaks.append(most - now)
            tracemalloc.reset_peak()

    watch = Watch()
    trainer = Trainer(make_model(), SoftmaxCrossEntropy(), Adam(0.001), callbacks=[watch])
    x, labels = (np.concatenate([part] * 4) for part in batch())
    trainer.fit(x, labels, epochs=3, batch_size=ROWS, shuffle=shuffle)
    # The second and later steps of the second and later epochs.
    assert max(watch.peaks[5:8] + watch.peaks[9:12]) < ALLOWANCE


def test_the_kernels_write_where_numpy_looks() -> None:
    """Parameters, gradients and optimizer state stay at their addresses, are views, and change there."""
    model = make_model()
    optimizer = Adam(0.01)
    trainer = Trainer(model, SoftmaxCrossEntropy(), optimizer)
    assert model.ops is ops
    arrays = {**{f"p{k}": v for k, v in model.params.items()}, **{f"g{k}": v for k, v in model.grads.items()}}
    places = {name: array.ctypes.data for name, array in arrays.items()}
    slots = {name: slot.ctypes.data for name, slot in optimizer.slots.items()}
    before = {name: array.copy() for name, array in arrays.items()}
    trainer.fit(*batch(), epochs=2, batch_size=100)
    for name, array in arrays.items():
        owner = model.flat_params if name[0] == "p" else model.flat_grads
        assert np.shares_memory(array, owner)
        assert (model.params if name[0] == "p" else model.grads)[name[1:]].ctypes.data == places[name]
        assert not np.array_equal(array, before[name])
    assert {name: slot.ctypes.data for name, slot in optimizer.slots.items()} == slots
    # And back: what NumPy writes is what the kernels read.
    model.flat_params[:] = 0.0
    x, labels = batch()
    assert trainer.evaluate(x, labels)["loss"] == pytest.approx(np.log(CLASSES), rel=1e-6)
