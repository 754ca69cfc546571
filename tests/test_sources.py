"""Sources of rows: training from a file gives the bits of training from arrays, in bounded memory."""

from __future__ import annotations

import io
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers.data import ArraySource, train_validation_split
from relu_layers.preprocessing import Preprocessing
from relu_layers.sources import Part, _columnar, csv_file, open_source, tables
from relu_layers.trainer import Trainer

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def data(rows: int = 603, features: int = 20, dtype: Any = np.float32) -> Data:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(rows, features)).astype(dtype)
    return x, rng.integers(0, 3, rows), rng.uniform(0.5, 2.0, rows).astype(dtype)


def trainer(*, features: int = 20, outputs: int = 3, loss: Any = None, **options: Any) -> Trainer:
    model = rl.mlp([features, 16, outputs], rng=3)
    return Trainer(model, loss or rl.losses.SoftmaxCrossEntropy(), rl.optimizers.Adam(0.01), rng=5, **options)


def fitted(x: Any, *, batch_size: int = 32, shuffle: Any = True, **options: Any) -> tuple[np.ndarray, str]:
    """Weights and history after three epochs; ``x`` is a source or a tuple of arrays."""
    given_arrays = isinstance(x, tuple)
    arrays = x if given_arrays else (x,)
    features = x[0].shape[1] if given_arrays else x.fields[0].shape[0]
    one = trainer(features=features, **options)
    weights = {"sample_weight": arrays[2]} if len(arrays) == 3 else {}
    validation = tuple(arrays) if given_arrays else x
    history = one.fit(
        *arrays[:2], **weights, epochs=3, batch_size=batch_size, shuffle=shuffle, validation=validation
    )
    return one.model.flat_params.copy(), repr(history.columns())


def same(streamed: tuple[np.ndarray, str], whole: tuple[np.ndarray, str]) -> bool:
    assert streamed[1] == whole[1]
    return streamed[0].tobytes() == whole[0].tobytes()


# Files of arrays.


