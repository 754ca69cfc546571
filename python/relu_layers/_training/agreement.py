"""Whether all ranks are about to do the same training: facts about it, and which of them differ where."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from relu_layers import _core
from relu_layers._support.configured import Array
from relu_layers._training.examples import Examples
from relu_layers._training.ranks import Place, RankError, Ranks

# Rows of a source or a mapped file that stand for all of it.
_ROWS_COMPARED = 32
# Bytes of an array that are made contiguous at once.
_BYTES_AT_ONCE = 2**24


def agree(ranks: Ranks, facts: Iterable[tuple[str, str]]) -> None:
    """Raise a RankError on every rank if one of them has other facts than rank 0.

    Parameters
    ----------
    facts : iterable of (name, text)
        In the same order on all ranks. A text is short: of arrays it holds a checksum.
    """
    own = list(facts)
    sums = [zlib.crc32(f"{name}\0{text}".encode()) for name, text in own]
    rows = ranks.meet(Place.AGREEMENT, zlib.crc32(np.array(sums, dtype=np.uint32).tobytes()), len(sums))
    if all(row[:2] == rows[0][:2] for row in rows):
        return
    reports = [_unpacked(text) for text in ranks.gather_bytes(_packed(own))]
    first = reports[0]
    differences: dict[str, list[int]] = {}
    for rank, other in enumerate(reports):
        different = [name for name in first if other.get(name) != first[name]]
        different += [name for name in other if name not in first]
        if different:
            name = different[0]
            there, here = other.get(name, "missing"), first.get(name, "missing")
            differences.setdefault(f"{name} is {here} on rank 0, but {there} on rank ", []).append(rank)
    lines = [what + ", ".join(map(str, where)) for what, where in differences.items()]
    ranks.raise_everywhere(RankError("the ranks differ: " + "; ".join(lines)))


def facts_of_objects(trainer: Any) -> list[tuple[str, str]]:
    """Return what the ranks have to have in common before the first step, but for the data."""
    model, optimizer = trainer.model, trainer.optimizer
    facts = [
        ("the version of relu_layers", f"{_core.version}, NumPy {np.__version__}"),
        ("the arithmetic", "without fused multiply-add" if _core.target() == "baseline" else "fused"),
        ("the dtype of the model", model.dtype.name),
        *_described("the model", "layer", model.layers),
        *_described("the loss", "", [trainer.loss]),
        *_described("the optimizer", "", [optimizer]),
        ("accumulate", repr(trainer.accumulate)),
        ("clip_norm", repr(trainer.clip_norm)),
        ("l2_penalty", repr(trainer.l2_penalty)),
        ("the array of parameters", array_fact(model.flat_params)),
        ("the number of updates so far", repr(optimizer.updates)),
        ("the number of steps so far", repr(trainer.steps)),
        ("the state of the generator", _checksum(repr(trainer.rng.bit_generator.state))),
    ]
    facts += [(f"the state {name}", array_fact(array)) for name, array in optimizer.slots.items()]
    dropouts = [repr(layer.state()) for layer in model.layers if hasattr(layer, "state")]
    return [*facts, ("the state of dropout", _checksum(repr(dropouts))), _epochs(trainer)]


def facts_of_rows(given: Examples, held_out: Examples | None) -> list[tuple[str, str]]:
    """Return what all ranks have to have in common of the data."""
    parts = (("", given), ("validation ", held_out))
    return [
        (f"{part}{name}", array_fact(array))
        for part, rows in parts
        if rows is not None
        for name, array in zip(Examples._fields, rows, strict=True)
        if array is not None
    ]


def array_fact(array: Any) -> str:
    """Return dtype, shape and a checksum of the values; of rows that are not in memory, of some of them."""
    sampled = not isinstance(array, np.ndarray) or isinstance(array, np.memmap)
    value = 0
    if sampled:
        for row in np.unique(
            np.linspace(0, max(len(array) - 1, 0), _ROWS_COMPARED).astype(np.int64)
        ).tolist():
            value = _checked(array[row : row + 1], value)
    elif array.flags.c_contiguous:
        value = _checked(array, 0)
    elif array.size:
        rows = max(_BYTES_AT_ONCE * len(array) // array.nbytes, 1)
        for start in range(0, len(array), rows):
            value = _checked(array[start : start + rows], value)
    return f"{array.dtype} of shape {tuple(array.shape)}, checksum {value:08x}"


def parameters_agree(ranks: Ranks, place: Place, parameters: Array, *numbers: float) -> list[list[float]]:
    """Meet with the numbers; raise on every rank unless all have the same parameters."""
    rows = ranks.meet(place, _checked(parameters, 0), *numbers)
    other = [str(rank) for rank, row in enumerate(rows) if row[0] != rows[0][0]]
    if other:
        ranks.raise_everywhere(
            RankError(
                f"the parameters of rank {', '.join(other)} are not those of rank 0: a callback that changes the "
                "model has to run on every rank (every_rank = True)"
            )
        )
    return [row[1:] for row in rows]


def _checked(array: Array, before: int) -> int:
    """Return the checksum of the values after those that gave ``before``."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, before)


def _described(owner: str, part: str, things: Iterable[Any]) -> list[tuple[str, str]]:
    """Return the classes of some objects, and what configures each, as facts of their own."""
    facts = []
    for number, thing in enumerate(things):
        name = f"{part} {number} of {owner}" if part else owner
        facts.append((name, str(getattr(thing, "__qualname__", type(thing).__name__))))
        config = getattr(thing, "config", None)
        if callable(config) and not isinstance(thing, type):
            facts += [(f"{key} of {name}", repr(value)) for key, value in config().items()]
    return facts


def _checksum(text: str) -> str:
    return f"checksum {zlib.crc32(text.encode()):08x}"


def _epochs(trainer: Any) -> tuple[str, str]:
    columns = trainer.history.columns()
    return "the history", f"{trainer.history.epochs} epochs, {_checksum(repr(columns))}"


def _packed(facts: list[tuple[str, str]]) -> bytes:
    return "\0".join(part for fact in facts for part in fact).encode()


def _unpacked(text: bytes) -> dict[str, str]:
    parts = text.decode().split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=True))
