"""The measured cases: one per cell of the tables, each with a name by which it can be chosen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from math import prod
from typing import Any

import numpy as np

from relu_layers._support.arguments import nearest

SECTIONS = {
    "ops": "Single ops",
    "training": "Training steps",
    "inference": "Inference",
    "fit": "Whole fits, per step, shuffling included",
}
DTYPES = ("float32", "float64")
SLOPE = 0.01
LEARNING_RATE = 1e-3
MOMENTUM = 0.9
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

_ROTATION = {"ops": 64 << 10, "networks": 16 << 20}  # bytes
_LONGEST_ROTATION = 1024

_FAMILIES = {
    "forward": "gemm",
    "dx": "gemm",
    "dweight": "gemm",
    "relu-forward": "relu",
    "relu-backward": "relu",
    "softmax": "softmax",
    "cross-entropy": "cross-entropy",
    "sgd-update": "update",
    "adam-update": "update",
    "step": "training",
    "infer": "inference",
    "frozen": "inference",
    "fit": "fit",
}


@dataclass(frozen=True)
class Case:
    """One cell.

    Attributes
    ----------
    section : str
        A key of `SECTIONS`.
    op : str
        A key of the families: an op, or ``step``, ``infer``, ``fit``; ``frozen`` is ``infer`` of a frozen model.
    shape : tuple of int
        (batch, in_features, out_features) of a product, (n,) of an elementwise op or an update, (rows, classes) of
        softmax and loss, the sizes of a network's layers.
    batch, rows : int
        Rows of a minibatch and of the whole data of a fit; 0 where there is no such thing.
    optimizer : str
        ``sgd``, ``momentum`` or ``adam`` where something is trained.
    """

    section: str
    op: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    batch: int = 0
    optimizer: str = ""
    rows: int = 0

    @property
    def family(self) -> str:
        """Return the group of ops that this one belongs to."""
        return _FAMILIES[self.op]

    @property
    def name(self) -> str:
        """Return the name that `--list` prints and `--only` takes, without the dtype."""
        parts = [self.op, "x".join(map(str, self.shape))]
        if self.section != "ops":
            parts[1] = "-".join(map(str, self.shape))
            parts.append(f"b{self.batch}")
        return "-".join([*parts, self.optimizer] if self.optimizer else parts)

    @property
    def itemsize(self) -> int:
        """Return the bytes of one element."""
        return np.dtype(self.dtype).itemsize

    @property
    def regression(self) -> bool:
        """Return whether the network has one output and the squared error instead of classes."""
        return self.shape[-1] == 1

    @property
    def steps(self) -> int:
        """Return the minibatches of one epoch of a fit."""
        return self.rows // self.batch

    @property
    def rotating(self) -> int:
        """Return the bytes of one call's own arguments, which change from call to call."""
        if self.section != "ops":
            return self.itemsize * self.batch * (self.shape[0] + 1)
        if self.family == "gemm":
            batch, inputs, outputs = self.shape
            return (
                self.itemsize
                * batch
                * {"forward": inputs, "dx": outputs, "dweight": inputs + outputs}[self.op]
            )
        return self.itemsize * prod(self.shape) * (2 if self.op == "relu-backward" else 1)

    @property
    def rotation(self) -> int:
        """Return how many different arguments are taken in turn.

        Single ops find theirs where arrays of this size live, with enough of the small ones that no branch predictor
        knows them. Minibatches come from beyond the first two caches, as they do in training.
        """
        if self.section == "fit":
            return 1
        total = _ROTATION["ops" if self.section == "ops" else "networks"]
        least = 1 if self.rotating > 4 * _ROTATION["networks"] else 2
        return max(least, min(_LONGEST_ROTATION, total // self.rotating))

    @property
    def bytes(self) -> int:
        """Return roughly the bytes that one opponent holds in memory for it."""
        if self.section != "ops":
            params = sum(a * b for a, b in pairwise(self.shape))
            rows = self.rows or self.batch
            return self.itemsize * (4 * params + rows * (self.shape[0] + 1) + self.batch * sum(self.shape))
        if self.family == "gemm":
            batch, inputs, outputs = self.shape
            return self.itemsize * (batch * inputs + 2 * inputs * outputs + 2 * batch * outputs)
        return self.itemsize * 4 * prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for a message or a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Case:
        """Return the case of a message."""
        return cls(**{**fields, "shape": tuple(fields["shape"])})


_GEMM_BATCHES = (1, 8, 32, 64, 128, 256, 1024)
_GEMM_LAYERS = (
    *[(2, 30), (30, 1), (20, 64), (64, 64), (64, 100), (128, 10)],
    *[(784, 128), (784, 512), (1024, 1024), (4096, 4096)],
)
_NETWORKS = (
    ((2, 30, 1), 4),
    ((20, 64, 64, 3), 32),
    ((784, 128, 10), 64),
    ((784, 512, 10), 128),
    ((784, 1024, 1024, 10), 256),
)
# Rows in a request.
_SERVED = {
    (20, 64, 64, 3): (1, 32),
    (784, 128, 10): (1, 8, 32, 128),
    (784, 512, 10): (1, 8, 32, 128),
    (784, 1024, 1024, 10): (1, 8, 32, 128),
}


def all_cases(dtypes: Sequence[str] = DTYPES) -> list[Case]:
    """Return every case, in the order of the tables."""
    cases = [Case("ops", op, (n, *layer)) for layer, n, op in product(_GEMM_LAYERS, _GEMM_BATCHES, _GEMM_OPS)]
    cases += [Case("ops", op, (10**power,)) for op, power in product(_RELU_OPS, range(2, 9))]
    cases += [
        Case("ops", op, (rows, classes))
        for op, rows, classes in product(_ROW_OPS, (64, 1024, 65536), (2, 10, 100, 1000))
    ]
    cases += [Case("ops", op, (n,)) for op, n in product(_UPDATE_OPS, (1_000, 101_770, 10_000_000))]
    for sizes, batch in _NETWORKS:
        optimizers = ("sgd", "momentum", "adam") if batch == 4 else ("momentum", "adam")
        cases += [Case("training", "step", sizes, batch=batch, optimizer=each) for each in optimizers]
    cases += [Case("inference", "infer", (784, 128, 10), batch=batch) for batch in (1, 8, 32)]
    cases += [Case("inference", "infer", (20, 64, 64, 3), batch=1)]
    cases += [
        Case("inference", "frozen", sizes, batch=batch)
        for sizes, batches in _SERVED.items()
        for batch in batches
    ]
    cases += [
        Case("fit", "fit", (2, 30, 1), batch=4, optimizer="momentum", rows=6_000),
        Case("fit", "fit", (20, 64, 64, 3), batch=32, optimizer="momentum", rows=16_000),
        Case("fit", "fit", (784, 128, 10), batch=64, optimizer="momentum", rows=60_032),
    ]
    return _with_dtypes(cases, dtypes)


def quick_cases(dtypes: Sequence[str] = ("float32",)) -> list[Case]:
    """Return one small case of each kind: a minute at most, whatever is installed."""
    cases = [Case("ops", op, (64, 64, 32)) for op in _GEMM_OPS]
    cases += [Case("ops", op, (10_000,)) for op in _RELU_OPS]
    cases += [Case("ops", op, (64, 10)) for op in _ROW_OPS]
    cases += [Case("ops", op, (1_000,)) for op in _UPDATE_OPS]
    cases += [
        Case("training", "step", (2, 30, 1), batch=4, optimizer="sgd"),
        Case("training", "step", (20, 64, 64, 3), batch=32, optimizer="momentum"),
        Case("training", "step", (20, 64, 64, 3), batch=32, optimizer="adam"),
        Case("inference", "infer", (20, 64, 64, 3), batch=1),
        Case("inference", "frozen", (784, 128, 10), batch=8),
        Case("fit", "fit", (2, 30, 1), batch=4, optimizer="momentum", rows=800),
        Case("fit", "fit", (20, 64, 64, 3), batch=32, optimizer="momentum", rows=1_600),
    ]
    return _with_dtypes(cases, dtypes)


_GEMM_OPS = ("forward", "dx", "dweight")
_RELU_OPS = ("relu-forward", "relu-backward")
_ROW_OPS = ("softmax", "cross-entropy")
_UPDATE_OPS = ("sgd-update", "adam-update")


def _with_dtypes(cases: Iterable[Case], dtypes: Sequence[str]) -> list[Case]:
    return [Case(**{**case.to_dict(), "dtype": dtype}) for case in cases for dtype in dtypes]


class UnknownNameError(ValueError):
    """A name that no case has."""


def select(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """Return the cases that any of ``names`` means: a section, a family, an op or one case's name.

    Raises
    ------
    UnknownNameError
        With the nearest of the names there are.
    """
    known = {word for case in cases for word in (case.section, case.family, case.op, case.name)}
    for name in names:
        if name not in known:
            hint = nearest(name, sorted(known))
            raise UnknownNameError(f"no case is called {name!r}{hint}; --list prints their names")
    wanted = set(names)
    return [case for case in cases if not wanted or wanted & {case.section, case.family, case.op, case.name}]
