"""`open_source`: a file becomes a source of rows, by its suffix."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from relu_layers._support.arguments import nearest
from relu_layers._support.files import check_regular
from relu_layers.preprocessing import Preprocessing
from relu_layers.sources._archives import hdf5_array, npz_array
from relu_layers.sources._files import FileArray, open_npy
from relu_layers.sources._preparing import Plan, prepared
from relu_layers.sources._rows import FileSource
from relu_layers.sources.csv_form import suffix_of
from relu_layers.sources.tables import BLOCKWISE, table_blocks

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_ARRAYS = (".h5", ".hdf5", ".npy", ".npz")
_BUFFER_BYTES = 32 * 2**20
_ROWS_AT_ONCE = 8192


def open_source(
    path: str | PathLike[str],
    *,
    target: str | PathLike[str] | None = None,
    features: str | Sequence[str] | None = None,
    sample_weight: str | PathLike[str] | None = None,
    preprocessing: Preprocessing | None = None,
    task: str | None = None,
    text: Collection[str] = (),
    dtype: Any = None,
    cache: str | PathLike[str] | None = None,
    buffer_bytes: int = _BUFFER_BYTES,
) -> FileSource:
    """Return the rows of a file as a source for `Trainer.fit` and `Trainer.evaluate`.

    Parameters
    ----------
    path : str or path
        A table (.csv, .tsv, both also as .gz, .parquet, .arrow, .feather) or a file of arrays (.npy, .npz, .h5, .hdf5).
    target : str or path, keyword
        What is to be predicted: a column of a table, an array of an .npz or HDF5 file ("y" by default), or the
        .npy file with one target per row of ``path``.
    features : str or sequence of str, keyword
        Columns of a table, all others by default; or the one array of an .npz or HDF5 file, "x" by default.
    sample_weight : str or path, keyword
        One weight per row, named as ``target`` is.
    preprocessing : Preprocessing, keyword
        Fitted already, it is applied; otherwise it is fitted to all rows, one block in memory at a time. Of one
        whose columns or target alone are fitted, the other is learned. None is
        ``Preprocessing(standardize="none")`` for tables, and for arrays none at all.
    task : {"classification", "regression"}, keyword
        What the target of a preprocessing is for; None finds out.
    text : collection of str, keyword
        Columns of a table that are text although they look like numbers.
    dtype : dtype, keyword
        Of preprocessed features, float32 by default. Arrays that are not preprocessed keep theirs.
    cache : str or path, keyword
        Folder that keeps what was preprocessed, for as long as size and time of the file stay as they are. None
        keeps it in a temporary file as long as the source lives.
    buffer_bytes : int, keyword
        Memory for the rows of consecutive minibatches.

    Raises
    ------
    ValueError
        The file is damaged, of another format, or lacks what is named.
    FileNotFoundError
        There is no such file.
    ImportError
        The format needs a package that is not installed.
    """
    place = _existing(Path(path))
    suffix = suffix_of(place)
    if suffix not in (*BLOCKWISE, *_ARRAYS):
        known = ", ".join(sorted((*BLOCKWISE, *_ARRAYS)))
        raise ValueError(
            f"open_source: {path} has the suffix {suffix!r}, expected one of {known}"
            f"{nearest(suffix, (*BLOCKWISE, *_ARRAYS))}"
        )
    if suffix in BLOCKWISE:
        if target is None:
            raise ValueError(f"open_source: target is missing, expected the name of a column of {path}")
        wanted = [features] if isinstance(features, str) else None if features is None else list(features)
        weight = None if sample_weight is None else str(sample_weight)
        if preprocessing is None:
            preprocessing = Preprocessing(standardize="none")
        named = [str(target), *([] if weight is None else [weight]), *text]
        columns = None if wanted is None else {*wanted, *named}

        def blocks(as_text: Collection[str]) -> Iterator[dict[str, Array]]:
            return table_blocks(place, as_text, columns)

        plan = Plan((place,), str(target), wanted, weight, task, tuple(text), dtype)
        return prepared(plan, blocks, preprocessing, cache, buffer_bytes)
    if text:
        raise ValueError("open_source: text names columns of a table; arrays have none")
    files, arrays = _arrays(place, suffix, features, target, sample_weight)
    if preprocessing is None:
        for name, value in (("dtype", dtype), ("cache", cache), ("task", task)):
            if value is not None:
                raise ValueError(
                    f"open_source: {name} is {value!r}, but these arrays are used as they are, expected None"
                )
        return FileSource(arrays, None, buffer_bytes)
    if len(arrays[0].shape) != 2 or len(arrays[1].shape) != 1:
        raise ValueError(
            f"open_source: preprocessing takes x of shape (rows, columns) and y of (rows,), "
            f"got {arrays[0].shape} and {arrays[1].shape}"
        )
    plan = Plan(files, "target", None, "sample_weight" if len(arrays) == 3 else None, task, (), dtype)
    source = FileSource(arrays, None, buffer_bytes)
    return prepared(plan, lambda _: _array_blocks(source), preprocessing, cache, buffer_bytes)


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        raise ValueError(f"open_source: {path} is a folder, expected a file")
    if path.exists():
        check_regular(path)
    files = [str(entry) for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise FileNotFoundError(f"open_source: {path}: no such file{nearest(str(path), files)}")


def _arrays(
    path: Path, suffix: str, features: Any, target: Any, sample_weight: Any
) -> tuple[tuple[Path, ...], list[FileArray]]:
    """Return the files that hold x, y and perhaps sample weights, and these arrays."""
    if suffix == ".npy":
        if features is not None:
            raise ValueError(
                f"open_source: features is {features!r}, but an .npy file is one array, expected None"
            )
        if target is None:
            raise ValueError("open_source: target is missing, expected the .npy file with one target per row")
        files = (path, *(_existing(Path(one)) for one in (target, sample_weight) if one is not None))
        for one in files:
            if one.suffix.lower() != ".npy":
                raise ValueError(f"open_source: {one} stands beside an .npy file, expected one as well")
        return files, [open_npy(one) for one in files]
    names = ["x" if features is None else features, "y" if target is None else str(target)]
    if not isinstance(names[0], str):
        raise ValueError(f"open_source: features is {features!r}, expected the name of one array")
    if sample_weight is not None:
        names.append(str(sample_weight))
    read = npz_array if suffix == ".npz" else hdf5_array
    return (path,), [read(path, name) for name in names]


def _array_blocks(source: FileSource) -> Iterator[dict[str, Array]]:
    """Yield a source as blocks of a table with columns x0, x1, ..., target and perhaps sample_weight."""
    for x, y, *weight in source.blocks(_ROWS_AT_ONCE):
        columns = {f"x{index}": x[:, index] for index in range(x.shape[1])}
        yield {**columns, "target": y, **({"sample_weight": weight[0]} if weight else {})}
