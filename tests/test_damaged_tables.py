"""Tables that others damaged or made to do harm: a ValueError, with bounded memory, in a process that goes on."""

from __future__ import annotations

import gzip
import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.cli.tables import load_table
from relu_layers.sources import _reading_process, _sizes, csv_file, csv_lines
from relu_layers.sources._archives import MOST_IN_MEMORY, refuse_too_large

h5py = pytest.importorskip("h5py")
polars = pytest.importorskip("polars")

X = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
Y = np.arange(40) % 3


def as_source(path: Path) -> None:
    target = "y" if path.suffix in (".parquet", ".arrow", ".feather", ".csv", ".gz") else None
    for _ in rl.sources.open_source(path, target=target).blocks(16):
        pass


READERS: dict[str, Callable[[Path], object]] = {"table": lambda p: load_table(str(p)), "source": as_source}
both = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


def good(path: Path) -> bytes:
    frame = polars.DataFrame(
        {"a": range(30), "b": [i * 0.5 for i in range(30)], "y": ["uv"[i % 2] for i in range(30)]}
    )
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".arrow":
        frame.write_ipc(path, compression="zstd")
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=X, chunks=(8, 4), compression="gzip")
            file["y"] = Y
            file["text"] = [b"a", b"b"] * 20
    else:
        np.savez_compressed(path, x=X, y=Y)
    return path.read_bytes()


@both
@pytest.mark.parametrize("suffix", [".npz", ".h5", ".parquet", ".arrow"])
def test_changed_bytes_are_a_value_error_or_data(tmp_path: Path, suffix: str, read: Any) -> None:
    """Three bytes each: one Parquet file in seventy aborts the process that reads it, as a panic or by a signal."""
    content = good(tmp_path / f"good{suffix}")
    path = tmp_path / f"damaged{suffix}"
    refused = 0
    for seed in range(150):
        chance = random.Random(seed)
        data = bytearray(content)
        for _ in range(3):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            read(path)
        except (ValueError, OSError):
            refused += 1
    assert refused


def npz(path: Path, members: dict[str, bytes], compression: int) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def header(descr: str, shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117) + b"\n"


@both
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(2**40,), (2**62, 2**62), (2**40, 0)])
def test_a_shape_that_is_not_there_is_refused(
    tmp_path: Path, read: Any, compression: int, shape: Any
) -> None:
    path = tmp_path / "huge.npz"
    npz(path, {"x": header("<f4", shape), "y": header("<f4", shape)}, compression)
    with pytest.raises(ValueError):
        read(path)


def test_what_takes_no_bytes_is_refused(tmp_path: Path) -> None:
    npz(tmp_path / "none.npz", {"x": header("|S0", (2**40,))}, zipfile.ZIP_STORED)
    with pytest.raises(ValueError, match="takes no bytes"):
        load_table(str(tmp_path / "none.npz"))


def test_a_file_that_unpacks_without_measure_is_refused_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros(20_000_000, np.float32))
    npz(tmp_path / "bomb.npz", {"x": content.getvalue(), "y": content.getvalue()}, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.npz").stat().st_size < 2**20
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match="times as many: if that is right, write it without compression"):
        load_table(str(tmp_path / "bomb.npz"))


