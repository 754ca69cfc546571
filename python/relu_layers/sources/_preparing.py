"""Tables made ready for training: preprocessing learned in one pass, applied in a second that writes the rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from relu_layers._support.files import write_folder_atomically
from relu_layers.preprocessing import CategoryColumn, ClassTarget, Preprocessing
from relu_layers.preprocessing.columns import as_column, is_text
from relu_layers.sources._files import FileArray, open_npy
from relu_layers.sources._rows import FileSource
from relu_layers.sources._spool import Spool
from relu_layers.sources.csv_file import unknown
from relu_layers.sources.tables import with_text_found

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Blocks: TypeAlias = Callable[[Collection[str]], Iterator[dict[str, Array]]]
# Of blocks that are kept for the second pass.
_KEPT_BYTES = 64 * 2**20
_NAMES = ("x", "y", "sample_weight")
_FORMAT = 1
_NOTE = "source.json"


class Plan(NamedTuple):
    """The columns of the files that are prepared, and the preprocessing."""

    files: tuple[Path, ...]
    target: str
    features: list[str] | None
    weight: str | None
    task: str | None
    text: tuple[str, ...]
    dtype: Any


def prepared(
    plan: Plan, blocks: Blocks, preprocessing: Preprocessing, cache: Any, buffer_bytes: int
) -> FileSource:
    """Return the source of the rows that ``blocks(text_columns)`` gives, each pass read again."""
    if cache is None:
        arrays = _written(plan, blocks, preprocessing, None)
        return FileSource(arrays, preprocessing, buffer_bytes)
    described = json.dumps(
        {
            "format": _FORMAT,
            "files": [os.path.realpath(file) for file in plan.files],
            "plan": [*plan[1:6], np.dtype(plan.dtype or np.float32).str],
            "preprocessing": preprocessing.to_dict(),
        }
    )
    name = f"{plan.files[0].stem}-{hashlib.sha256(described.encode()).hexdigest()[:16]}"
    folder = Path(cache) / name
    arrays_kept = _kept(folder, plan, preprocessing)
    if arrays_kept is not None:
        return FileSource(arrays_kept, preprocessing, buffer_bytes)

    def write(part: str) -> None:
        stamps = _stamps(plan.files)
        _written(plan, blocks, preprocessing, Path(part))
        note = {"stamps": stamps, "preprocessing": preprocessing.to_dict()}
        (Path(part) / _NOTE).write_text(json.dumps(note), encoding="utf-8")

    write_folder_atomically(folder, write)
    return FileSource(_opened(folder), preprocessing, buffer_bytes)


def _stamps(files: tuple[Path, ...]) -> list[list[int]]:
    return [[one.stat().st_size, one.stat().st_mtime_ns] for one in files]


def _kept(folder: Path, plan: Plan, preprocessing: Preprocessing) -> list[FileArray] | None:
    """Return the arrays of an earlier run if they are intact and the files are as they were."""
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        if note["stamps"] != _stamps(plan.files):
            return None
        learned = Preprocessing.from_dict(note["preprocessing"])
        arrays = _opened(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    preprocessing.columns, preprocessing.target = learned.columns, learned.target
    return arrays


def _opened(folder: Path) -> list[FileArray]:
    names = [name for name in _NAMES if (folder / f"{name}.npy").exists()]
    if names[:2] != list(_NAMES[:2]):
        raise ValueError(f"{folder} lacks x.npy or y.npy")
    return [open_npy(folder / f"{name}.npy") for name in names]


def _written(
    plan: Plan, blocks: Blocks, preprocessing: Preprocessing, folder: Path | None
) -> list[FileArray]:
    """Learn the preprocessing where it is not fitted yet, and write the rows, one block in memory at a time."""
    text = {*plan.text, *_text_columns(preprocessing)}
    passes = _Passes(blocks)

    def tables() -> Iterator[dict[str, Array]]:
        return (_chosen(plan, table) for table in passes.blocks(text))

    def learn() -> None:
        without_weights = (
            {name: values for name, values in table.items() if name != plan.weight} for table in tables()
        )
        if preprocessing.columns:
            preprocessing.fit_target_blocks(without_weights, plan.target, task=plan.task)
        elif preprocessing.target is not None:
            without_target = (
                {name: values for name, values in table.items() if name != plan.target}
                for table in without_weights
            )
            preprocessing.fit_blocks(without_target)
        else:
            preprocessing.fit_blocks(without_weights, target=plan.target, task=plan.task)

    def write() -> list[FileArray]:
        return _spooled(plan, tables(), preprocessing, folder)

    if not preprocessing.columns or preprocessing.target is None:
        with_text_found(text, learn)
    if preprocessing.target is not None and plan.task not in (None, preprocessing.target.task):
        raise ValueError(
            f"open_source: task is {plan.task!r}, but the preprocessing was fitted for {preprocessing.target.task}"
        )
    arrays: list[FileArray] = with_text_found(text, write)
    return arrays


class _Passes:
    """Passes over the same blocks: a table that is small in memory is read from its file once."""

    def __init__(self, blocks: Blocks) -> None:
        self._read = blocks
        self._text: set[str] | None = None
        self._kept: list[dict[str, Array]] = []

    def blocks(self, text: Collection[str]) -> Iterator[dict[str, Array]]:
        """Yield the blocks; ``text`` names columns that are to be text."""
        if self._text == set(text):
            yield from self._kept
            return
        kept: list[dict[str, Array]] = []
        size = 0
        for block in self._read(text):
            size += sum(map(_bytes, block.values()))
            if size <= _KEPT_BYTES:
                kept.append(block)
            else:
                kept.clear()
            yield block
        if size <= _KEPT_BYTES:
            self._text, self._kept = set(text), kept


def _bytes(column: Array) -> int:
    text = column.dtype.kind == "T"
    return column.nbytes + (4 * int(np.strings.str_len(column).sum()) if text else 0)


def _text_columns(preprocessing: Preprocessing) -> Iterator[str]:
    """Yield the columns that a fitted preprocessing knows as text."""
    yield from (column.name for column in preprocessing.columns if isinstance(column, CategoryColumn))
    target = preprocessing.target
    if isinstance(target, ClassTarget) and isinstance(target.classes[0], str):
        yield target.name


def _chosen(plan: Plan, table: dict[str, Array]) -> dict[str, Array]:
    """Return the columns that the plan names, features in its order."""
    others = {plan.target, plan.weight}
    features = plan.features if plan.features is not None else [name for name in table if name not in others]
    names = [*features, plan.target, *([] if plan.weight is None else [plan.weight])]
    for name in (*names, *plan.text):
        if name not in table:
            raise ValueError(unknown(plan.files[0], "column", name, table))
    return {name: table[name] for name in names}


def _spooled(
    plan: Plan, tables: Iterator[dict[str, Array]], preprocessing: Preprocessing, folder: Path | None
) -> list[FileArray]:
    """Write x, y and weights of all rows."""
    names = _NAMES if plan.weight is not None else _NAMES[:2]
    spools = [Spool(None if folder is None else folder / f"{name}.npy") for name in names]
    dtype = np.dtype(plan.dtype or np.float32)
    try:
        before = 0
        for table in tables:
            columns = {name: as_column(name, values) for name, values in table.items()}
            weight = columns.pop(plan.weight) if plan.weight is not None else None
            rows = len(columns[plan.target])
            keep: Any = slice(None)
            if preprocessing.missing == "drop":
                keep = ~preprocessing.missing_rows(columns)
                keep &= ~Preprocessing().missing_rows({plan.target: columns[plan.target]})
                columns = {name: values[keep] for name, values in columns.items()}
            target = columns.pop(plan.target)
            try:
                if len(target):
                    spools[0].append(preprocessing.transform(columns, dtype=dtype))
                    spools[1].append(preprocessing.encode_target(target, dtype=dtype))
                    if weight is not None:
                        spools[2].append(_weights(plan.weight, weight, dtype)[keep])
            except ValueError as error:
                advice = (
                    f" (in rows {before + 1} to {before + rows}, counted from {before + 1})" if before else ""
                )
                raise ValueError(f"{plan.files[0]}: {error}{advice}") from None
            before += rows
        return [spool.finish() for spool in spools]
    except BaseException:
        for spool in spools:
            spool.close()
        raise


def _weights(name: str | None, column: Array, dtype: np.dtype[Any]) -> Array:
    """Return sample weights: finite numbers of at least 0."""
    if is_text(column) or not np.isfinite(column).all() or (column < 0).any():
        raise ValueError(f"sample weights {name!r} are not all numbers of at least 0")
    return column.astype(dtype)