def save_npy(folder: Path, x: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> Any:
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    if w is None:
        return lambda **more: open_source(folder / "x.npy", target=folder / "y.npy", **more)
    np.save(folder / "w.npy", w)
    return lambda **more: open_source(
        folder / "x.npy", target=folder / "y.npy", sample_weight=folder / "w.npy", **more
    )


def save_npz(save: Callable[..., None]) -> Any:
    def write(folder: Path, x: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> Any:
        save(folder / "d.npz", x=x, y=y, **({} if w is None else {"w": w}))
        named = {} if w is None else {"sample_weight": "w"}
        return lambda **more: open_source(folder / "d.npz", **named, **more)

    return write


def save_hdf5(**options: Any) -> Any:
    def write(folder: Path, x: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> Any:
        h5py = pytest.importorskip("h5py", reason="writes HDF5")
        with h5py.File(folder / "d.h5", "w") as file:
            file.create_dataset("part/x", data=x, **options)
            file["y"] = y
            if w is not None:
                file["w"] = w
        named = {} if w is None else {"sample_weight": "w"}
        return lambda **more: open_source(folder / "d.h5", features="part/x", **named, **more)

    return write


ARRAY_FILES = {
    "npy": save_npy,
    "npz": save_npz(np.savez),
    "npz, compressed": save_npz(np.savez_compressed),
    "hdf5": save_hdf5(),
    "hdf5, chunks": save_hdf5(chunks=(50, 7), compression="gzip"),
}


@pytest.mark.parametrize("form", ARRAY_FILES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.dtype(">f4")])
def test_training_from_arrays_in_a_file_gives_the_bits_of_memory(
    form: str, weighted: bool, dtype: Any, tmp_path: Path
) -> None:
    x, y, w = data(dtype=dtype)
    weight = w if weighted else None
    source = ARRAY_FILES[form](tmp_path, x, y, weight)(buffer_bytes=9000)
    whole = fitted((x, y, w) if weighted else (x, y))
    assert same(fitted(source), whole)
    assert len(source) == 603
    assert f"603 rows of x {x.dtype}[20]" in repr(source)


@pytest.mark.parametrize("buffer_bytes", [1, 9000, 10**9])
@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize(
    ("shuffle", "options"),
    list(itertools.product([True, False, lambda rows: np.arange(rows)[::-1]], [{}, {"accumulate": 3}])),
)
def test_every_way_to_train_is_the_same(
    buffer_bytes: int, capture: bool, shuffle: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    x, y, _ = data()
    source = save_npy(tmp_path, x, y, None)(buffer_bytes=buffer_bytes)
    assert same(
        fitted(source, shuffle=shuffle, capture=capture, **options),
        fitted((x, y), shuffle=shuffle, capture=capture, **options),
    )


def test_callbacks_and_checkpoints_see_the_same_steps(tmp_path: Path) -> None:
    x, y, w = data()
    source = save_npy(tmp_path, x, y, w)(buffer_bytes=9000)
    losses: list[list[float]] = []
    for arguments, weights in (((x, y), {"sample_weight": w}), ((source,), {})):
        seen: list[float] = []

        class Watch:
            def __init__(self, seen: list[float]) -> None:
                self.seen = seen

            def on_step_end(self, trainer: Any, step: int, loss: float) -> None:
                self.seen.append(loss)

        one = trainer()
        one.fit(*arguments, **weights, epochs=1, batch_size=50, callbacks=[Watch(seen)])
        one.save_checkpoint(tmp_path / "stand.npz")
        one = Trainer.restore(tmp_path / "stand.npz")
        one.fit(*arguments, **weights, epochs=1, batch_size=50, callbacks=[Watch(seen)])
        losses.append(seen)
    assert len(losses[0]) >= 2
    assert losses[0][-1] == losses[1][-1]


def test_evaluate_of_a_source(tmp_path: Path) -> None:
    x, y, w = data(rows=2500)
    source = save_npy(tmp_path, x, y, w)()
    one = trainer()
    assert one.evaluate(source, top_k=2) == one.evaluate(x, y, w, top_k=2)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 5000),
    st.sampled_from([np.float32, np.float64, np.int16]),
    st.integers(0, 2**32 - 1),
)
def test_rows_come_as_numpy_takes_them(rows: int, width: int, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-99, 99, (rows, width)).astype(dtype)
    # Reading leaves out gaps only if they are wide: choose few rows and many.
    chosen = np.flatnonzero(rng.random(rows) < rng.choice([0.02, 0.5, 1.0])).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        source = save_npy(Path(folder), x, np.arange(rows), None)()
        for target_dtype in (dtype, np.float64):
            out = [np.full((len(chosen), width), 77, target_dtype), np.zeros(len(chosen), np.int64)]
            source.take(chosen, out)
            np.testing.assert_array_equal(out[0], x[chosen])
            np.testing.assert_array_equal(out[1], chosen)
        start, stop = sorted(rng.integers(0, rows + 1, 2).tolist())
        part = np.zeros((stop - start, width), np.float64)
        source.take(range(start, stop), [part, None])
        np.testing.assert_array_equal(part, x[start:stop])
        del source


def test_blocks_and_parts(tmp_path: Path) -> None:
    x, y, w = data(dtype=">f8")
    source = save_npy(tmp_path, x, y, w)()
    blocks = list(source.blocks(100))
    assert [len(block[0]) for block in blocks] == [100] * 6 + [3]
    for whole, parts in zip((x, y, w), zip(*blocks, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        assert parts[0].dtype.isnative
    train, validation = source.split(0.3, rng=1)
    for part, arrays in zip(
        (train, validation), train_validation_split(x, y, w, fraction=0.3, rng=1), strict=True
    ):
        for field, expected in enumerate(arrays):
            np.testing.assert_array_equal(np.concatenate([b[field] for b in part.blocks(64)]), expected)
        assert same(fitted(part), fitted(arrays))
    inner = train.split(0.5, rng=2)[0]
    expected = train_validation_split(
        *train_validation_split(x, y, w, fraction=0.3, rng=1)[0], fraction=0.5, rng=2
    )[0]
    assert same(fitted(inner), fitted(expected))


def test_mapped_arrays_need_no_copy(tmp_path: Path) -> None:
    x, y, _ = data()
    for name, stored in (("same", x), ("wide", x.astype(np.float64)), ("columns", np.asfortranarray(x))):
        np.save(tmp_path / f"{name}.npy", stored)
        mapped = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        assert same(fitted((mapped, y)), fitted((stored, y))), name


def test_partial_fit_of_blocks(tmp_path: Path) -> None:
    estimators = pytest.importorskip("relu_layers.sklearn", reason="needs scikit-learn")
    x, y, _ = data()
    source = save_npy(tmp_path, x, y, None)()
    ours, whole = (estimators.MLPClassifier((8,), random_state=0) for _ in range(2))
    for block_x, block_y in source.blocks(200):
        ours.partial_fit(block_x, block_y, classes=[0, 1, 2])
    for start in range(0, len(x), 200):
        whole.partial_fit(x[start : start + 200], y[start : start + 200], classes=[0, 1, 2])
    assert all((a == b).all() for a, b in zip(ours.coefs_, whole.coefs_, strict=True))


# Tables.


def people(rows: int = 700) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        "age": rng.integers(18, 90, rows),
        "height": np.round(rng.normal(1.7, 0.1, rows), 3),
        "city": rng.choice(["Rome", "Oslo", "Bern"], rows),
        "weight": np.round(rng.uniform(0.5, 2.0, rows), 3),
        "kind": rng.choice(["a", "b", "c"], rows),
    }


def save_csv(path: Path, table: dict[str, Any], mark: str = ",") -> None:
    lines = [mark.join(table), *(mark.join(map(str, row)) for row in zip(*table.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")


def save_frame(path: Path, table: dict[str, Any]) -> None:
    polars = pytest.importorskip("polars", reason="writes Parquet and Arrow files")
    frame = polars.DataFrame({name: values.tolist() for name, values in table.items()})
    frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_ipc(path)


def save_table(path: Path, table: dict[str, Any]) -> None:
    if path.suffix in (".csv", ".tsv"):
        save_csv(path, table, "\t" if path.suffix == ".tsv" else ",")
    else:
        save_frame(path, table)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "_BLOCK_ROWS", 100)
    monkeypatch.setattr(_columnar, "_BLOCK_BYTES", 1)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("standardize", ["column", "table", "none"])
@pytest.mark.parametrize("target", ["kind", "height"])
def test_training_from_a_table_gives_the_bits_of_memory(
    suffix: str, standardize: str, target: str, tmp_path: Path
) -> None:
    table = people(2600 if suffix in (".parquet", ".arrow", ".feather") else 700)
    path = tmp_path / f"people{suffix}"
    save_table(path, table)
    features = ["city", "age", "kind" if target == "height" else "height"]
    source = open_source(
        path,
        target=target,
        features=features,
        sample_weight="weight",
        preprocessing=Preprocessing(standardize=standardize),
        buffer_bytes=4000,
    )
    whole = Preprocessing(standardize=standardize).fit({name: table[name] for name in features})
    whole.fit_target(table[target], name=target)
    assert source.preprocessing is not None
    assert source.preprocessing.to_dict() == whole.to_dict()
    x = whole.transform({name: table[name] for name in features})
    y, w = whole.encode_target(table[target]), table["weight"].astype(np.float32)
    for field, expected in enumerate((x, y, w)):
        np.testing.assert_array_equal(np.concatenate([b[field] for b in source.blocks(64)]), expected)
    options: dict[str, Any] = {}
    if target == "height":
        options = {"outputs": 1, "loss": rl.losses.SquaredError()}
    assert same(fitted(source, **options), fitted((x, y, w), **options))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60),
    st.integers(1, 20),
    st.sampled_from(["column", "table"]),
)
def test_what_is_learned_does_not_depend_on_the_parts(
    values: list[float], part: int, standardize: str
) -> None:
    many = np.resize(np.array(values), 9000)
    table = {"a": many, "b": many[::-1].copy()}
    whole = Preprocessing(standardize=standardize).fit(table)
    cuts = range(0, len(many), part * 450)
    blocks = ({name: column[at : at + part * 450] for name, column in table.items()} for at in cuts)
    parts = Preprocessing(standardize=standardize).fit_blocks(blocks)
    assert parts.to_dict() == whole.to_dict()
    peak = max(abs(many).max(), 1e-300)
    mean, scale = whole.columns[0].mean / peak, whole.columns[0].scale / peak
    assert mean == pytest.approx((many / peak).mean(), rel=1e-9, abs=1e-12)
    if many.min() < many.max():
        assert scale == pytest.approx((many / peak).std(), rel=1e-6, abs=1e-9) or scale == 1.0 / peak


@pytest.mark.usefixtures("small_blocks")
def test_late_text_and_gaps_are_as_in_memory(tmp_path: Path) -> None:
    table: dict[str, Any] = {
        "a": [*range(400), "new"] * 2,
        "b": [1.5, "", *[2.0] * 799, 3.0],
        "y": [0, 1] * 401,
    }
    table["a"], table["b"] = table["a"][:802], table["b"][:802]
    save_csv(tmp_path / "d.csv", table)
    source = open_source(
        tmp_path / "d.csv", target="y", preprocessing=Preprocessing(missing="mean", max_categories=500)
    )
    columns = tables.read_columns(tmp_path / "d.csv", (), [])
    y = columns.pop("y")
    whole = Preprocessing(missing="mean", max_categories=500).fit(columns).fit_target(y, name="y")
    assert source.preprocessing is not None
    assert source.preprocessing.to_dict() == whole.to_dict()
    dropped = open_source(
        tmp_path / "d.csv", target="y", features=["b"], preprocessing=Preprocessing(missing="drop")
    )
    assert len(dropped) == 801


def test_cache_is_kept_and_renewed(tmp_path: Path) -> None:
    table = people()
    save_csv(tmp_path / "d.csv", table)

    def opened(**options: Any) -> Any:
        return open_source(
            tmp_path / "d.csv",
            target="kind",
            preprocessing=Preprocessing(),
            cache=tmp_path / "cache",
            **options,
        )

    first = next(opened().blocks(1000))
    (folder,) = (tmp_path / "cache").iterdir()
    inode = (folder / "x.npy").stat().st_ino
    again = opened()
    assert (folder / "x.npy").stat().st_ino == inode
    assert again.preprocessing.feature_names[0] == "age"
    assert again.preprocessing.target.classes == ("a", "b", "c")
    np.testing.assert_array_equal(next(again.blocks(1000))[0], first[0])
    opened(dtype=np.float64)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    table["age"][0] += 1
    save_csv(tmp_path / "d.csv", table)
    assert not np.array_equal(next(opened().blocks(1000))[0], first[0])
    (folder / "x.npy").write_bytes(b"damaged")
    assert len(opened()) == 700
    (folder / "source.json").write_text("[]")
    assert len(opened()) == 700
    assert not list((tmp_path / "cache").glob(".*"))


def test_preprocessing_of_arrays(tmp_path: Path) -> None:
    x, y, w = data(dtype=np.float64)
    source = save_npy(tmp_path, x * 9 + 5, y, w)(preprocessing=Preprocessing())
    whole = Preprocessing().fit(x * 9 + 5).fit_target(y)
    assert source.preprocessing.to_dict() == whole.to_dict()
    assert same(fitted(source), fitted((whole.transform(x * 9 + 5), y, w)))
    fitted_before = save_npy(tmp_path, x * 9 + 5, y, w)(preprocessing=whole, dtype=np.float64)
    assert fitted_before.fields[0].dtype == np.float64


# Bad input.


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    x, y, _ = data()
    save_csv(tmp_path / "d.csv", people())
    np.savez(tmp_path / "d.npz", x=x, labels=y)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "short.npy", y[:-1])
    csv = tmp_path / "d.csv"
    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ValueError, "target is missing", lambda: open_source(csv)),
        (ValueError, r"no column 'kin' \(did you mean 'kind'\?\)", lambda: open_source(csv, target="kin")),
        (
            ValueError,
            r"no column 'aeg' \(did you mean 'age'",
            lambda: open_source(csv, target="kind", features="aeg"),
        ),
        (ValueError, r"no array 'y'.*labels", lambda: open_source(tmp_path / "d.npz")),
        (ValueError, "target is missing", lambda: open_source(tmp_path / "x.npy")),
        (ValueError, "x 603, y 602", lambda: open_source(tmp_path / "x.npy", target=tmp_path / "short.npy")),
        (ValueError, "expected one as well", lambda: open_source(tmp_path / "x.npy", target=csv)),
        (
            ValueError,
            "task is 'regression'",
            lambda: open_source(tmp_path / "d.npz", target="labels", task="regression"),
        ),
        (ValueError, "suffix '.txt'", lambda: open_source(_touched(tmp_path / "d.txt"), target="y")),
        (
            FileNotFoundError,
            r"no such file \(did you mean '.*d.csv'",
            lambda: open_source(tmp_path / "e.csv", target="y"),
        ),
        (ValueError, "is a folder", lambda: open_source(tmp_path, target="y")),
        (TypeError, "source has its own", lambda: trainer().fit(_npz(tmp_path), y, epochs=1, batch_size=2)),
        (TypeError, "y is missing", lambda: trainer().fit(x, epochs=1, batch_size=2)),
        (ValueError, "expected equal numbers", lambda: ArraySource(x, y[:-1])),
    ]
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()


