"""Reading data: what a file becomes, and the message for every file that is not usable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("click")
from relu_layers.cli.tables import load_table
from relu_layers.sources import csv_file


def written(tmp_path: Path, text: str, name: str = "data.csv") -> str:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return str(path)


def test_csv_columns_have_the_kind_their_values_have(tmp_path: Path) -> None:
    table = load_table(written(tmp_path, "\ufeffn, r ,t,gap\r\n1, 2.5,a b,\r\n-3,1e3,,7\r\n"))
    assert table.columns["n"].dtype == np.int64
    assert table.columns["n"].tolist() == [1, -3]
    assert table.columns["r"].tolist() == [2.5, 1000.0]
    assert table.columns["t"].tolist() == ["a b", ""]
    np.testing.assert_equal(table.columns["gap"], [np.nan, 7.0])
    assert table.rows == 2


@pytest.mark.parametrize("mark", ["", "NA", "n/a", "NaN", "null", "None", "?"])
def test_marks_for_missing(tmp_path: Path, mark: str) -> None:
    table = load_table(written(tmp_path, f"a,b\n{mark},{mark}\n1,x\n"))
    np.testing.assert_equal(table.columns["a"], [np.nan, 1.0])
    assert table.columns["b"].tolist() == ["", "x"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_quotes(tmp_path: Path, delimiter: str) -> None:
    rows = [["a", "b"], ["1", f'"x{delimiter}\ny"'], ["2", '"say ""z"""']]
    table = load_table(written(tmp_path, "\n".join(delimiter.join(row) for row in rows)))
    assert table.columns["a"].tolist() == [1, 2]
    assert table.columns["b"].tolist() == [f"x{delimiter}\ny", 'say "z"']


def test_blocks_join_and_late_text_or_fractions_change_the_whole_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "_BLOCK_ROWS", 3)
    lines = [f"{i},{i},{i}" for i in range(8)] + ["8,x,0.5"]
    table = load_table(written(tmp_path, "a,b,c\n" + "\n".join(lines)))
    assert table.columns["a"].tolist() == list(range(9))
    assert table.columns["b"].tolist() == [*map(str, range(8)), "x"]
    assert table.columns["c"].tolist() == [*range(8), 0.5]
    assert table.notes == ("column 'b' is read as text because of 'x' in row 9",)


def test_columns_can_be_kept_as_text(tmp_path: Path) -> None:
    table = load_table(written(tmp_path, "zip\n01\n2\n"), text=["zip"])
    assert table.columns["zip"].tolist() == ["01", "2"]