@both
def test_a_line_that_unpacks_without_measure_is_refused(
    tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source unpacks its file bit by bit, but a line goes into memory as a whole."""
    monkeypatch.setattr(_sizes, "_SMALL", 2**16)
    path = tmp_path / "line.csv.gz"
    path.write_bytes(gzip.compress(b"x,y\n" + b" " * 2**20 + b"1,2\n"))
    with pytest.raises(ValueError, match="times as many: if that is right, write it without compression"):
        read(path)


def test_many_short_lines_may_unpack_to_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sizes, "_SMALL", 2**16)
    path = tmp_path / "lines.csv.gz"
    path.write_bytes(gzip.compress(b"x,y\n" + b"1,2\n1,3\n" * 30_000))
    assert sum(len(x) for x, _ in rl.sources.open_source(path, target="y").blocks(2**16)) == 60_000


@both
def test_hdf5_that_claims_what_was_never_written_is_refused(tmp_path: Path, read: Any) -> None:
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("x", (2**31, 100), "f4", chunks=(1024, 100))
        file.create_dataset("y", (2**31,), "i8", chunks=(1024,))
    with pytest.raises(ValueError, match="times as many"):
        read(tmp_path / "huge.h5")


@both
@pytest.mark.parametrize("kind", ["storage", "link", "virtual"])
def test_hdf5_reads_no_other_file(tmp_path: Path, read: Any, kind: str) -> None:
    (tmp_path / "secret").write_bytes(b"x" * 80)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.ones((10, 2))
    with h5py.File(tmp_path / "data.h5", "w") as file:
        if kind == "storage":
            file.create_dataset("x", (10, 2), "u1", external=[(str(tmp_path / "secret"), 0, 20)])
        elif kind == "link":
            file["x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
        else:
            layout = h5py.VirtualLayout((10, 2), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (10, 2))
            file.create_virtual_dataset("x", layout)
        file["y"] = np.zeros(10, int)
    with pytest.raises(ValueError, match="outside the file"):
        read(tmp_path / "data.h5")


@both
@pytest.mark.parametrize("through", ["link", "soft link"])
def test_hdf5_never_opens_what_a_link_names(tmp_path: Path, read: Any, through: str) -> None:
    """The library would wait for ever where that is a FIFO. It is not even there: whoever tries misses it."""
    with h5py.File(tmp_path / "data.h5", "w") as file:
        if through == "link":
            file["x"] = h5py.ExternalLink(str(tmp_path / "nothing.h5"), "x")
        else:
            file["other"] = h5py.ExternalLink(str(tmp_path / "nothing.h5"), "/")
            file["x"] = h5py.SoftLink("other/x")
        file["y"] = np.zeros(10, int)
    with pytest.raises(ValueError, match="outside the file"):
        read(tmp_path / "data.h5")


def test_hdf5_soft_links_are_followed_within_the_file(tmp_path: Path) -> None:
    x = np.arange(20.0).reshape(10, 2)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["run/features"] = x
        file["run/again"] = h5py.SoftLink("./features")
        file["x"] = h5py.SoftLink("/run/again")
        file["y"] = np.zeros(10, int)
        file["round"] = h5py.SoftLink("round")
    (rows, _), *_ = rl.sources.open_source(tmp_path / "data.h5").blocks(10)
    np.testing.assert_array_equal(rows, x)
    with pytest.raises(ValueError, match="round and round"):
        rl.sources.open_source(tmp_path / "data.h5", features="round")


def hdf5_of(kind: str) -> Callable[[Any], None]:
    def compound(file: Any) -> None:
        file["x"] = np.zeros(10, [("a", "f4"), ("b", "i4")])

    def ragged(file: Any) -> None:
        file.create_dataset("x", (10,), dtype=h5py.vlen_dtype(np.float32))[0] = [1, 2]

    def dangling(file: Any) -> None:
        file["x"] = h5py.SoftLink("/nowhere")

    def latin(file: Any) -> None:
        file["x"] = np.array([b"\xff\xfe"] * 10)

    def a_type(file: Any) -> None:
        file["x"] = np.dtype("f4")

    return {"ragged": ragged, "dangling": dangling, "latin": latin, "compound": compound, "type": a_type}[
        kind
    ]


@both
@pytest.mark.parametrize("kind", ["compound", "ragged", "dangling", "latin", "type"])
def test_odd_hdf5_is_a_value_error_or_data(tmp_path: Path, read: Any, kind: str) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        hdf5_of(kind)(file)
        file["y"] = np.arange(10)
    try:
        read(tmp_path / "odd.h5")
    except ValueError:
        return
    assert kind in ("compound", "type")  # a table of the columns that are left


def test_many_names_of_one_long_text_are_refused(tmp_path: Path) -> None:
    """As references to one text in the file's heap would be: what matters is what they unpack to."""
    with pytest.raises(ValueError, match="claim to unpack"):
        refuse_too_large(10**9, 10**4, MOST_IN_MEMORY)


@both
@pytest.mark.parametrize("suffix", [".csv", ".npz", ".h5", ".parquet", ".arrow"])
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_only_regular_files_are_tables(tmp_path: Path, read: Any, suffix: str, kind: str) -> None:
    path = tmp_path / f"data{suffix}"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="not a regular file"):
        read(path)


# --- HDF5: the library that reads it is compiled ---


def test_hdf5_over_which_its_library_runs_in_a_circle_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the file's heap a text of 2**64 - 16 bytes, with its header of 16, takes none: there is always one more."""
    monkeypatch.setattr(_reading_process, "_SECONDS", 1)
    data = bytearray(good(tmp_path / "good.h5"))
    length = data.index(b"GCOL") + 16 + 8
    assert data[length] == 1
    data[length : length + 8] = (2**64 - 16).to_bytes(8, "little")
    (tmp_path / "circle.h5").write_bytes(data)
    with pytest.raises(
        ValueError, match=r"circle\.h5 is damaged .* takes more than 1 seconds of processor time"
    ):
        load_table(str(tmp_path / "circle.h5"))
    assert len(load_table(str(tmp_path / "good.h5")).columns) == 6


