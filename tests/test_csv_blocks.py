"""CSV files in blocks: what polars or NumPy's reader takes and what is read cell by cell are the same table."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relu_layers.sources import csv_file, csv_quick
from relu_layers.sources.csv_file import CsvNotes, TextFoundError, csv_blocks
from relu_layers.sources.csv_form import CsvForm

CELLS = {
    "whole": st.sampled_from(["0", "7", "-3", "+12", " 5", "123456789012345678"]),
    "number": st.sampled_from(["0.5", "-1e-3", "3", ".25", "2.", " 1.5 ", "1E5"]),
    "gaps": st.sampled_from(["0.5", "", "NA", "4", "nan"]),
    "text": st.sampled_from(["a", "b c", " d ", "", "none"]),
    "odd": st.sampled_from(
        ["1", "2.5", "inf", "1_0", "0x1", "99999999999999999999", "１", "1,5", "45%", "$3", "1e999"]
    ),
    "quoted": st.sampled_from(["1", '"2"', '"3\n4"', '"x, y"']),
}
TABLES = st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4).flatmap(
    lambda kinds: st.tuples(
        st.just(kinds),
        st.lists(
            st.tuples(*(st.sampled_from([kind, kind, "number"]) for kind in kinds)), max_size=14
        ).flatmap(lambda rows: st.tuples(*(st.tuples(*(CELLS[kind] for kind in row)) for row in rows))),
    )
)


def outcome(content: bytes, text: set[str], form: CsvForm) -> Any:
    """Return all that a reading gives: the columns or the error, and the notes."""
    notes = CsvNotes()
    try:
        blocks = list(csv_blocks(Path("t.csv"), text, form=form, notes=notes, content=content))
    except TextFoundError as error:
        return "text", error.found
    except ValueError as error:
        return "error", str(error)
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    found = {name: (values.dtype.kind, [repr(v + 0) if v == v else "nan" for v in values.tolist()])
             if values.dtype.kind != "T" else ("T", values.tolist()) for name, values in columns.items()}  # fmt: skip
    return found, notes.written, notes.marks, notes.infinite, notes.left_out


@settings(max_examples=150, deadline=None)
@given(
    TABLES,
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([None, ",", "."]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.lists(st.integers(0, 12), max_size=2),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["# seen", "names", "end"])), max_size=2),
    st.integers(0, 2),
)
# Text in two columns, in lines that are longer than those before.
@example(
    (
        ["odd", "gaps", "odd"],
        (
            *[("1", "0.5", "1")] * 3,
            *[("1", "0.5", "1_0"), ("1", "0.5", "99999999999999999999"), ("1_0", "0.5", "1")],
        ),
    ),
    *(",", None, "\n", True, [], 0, [], 0),
)
def test_the_quick_reader_changes_nothing(
    table: Any,
    separator: str,
    decimal: str | None,
    end: str,
    header: bool,
    blank: list[int],
    uneven: int,
    odd: list[tuple[int, str]],
    footer: int,
) -> None:
    kinds, rows = table
    form = CsvForm(
        separator=separator,
        decimal=None if decimal == separator else decimal,
        header=header,
        skip_footer=footer,
    )
    lines = [separator.join(row) for row in rows]
    if uneven < len(lines) and uneven > 9:
        lines[uneven] += separator + "1"
    for place in blank:
        lines.insert(min(place, len(lines)), "")
    names = separator.join(f"{kind}{place}" for place, kind in enumerate(kinds))
    for place, kind in odd:
        if kind == "end":
            lines[place:] = [line + separator for line in lines[place:]]
        else:
            lines.insert(min(place, len(lines)), names if kind == "names" else kind)
    content = (end.join([names, *lines]) + end).encode()
    text = {f"{kind}{place}" for place, kind in enumerate(kinds) if kind == "text"} if header else set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "_BLOCK_ROWS", 3)
        quick = outcome(content, text, form)
        patch.setattr(csv_quick, "_POLARS_FROM_BYTES", 0)
        assert quick == outcome(content, text, form)  # by polars where that is installed
        patch.setattr(csv_file, "quick_dtype", lambda *_: None)
        assert quick == outcome(content, text, form)


def test_columns_of_numbers_are_read_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a block of plain numbers no cell becomes a Python object."""
    monkeypatch.setattr(csv_file, "_BLOCK_ROWS", 10)
    seen: list[int] = []
    whole = csv_file._rows

    def counted(*args: Any) -> Any:
        for row in whole(*args):
            seen.append(1)
            yield row

    monkeypatch.setattr(csv_file, "_rows", counted)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 3))
    lines = [f"{a:+.6f},{b:+.6f},{int(c * 100):+04d}" for a, b, c in x.tolist()]
    lines[57] = f"{1.5:+018.6f},,+003"
    blocks = list(csv_blocks(Path("t.csv"), (), content="\n".join(["a,b,c", *lines]).encode()))
    assert len(seen) == 20  # the first block, and the one with a gap
    found = np.concatenate([block["a"] for block in blocks])
    assert found.tolist() == [float(line.split(",")[0]) for line in lines]
    assert np.concatenate([block["c"] for block in blocks]).dtype == np.int64
    assert np.isnan(np.concatenate([block["b"] for block in blocks])[57])