def test_numbers_beyond_int64_and_underscores(tmp_path: Path) -> None:
    table = load_table(written(tmp_path, "a,b\n99999999999999999999,1_0\n"))
    assert table.columns["a"].tolist() == [1e20]
    assert table.columns["b"].tolist() == ["1_0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "column names but no rows"),
        ("a,b\n1,2\n3\n", r"line 3: 1 cells, but the first line names 2 columns"),
        ("a,b\n1,2,3\n", r"line 2: 3 cells"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        (",a\n1,2\n", "column 1 has no name"),
        ('a,b\n1,"2\n', "unexpected end of data"),
    ],
)
def test_unusable_csv_files_are_told_apart(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_table(written(tmp_path, text))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("a\nö\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not a UTF-8 text file"):
        load_table(str(path))


def test_unknown_sources_get_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither digits, .*did you mean 'digits'\?"):
        load_table("digit")
    written(tmp_path, "a\n1\n", "flowers.csv")
    with pytest.raises(ValueError, match=r"no such file \(did you mean '.*flowers.csv'\?\)"):
        load_table(str(tmp_path / "flower.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        load_table(str(tmp_path / "folder.csv"))


def test_npz_of_x_and_y(tmp_path: Path) -> None:
    x, y = np.arange(12.0).reshape(2, 3, 2), np.array([1, 0])
    np.savez(tmp_path / "d.npz", x=x, y=y)
    table = load_table(str(tmp_path / "d.npz"))
    assert list(table.columns) == ["x0", "x1", "x2", "x3", "x4", "x5", "y"]
    assert table.columns["x5"].tolist() == [5.0, 11.0]
    assert table.target == "y"


def test_npz_of_columns_keeps_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", age=np.array([1.0, 2.0]), name=np.array(["a", "b"]))
    table = load_table(str(tmp_path / "d.npz"), text=["age"])
    assert table.columns["name"].tolist() == ["a", "b"]
    assert table.columns["age"].dtype.kind == "T"
    assert table.target is None


def test_unusable_npz_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
    np.savez(tmp_path / "ragged.npz", a=np.zeros(2), b=np.zeros(3))
    np.savez(tmp_path / "scalar.npz", a=np.float64(1.0))
    whole = (tmp_path / "ragged.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    for name, message in [
        ("text", "not a .npz file"),
        ("object", "not a .npz file of plain arrays: Object arrays"),
        ("ragged", "different numbers of rows: a 2, b 3"),
        ("scalar", "'a' is a single value"),
        ("cut", "not a .npz file"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_table(str(tmp_path / f"{name}.npz"))


@pytest.mark.parametrize("reader", ["polars", "pyarrow"])
def test_parquet_by_either_reader(tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    if reader == "pyarrow":
        monkeypatch.setitem(sys.modules, "polars", None)
    else:
        pytest.importorskip("polars")
    path = tmp_path / "d.parquet"
    columns = {"n": [1, 2, None], "r": [0.5, None, 2.0], "t": ["a", None, "b"], "b": [True, False, True]}
    parquet.write_table(pyarrow.table(columns), path)
    table = load_table(str(path))
    from relu_layers.preprocessing import Preprocessing

    preprocessing = Preprocessing(missing="mean", standardize="none").fit(table.columns)
    assert preprocessing.feature_names == ["n", "r", "t=a", "t=b", "b"]
    x = preprocessing.transform(table.columns, dtype=np.float64)
    assert x[:, 0].tolist() == [1.0, 2.0, 1.5]
    assert x[:, 1].tolist() == [0.5, 1.25, 2.0]
    assert x[:, 4].tolist() == [1.0, 0.0, 1.0]
    path.write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="not a Parquet file"):
        load_table(str(path))


def test_parquet_without_a_reader_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install .*\[data\]"):
        load_table(written(tmp_path, "x", "d.parquet"))


def test_digits_are_the_real_ones() -> None:
    pytest.importorskip("sklearn")
    table = load_table("digits")
    assert (table.rows, len(table.columns), table.target) == (1797, 65, "digit")
    assert np.unique(table.columns["digit"]).tolist() == list(range(10))


def test_digits_without_scikit_learn_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"pip install .*\[sklearn\]"):
        load_table("digits")


def test_xor_and_two_moons() -> None:
    xor = load_table("xor").columns
    assert xor["xor"].tolist() == [0, 1, 1, 0]
    one, again, other = (load_table("two-moons", rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one.columns["x"], again.columns["x"])
    assert not np.array_equal(one.columns["x"], other.columns["x"])
    assert one.columns["moon"].mean() == 0.5


def test_unknown_column_is_told_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"xor has no column 'xorr' \(did you mean 'xor'\?\); its columns: a, b, xor"
    ):
        load_table("xor").column("xorr")


def test_tsv_arrow_and_hdf5(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="writes Arrow files")
    h5py = pytest.importorskip("h5py", reason="writes HDF5 files")
    (tmp_path / "d.tsv").write_text("n\tt\n1\ta, b\n2\t\n")
    polars.DataFrame({"n": [1, 2], "t": ["a, b", None]}).write_ipc(tmp_path / "d.arrow")
    for name in ("d.tsv", "d.arrow"):
        table = load_table(str(tmp_path / name))
        assert table.columns["n"].tolist() == [1, 2]
        assert table.columns["t"].tolist() in (["a, b", ""], ["a, b", None])
        assert table.target is None
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["x"], file["y"], file["t"] = np.eye(2), np.array([1, 0]), np.array([b"a", b"b"])
        file.create_group("further")
    table = load_table(str(tmp_path / "d.h5"))
    assert {name: values.tolist() for name, values in table.columns.items()} == {
        "t": ["a", "b"],
        "x0": [1.0, 0.0],
        "x1": [0.0, 1.0],
        "y": [1, 0],
    }
    assert table.target == "y"
    (tmp_path / "d.h5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="no HDF5 file"):
        load_table(str(tmp_path / "d.h5"))