def _touched(path: Path) -> Path:
    path.touch()
    return path


def _npz(folder: Path) -> Any:
    return open_source(folder / "d.npz", target="labels")


def test_bad_labels_are_found_before_the_first_step(tmp_path: Path) -> None:
    x, y, _ = data()
    y[601] = 3
    one = trainer()
    with pytest.raises(IndexError, match=r"y\[601\] is 3, expected a label in 0 .. 2"):
        one.fit(save_npy(tmp_path, x, y, None)(), epochs=1, batch_size=8)
    assert one.steps == 0


def _npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    form = "<H" if version == b"\x01\x00" else "<I"
    return b"\x93NUMPY" + version + struct.pack(form, len(header)) + header.encode() + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an .npy file"),
        (b"PK\x03\x04", "not an .npy file"),
        (b"\x93NUMPY\x01\x00\x50", "damaged"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", "damaged"),
        (_npy("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n"), "no array of numbers"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os'),), }\n"), "no array"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), }\n", b"1234"), "single value"),
        (_npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }\n", bytes(16)), "row order"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", bytes(15)), "damaged: it has"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", bytes(17)), "damaged: it has"),
        (
            _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999, 99999999), }\n"),
            "damaged",
        ),
        (_npy("{'descr': '<f1', 'fortran_order': False, 'shape': (2,), }\n", bytes(2)), "unknown dtype"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1 1,), }\n", bytes(44)), None),
    ],
)
def test_damaged_npy_files_are_refused(content: bytes, message: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    np.save(tmp_path / "y.npy", np.zeros(11, np.int64))
    if message is None:
        # Blanks in a shape mean nothing, as in NumPy's own reader they would be an error: eleven rows.
        assert len(open_source(tmp_path / "x.npy", target=tmp_path / "y.npy")) == 11
        return
    with pytest.raises(ValueError, match=message):
        open_source(tmp_path / "x.npy", target=tmp_path / "y.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_cut_or_changed_anywhere_are_value_errors(save: Any, tmp_path: Path) -> None:
    x, y, _ = data(rows=40, features=3)
    path = tmp_path / "d.npz"
    stream = io.BytesIO()
    save(stream, x=x, y=y)
    whole = stream.getvalue()
    rng = np.random.default_rng(0)
    refused = 0
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError):
            open_source(path)
    for _ in range(400):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            source = open_source(path)
            list(source.blocks(16))
        except ValueError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("options", [{}, {"chunks": (10, 3), "compression": "gzip"}])
def test_hdf5_files_changed_anywhere_are_value_errors(options: dict[str, Any], tmp_path: Path) -> None:
    x, y, _ = data(rows=40, features=3)
    opened = save_hdf5(**options)(tmp_path, x, y, None)
    path = tmp_path / "d.h5"
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for turn in range(200):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(changed if turn % 5 else whole[: rng.integers(len(whole))])
        try:
            list(opened().blocks(16))
        except ValueError:
            refused += 1
    assert refused >= 40


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, _ = data()
    opened = save_npz(np.savez_compressed)(tmp_path, x, y, None)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(OSError, match=r"unpacking array 'x' needs 48,240 bytes in .*, which has 10 free"):
        opened()


@pytest.mark.parametrize("index", [[-1, 3], [3, 3], [5, 603]])
def test_parts_have_ascending_rows_of_their_source(index: list[int]) -> None:
    x, y, _ = data()
    with pytest.raises(ValueError, match="ascending positions below 603"):
        Part(ArraySource(x, y), np.array(index))


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    x, y, _ = data()
    source = save_npy(tmp_path, x, y, None)()
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(ValueError, match="became shorter"):
        list(source.blocks(603))


def test_missing_readers_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("polars", "pyarrow", "h5py"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("d.arrow", "d.parquet", "d.h5"):
        with pytest.raises(ImportError, match=r"pip install .*\[data\]"):
            open_source(_touched(tmp_path / name), target="y")


def test_other_content_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("polars", reason="reads Parquet and Arrow files")
    pytest.importorskip("h5py", reason="reads HDF5 files")
    for name in ("d.arrow", "d.parquet", "d.h5", "d.npz"):
        (tmp_path / name).write_bytes(b"something else, and long enough to have been a header of that format")
        with pytest.raises(ValueError, match=name):
            open_source(tmp_path / name, target="y")


# Memory.

LIMITED = textwrap.dedent("""
    import json, resource, sys
    import numpy as np
    import relu_layers as rl
    from relu_layers.sources import open_source
    from relu_layers.trainer import Trainer

    folder, mode, room = sys.argv[1], sys.argv[2], int(sys.argv[3])
    x = folder + "/x.npy"
    model = rl.mlp([4096, 8, 3], rng=1)
    trainer = Trainer(model, rl.losses.SoftmaxCrossEntropy(), rl.optimizers.SGD(0.01), rng=2)
    if mode != "memory":
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = room if mode == "whole" else pages * 4096 + room
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            np.load(x)
            raise SystemExit("the limit does not hold: the file was read whole")
        except MemoryError:
            pass
        data = (open_source(x, target=folder + "/y.npy", buffer_bytes=4 * 2**20),)
    else:
        data = (np.load(x), np.load(folder + "/y.npy"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trainer.fit(*data, epochs=2, batch_size=32, shuffle="ordered" not in sys.argv)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([model.flat_params.tobytes().hex(), (after - before) * 1024]))
""")


def run_limited(folder: Path, mode: str, room: int, *more: str) -> tuple[str, int]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "RELU_LAYERS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, str(folder), mode, str(room), *more]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert result.returncode == 0, result.stderr + result.stdout
    weights, grown = json.loads(result.stdout)
    return weights, grown


def large_file(folder: Path, rows: int) -> int:
    """Write x.npy of ``rows`` x 4096 float32, some rows of it random, the others zero, and y.npy."""
    rng = np.random.default_rng(3)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (rows, 4096))
    for row in range(0, rows, 7):
        x[row] = rng.normal(size=4096)
    x.flush()
    np.save(folder / "y.npy", rng.integers(0, 3, rows))
    return (folder / "x.npy").stat().st_size


needs_limits = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the limit on address space is enforced by Linux"
)


@needs_limits
@pytest.mark.parametrize("order", ["shuffled", "ordered"])
def test_a_file_larger_than_the_memory_left_trains_to_the_same_bits(order: str, tmp_path: Path) -> None:
    size = large_file(tmp_path, 3072)
    assert size > 48 * 2**20
    limited, grown = run_limited(tmp_path, "left", 32 * 2**20, order)
    assert limited == run_limited(tmp_path, "memory", 0, order)[0]
    assert grown < 24 * 2**20


@pytest.mark.slow
@needs_limits
def test_a_file_larger_than_the_limit_on_the_process_trains_to_the_same_bits(tmp_path: Path) -> None:
    limit = 600 * 2**20
    size = large_file(tmp_path, 48 * 2**10)
    assert size > limit
    limited, grown = run_limited(tmp_path, "whole", limit)
    assert limited == run_limited(tmp_path, "memory", 0)[0]
    assert grown < 32 * 2**20