def test_a_line_with_too_many_cells_is_named_after_quick_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "_BLOCK_ROWS", 4)
    lines = ["a,b", *(f"{i},{i}" for i in range(30))]
    lines[21] = "1,2,3"
    with pytest.raises(ValueError, match=r"t\.csv, line 22: 3 cells, but the first line names 2 columns"):
        list(csv_blocks(Path("t.csv"), (), content="\n".join(lines).encode()))
    lines[21] = "1,x"
    with pytest.raises(TextFoundError) as error:
        list(csv_blocks(Path("t.csv"), (), content="\n".join(lines).encode()))
    assert error.value.found == [("b", "x", 21, True)]


WHOLE = st.integers(-(2**63), 2**63 - 1)
REALS = st.floats(allow_nan=False, allow_infinity=False)
WRITTEN = st.one_of(
    REALS.map(repr),
    REALS.map("{:.17e}".format),
    st.tuples(WHOLE, st.integers(-400, 330)).map("{0[0]}e{0[1]}".format),
    st.tuples(WHOLE, WHOLE.map(abs)).map("{0[0]}.{0[1]}".format),
    st.from_regex(r"[+-]?[0-9]{0,30}\.?[0-9]{0,30}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.text("0123456789+-.eE_ xinfa\u0661\t\0#", max_size=6),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            *(
                st.tuples(*[cells] * 3)
                for cells in (WHOLE.map(str), WRITTEN, st.text("ab \u00e4#\0\ufeff", max_size=3))
            )
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(["", "\n", "\r", "\r\n", "1", ",", " "]),
)
def test_polars_gives_the_numbers_of_numpy_or_none(columns: list[tuple[str, ...]], end: str) -> None:
    """Bit for bit, and texts but for blanks around them."""
    polars = pytest.importorskip("polars")
    lines = [",".join(cells) for cells in zip(*columns, ("1", "2", "3"), strict=True)]
    text = "\n".join(lines) + end
    kinds = []
    for column in columns:
        kinds.append("O")
        for kind, read in (("f8", float), ("i8", np.int64)):
            with contextlib.suppress(ValueError, OverflowError):
                kinds[-1] = [*map(read, column)] and kind
    dtype = np.dtype([(f"f{place}", kind) for place, kind in enumerate([*kinds, "i8"])])
    by_numpy = csv_quick.quick_columns(text, dtype, ",")
    by_polars = csv_quick.quick_columns(text, dtype, ",", polars)
    if by_numpy is None or by_polars is None:
        assert by_numpy is by_polars
        return
    assert by_numpy.lines == by_polars.lines == len(list(io.StringIO(text, newline="")))
    for one, other in zip(by_numpy.columns, by_polars.columns, strict=True):
        if isinstance(other, list):
            assert [*map(str.strip, other)] == [*map(str.strip, one.tolist())]
        elif one.dtype.kind != "O":
            assert other.dtype == one.dtype
            assert other.tobytes() == one.tobytes()


def test_polars_reads_a_large_file_of_numbers_and_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    polars = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    lines = [
        f"{a!r},{c},{i % 7 and 'word'}" for i, (a, c) in enumerate(rng.standard_normal((500, 2)).tolist())
    ]
    content = "\n".join(["a,b,c", *lines]).encode()
    read, calls = polars.read_csv, []
    monkeypatch.setattr(polars, "read_csv", lambda *args, **kinds: calls.append(1) or read(*args, **kinds))
    monkeypatch.setattr(csv_quick, "_POLARS_FROM_BYTES", len(content))
    found = outcome(content, {"c"}, CsvForm())
    assert calls
    monkeypatch.setattr(csv_quick, "_POLARS_FROM_BYTES", len(content) + 1)
    calls.clear()
    assert outcome(content, {"c"}, CsvForm()) == found
    assert not calls


def test_polars_is_not_used_where_it_could_hang_or_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads do not live on in a forked child, and its builds need AVX2."""
    pytest.importorskip("polars")
    monkeypatch.setattr(csv_quick, "_POLARS_FROM_BYTES", 0)
    assert csv_quick.polars_for(1) is not None
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            os._exit(0 if csv_quick.polars_for(1) is None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(csv_quick, "build_info", lambda: {"targets": ["baseline"]})
        assert csv_quick.polars_for(1) is None
    monkeypatch.setitem(sys.modules, "polars", None)
    assert csv_quick.polars_for(1) is None


@pytest.mark.parametrize("rows", [10, 3000, 200_000])
def test_the_byte_that_is_no_text_is_counted_from_the_beginning_of_the_file(rows: int) -> None:
    content = b"a,b\n" + rows * b"1,2\n"
    with pytest.raises(ValueError, match=rf"not a UTF-8 text file \(byte {len(content)}\)"):
        list(csv_blocks(Path("t.csv"), (), content=content + b"\xff,1\n"))


def test_a_fraction_is_no_whole_number_whatever_the_program_does_with_warnings() -> None:
    """NumPy 2.0 reads 0.5 as the whole number 0 where its warning is not an error, as in every program."""
    with warnings.catch_warnings(action="ignore"):
        assert csv_quick.quick_columns("7\n0.5\n", np.dtype([("f0", "i8")]), ",") is None