def test_hdf5_texts_that_were_never_written_are_counted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.create_dataset("y", (2**22,), "S1", chunks=(1024,))
    with pytest.raises(ValueError, match="claim to unpack to 67,108,864"):
        load_table(str(tmp_path / "empty.h5"))


# --- Parquet and Arrow ---


def test_a_reader_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good(tmp_path / "good.parquet")
    place = "relu_layers.sources._columnar:check"
    assert len(load_table(str(tmp_path / "good.parquet")).columns) == 3
    reader = _reading_process._readers[os.getpid(), place]
    reader.kill()
    reader.wait()
    _reading_process._checked.clear()
    assert len(load_table(str(tmp_path / "good.parquet")).columns) == 3
    assert _reading_process._readers[os.getpid(), place] is not reader


def test_a_file_at_which_the_reader_dies_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mortal.py").write_text("import os\n\ndef read(job):\n    os.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        failure = _reading_process.read_in_other_process("mortal:read", {"bytes": 0})
        assert failure is not None
        assert "the library that reads it fails" in failure


def test_a_file_at_which_the_reader_never_ends_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "endless.py").write_text("def read(job):\n    while True:\n        pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_reading_process, "_SECONDS", 0)
    failure = _reading_process.read_in_other_process("endless:read", {"bytes": 2**20})
    assert failure == "the library that reads it takes more than 1 seconds of processor time"


def test_a_full_disk_there_is_met_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full.py").write_text(
        "import errno\n\ndef read(job):\n    raise OSError(errno.ENOSPC, 'full')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert _reading_process.read_in_other_process("full:read", {"bytes": 0}) is None


def test_what_is_no_exception_there_is_a_message_here() -> None:
    failure = _reading_process.read_in_other_process("sys:exit", {"bytes": 0, "why": "a BaseException"})
    assert failure is not None
    assert failure.startswith("SystemExit")


def test_a_forked_process_has_a_reader_of_its_own(tmp_path: Path) -> None:
    good(tmp_path / "good.parquet")
    load_table(str(tmp_path / "good.parquet"))
    _reading_process._checked.clear()
    assert all(process == os.getpid() for process, _ in _reading_process._readers)
    key = (os.getpid() + 1, "x")
    assert key not in _reading_process._readers


def test_a_missing_column_is_named_as_ever(tmp_path: Path) -> None:
    good(tmp_path / "good.parquet")
    with pytest.raises(ValueError, match=r"good\.parquet has no column 'nowhere'"):
        rl.sources.open_source(tmp_path / "good.parquet", target="y", features=["nowhere"])


# --- CSV ---


@pytest.mark.parametrize("cell", ["1", "text"])
def test_fifty_thousand_columns(tmp_path: Path, cell: str) -> None:
    """Two and a half thousand million comparisons, or fifty thousand readings, if one step per column were n."""
    names = ",".join(f"c{index}" for index in range(50_000))
    rows = "".join(",".join([cell + str(row)] * 50_000) + f",{'uv'[row]}\n" for row in range(2))
    (tmp_path / "wide.csv").write_text(f"{names},y\n{rows * 2}")
    assert len(load_table(str(tmp_path / "wide.csv")).columns) == 50_001


def test_all_text_columns_of_a_block_are_found_in_one_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    former = csv_lines.open_regular
    monkeypatch.setattr(csv_lines, "open_regular", lambda path: opened.append(path) or former(path))
    (tmp_path / "text.csv").write_text(
        ",".join(f"c{i}" for i in range(500)) + "\n" + ",".join(["x"] * 500) + "\n"
    )
    assert len(load_table(str(tmp_path / "text.csv")).columns) == 500
    assert len(opened) == 2


def test_blocks_of_many_columns_have_few_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "_BLOCK_CELLS", 12)
    rows = "".join(f"{row},{row},{row},{row}\n" for row in range(10))
    (tmp_path / "d.csv").write_text("a,b,c,d\n" + rows)
    blocks = list(csv_file.csv_blocks(tmp_path / "d.csv", ()))
    assert [len(block["a"]) for block in blocks] == [3, 3, 3, 1]
    assert np.array_equal(np.concatenate([block["d"] for block in blocks]), np.arange(10))


def test_a_first_line_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "line.csv").write_bytes(b"a" * 2**22)
    with pytest.raises(ValueError, match="field larger than field limit"):
        load_table(str(tmp_path / "line.csv"))
