"""Text files as offices, instruments and exports write them: one report, one command line, trained."""

from __future__ import annotations

import codecs
import datetime
import decimal
import gzip
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import CliRunner, Result

import relu_layers as rl
from relu_layers.cli.tables import load_table
from relu_layers.sources.csv_numbers import office_number

ROWS = 60


def table(line: Callable[[int], str], header: str, rows: int = ROWS) -> str:
    return header + "\n" + "".join(line(i) + "\n" for i in range(rows))


def comma(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace(".", ",")


FILES: dict[str, tuple[str, bytes | str, list[str], list[str], str]] = {
    # name: (file, content, features, what the report must name, task)
    "european export": (
        "a.csv",
        table(lambda i: f"{i};{comma(i % 7 + 0.25)};{'#N/A' if i == 4 else i % 5};{comma(i * 1.5)}", ";a;b;y").encode(
            "cp1252"
        ),
        ["a", "b"],
        ["column 1 has no name", "'a', 'y'", "column 'b' has 1 missing values, the first in row 5"],
        "regression",
    ),
    "accounts": (
        "a.csv",
        table(
            lambda i: f'"${i % 9 + 1},{i * 37 % 1000:03d}",{i % 50}%,c{i:03d},{i % 2}', "amount,share,client,y"
        ).encode(),
        ["amount", "share"],
        ["column 'client' has a different text in every row"],
        "classification",
    ),
    "instrument": (
        "a.csv",
        table(
            lambda i: f"2024-01-{i % 28 + 1:02d} {i % 7}.5 {'over' if i == 9 else i % 11}.25 {i * 0.5}",
            "day t v y",
        )
        .replace("over.25", "over")
        .encode(),
        ["t", "v"],
        ["column 'day' holds dates", "but for 'over' in row 10"],
        "regression",
    ),
    "no names": (
        "a.csv",
        "".join(f"{i % 5}.5\t{i % 7}\t{'?' if i == 3 else i % 3}\t{'pq'[i % 2]}\n" for i in range(ROWS)).encode(),
        ["column1", "column2", "column3"],
        ["without names the columns are called column1, column2", "column 'column3' has 1 missing values"],
        "classification",
    ),
    "unicode text of a spreadsheet": (
        "a.csv",
        table(lambda i: f"{comma(i % 7)}\t{i}\t{'ja' if i % 2 else 'nej'}", '"längd\n(m)"\tantal\ty').encode("utf-16"),
        ["längd (m)", "antal"],
        ["column 'längd (m)' holds numbers with decimal commas"],
        "classification",
    ),
    "old Japanese export": (
        "a.csv",
        table(
            lambda i: f"{i},{150 + i % 30},{'男' if i % 2 else '女'},{'' if i == 2 else i % 5}", ",身長,性別,点"
        ).encode("cp932"),
        ["身長", "点"],
        ["not a UTF-8 text file", "column 1 has no name", "column '点' has 1 missing values"],
        "classification",
    ),
    "commas in names of a file of tabs": (
        "a.tsv",
        table(
            lambda i: f"{i % 7}\t{i * i % 11}\t{'-' if i == 5 else i % 4}\t{i * 2.5}",
            "weight, kg\theight, cm\tn\ty",
        ).encode(),
        ["weight, kg", "height, cm", "n"],
        ["but for '-' in row 6"],
        "regression",
    ),
    "compressed": (
        "a.csv.gz",
        gzip.compress(
            table(lambda i: f"u{i};{1000 + i * 7:,};{'inf' if i == 1 else i % 4};{i % 3}", "id;n;z;y").encode()
        ),
        ["n", "z"],
        ["column 'id'", "column 'z' holds inf in row 2", "'n' holds numbers with decimal commas"],
        "classification",
    ),
    "Western European": (
        "a.csv",
        table(
            lambda i: f"{i % 4};{comma(i * 0.3)};31.12.{1960 + i};{'é' if i % 2 else 'ü'}", "größe;b;Tag;y"
        ).encode("cp1252"),
        ["größe", "b"],
        ["not a UTF-8 text file", "column 'b' holds numbers with decimal commas", "column 'Tag' holds dates"],
        "classification",
    ),
    "with a line for spreadsheets": (
        "a.csv",
        b"sep=|\n"
        + table(
            lambda i: f"{i % 6}|{'' if i % 9 == 4 else 'abc'[i % 3]}||{'' if i == 7 else i / 4}", "a|b|c|y"
        ).encode(),
        ["a", "b=a", "b=b", "b=c"],
        ["column 'c' has no value", "column 'b' has", "target 'y' has 1 missing values"],
        "regression",
    ),
    "report with a title and a last line": (
        "a.csv",
        "Sales of March\n\nprinted;2024-03-31\n"
        + table(lambda i: f"{i % 7};{comma(i * 0.25)};{i % 3};{comma(i)}", "a;b;c;y")
        + "\n60 rows in all\n",
        ["a", "b", "c"],
        ["the table begins in line 4", "line 66: 1 cells", "columns 'b', 'y' hold numbers with decimal commas"],
        "regression",
    ),
    "totals and separators at the ends": (
        "a.csv",
        codecs.BOM_UTF8
        + table(lambda i: f"{i};{'' if i == 8 else i % 9};{'ab'[i % 2]};{i * 2};", "n;b;kind;y;").encode()
        + b"Total;;;3540;\n",
        ["n", "b", "kind=a", "kind=b"],
        [
            "the last row of a.csv looks like one of totals or means ('Total')",
            "column 5 has no name and is empty",
            "column 'b' has 1 missing values",
        ],
        "regression",
    ),
    "instrument with comments and a second header": (
        "a.csv",
        "# device 7, 2024-01-31\n# calibrated\n"
        + table(lambda i: f"{i / 8},{'sat' if i == 9 else i % 11},{'on' if i % 2 else 'off'},{i % 4 + 0.5}"
                + ("\n# restarted\nt (s),v (mV),mode,y" if i == 30 else ""), "t (s),v (mV),mode,y"),
        ["t (s)", "v (mV)", "mode=off", "mode=on"],
        ["column 'v (mV)' holds numbers but for 'sat' in row 10"],
        "regression",
    ),
    "written by R": (
        "a.csv",
        table(lambda i: f'"{i + 1}" {i % 8}.5 {"NA" if i == 3 else i % 6} "{"xy"[i % 2]}"', '"a" "b" "y"'),
        ["a", "b"],
        ["column 1 has no name and counts the rows", "column 'b' has 1 missing values"],
        "classification",
    ),
    "units, percentages, yes and no": (
        "a.csv",
        table(
            lambda i: f"1.{i:03d},5;{i % 50} %;{comma(i + 0.5)} €;{'ja' if i % 3 else 'nein'};K-{i:04d};{i % 2}",
            "Länge [mm];Anteil;Preis (€);geprüft;Kunde;y",
        ).encode("cp1252"),
        ["Länge [mm]", "Anteil", "Preis (€)", "geprüft=ja", "geprüft=nein"],
        ["not a UTF-8 text file", "with decimal commas", "column 'Kunde' has a different text in every row"],
        "classification",
    ),
    "addresses over two lines": (
        "a.csv",
        table(lambda i: f'"{i} Main Street\nTown",{["3/1/2024", "2024-01-03", "3 Jan 2024"][i % 3]},,{i % 7},{i % 2}'
              + ("\n\n   " if i % 20 == 7 else ""), "address,day,,v,y"),
        ["v"],
        ["column 'address' has a different text", "column 'day' holds dates", "column 3 has no name and is empty"],
        "classification",
    ),
    "thousands of Switzerland and India": (
        "a.csv",
        table(
            lambda i: f"CHF {1 + i}'045.50,\"{1 + i % 9},23,450\",{'#DIV/0!' if i == 1 else i % 5},{i:02d}:15,{i % 3}",
            "price,lakh,z,time,y",
        ),
        ["price", "lakh", "z"],
        ["column 'time' holds dates or times", "column 'z' has 1 missing values"],
        "classification",
    ),
    "Unicode text of a spreadsheet with its own line": (
        "a.csv",
        (
            "sep=;\n"
            + table(
                lambda i: f"{i};{comma(i / 4)};{'TRUE' if i % 2 else 'FALSE'};{'' if i == 5 else i % 4}",
                "id;b;flag;y",
            )
            + "\x1a"
        ).encode("utf-16"),
        ["id", "b", "flag=FALSE", "flag=TRUE"],
        ["column 'b' holds numbers with decimal commas", "target 'y' has 1 missing values"],
        "classification",
    ),
}  # fmt: skip


def go_on(output: str) -> list[str]:
    lines = [line for line in output.splitlines() if line.startswith("go on with: relu-layers ")]
    assert len(lines) == 1, output
    return shlex.split(lines[0].removeprefix("go on with: relu-layers "))


@pytest.mark.parametrize("kind", FILES)
def test_one_report_and_one_command_line_train(
    kind: str, call: Callable[..., Result], done: Callable[..., Result]
) -> None:
    name, content, features, named, task = FILES[kind]
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    target = {"no names": "p", "old Japanese export": "性別"}.get(kind, "y")
    result = call("train", name, "--target", target, "--epochs", "2", "--output", "m")
    assert result.exit_code == 1, result.output
    for text in named:
        assert text in result.output
    trained = done(*go_on(result.output))
    assert f": {task}" in trained.output
    assert rl.load("m/model.npz").preprocessing.feature_names == features


@pytest.mark.parametrize(
    ("cell", "decimal", "value"),
    [
        ("1,045", ".", 1045.0),
        ("1,234,567.5", ".", 1234567.5),
        ("45%", ".", 0.45),
        ("$10", ".", 10.0),
        ("-$10.50", ".", -10.5),
        ("10 €", ".", 10.0),
        ("¥1,000", ".", 1000.0),
        ("1,000円", ".", 1000.0),
        ("CHF 1'045.50", ".", 1045.5),
        ("(1,234)", ".", -1234.0),
        ("\u22125", ".", -5.0),
        ("3,25", ",", 3.25),
        ("1.045,5", ",", 1045.5),
        ("1\u202f045,5", ",", 1045.5),
        ("1,5e3", ",", 1500.0),
        ("0,250", ".", None),
        ("12,34,567", ".", 1234567.0),
        ("1,23,456.5", ".", 123456.5),
        ("12,34,56", ".", None),
        ("01,23,456", ".", None),
        ("1,04", ".", None),
        ("1,0456", ".", None),
        ("12:30", ".", None),
        ("(5", ".", None),
        ("5kg", ".", None),
        ("--5", ".", None),
        ("$5%", ".", None),
        ("", ".", None),
    ],
)
def test_numbers_as_offices_write_them(cell: str, decimal: str, value: float | None) -> None:
    found = office_number(cell, decimal)
    assert (None if found is None else found[0]) == value


def test_marks_of_two_units_in_one_column_are_text(done: Callable[..., Result]) -> None:
    Path("d.csv").write_text(table(lambda i: f"{'$€'[i % 2]}{i % 4},{i % 3}", "a,y"))
    assert (
        "8 features" not in done("train", "d.csv", "--target", "y", "--epochs", "1", "--output", "m").output
    )
    assert all(name.startswith("a=") for name in rl.load("m/model.npz").preprocessing.feature_names)


def test_what_counts_as_missing_can_be_said(done: Callable[..., Result]) -> None:
    Path("d.csv").write_text(
        table(lambda i: f"{['None', 'NA', 'x'][i % 3]},{'.' if i == 1 else i % 7},{i % 2}", "c,b,y")
    )
    done(
        "train", "d.csv", "--target", "y", "--na", ".", "--missing", "mean", "--epochs", "1", "--output", "m"
    )
    assert rl.load("m/model.npz").preprocessing.feature_names == ["c=NA", "c=None", "c=x", "b"]


@pytest.mark.parametrize("mark", ["#N/A", "<NA>", "#NA", "-nan", "#DIV/0!"])
def test_marks_of_spreadsheets_are_missing(call: Callable[..., Result], mark: str) -> None:
    Path("d.csv").write_text(table(lambda i: f"{mark if i == 3 else i},{i % 5},{i * 1.5}", "a,b,y"))
    result = call("train", "d.csv", "--target", "y", "--epochs", "1")
    assert result.exit_code == 1
    assert "column 'a' has 1 missing values, the first in row 4" in result.output


def test_one_bad_cell_is_named_with_its_row(call: Callable[..., Result]) -> None:
    Path("d.csv").write_text(table(lambda i: f"{'oops' if i == 30 else i},{i % 5},{i * 1.5}", "a,b,y", 300))
    result = call("train", "d.csv", "--target", "y", "--epochs", "1")
    assert result.exit_code == 1
    assert "column 'a' holds numbers but for 'oops' in row 31" in result.output
    assert go_on(result.output)[-4:] == ["--missing", "mean", "--na", "oops"]


def test_numbers_that_become_categories_are_always_said(done: Callable[..., Result]) -> None:
    Path("d.csv").write_text(table(lambda i: f"{'x' if i % 3 else i % 4},{i % 2}", "a,y"))
    assert (
        "note: column 'a' is read as text because of 'x'"
        in done("train", "d.csv", "--target", "y", "--epochs", "1", "--output", "m").output
    )
    Path("e.csv").write_text(table(lambda i: f'"{i % 9 + 1},{i:03d}",{i % 2}', "a,y"))
    assert (
        "note: column 'a' is read as numbers, '1,000' as 1000"
        in done("train", "e.csv", "--target", "y", "--epochs", "1", "--output", "m2").output
    )


def test_predict_names_decimal_commas_and_reads_them(
    call: Callable[..., Result], done: Callable[..., Result]
) -> None:
    Path("d.csv").write_text(table(lambda i: f"{comma(i % 7)};{comma(i * 1.5)}", "a;y"))
    done("train", "d.csv", "--target", "y", "--decimal", ",", "--epochs", "1", "--output", "m")
    refused = call("predict", "m/model.npz", "d.csv", "--output", "p.csv")
    assert refused.exit_code == 1
    assert "column 'a' holds numbers with decimal commas" in refused.output
    done(*go_on(refused.output))
    assert len(Path("p.csv").read_text().splitlines()) == ROWS + 1


def test_the_standard_input_is_read(done: Callable[..., Result]) -> None:
    from relu_layers.cli import program

    text = table(lambda i: f"{i % 7};{i % 2}", "a;y")
    result = CliRunner().invoke(
        program, ["train", "-", "--target", "y", "--epochs", "1", "--output", "m"], input=text
    )
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(program, ["predict", "m/model.npz", "-", "--keep-all"], input=text)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "a,y,prediction"


def test_a_packed_file_of_nothing_but_one_sign_is_refused() -> None:
    Path("d.csv.gz").write_bytes(gzip.compress(b"a,y\n" + b"1,2\n" * 12_000_000))
    with pytest.raises(ValueError, match="claim to unpack"):
        load_table("d.csv.gz")
    Path("e.csv.gz").write_bytes(gzip.compress(b"a,y\n1,2\n")[:-9])
    with pytest.raises(ValueError, match="damaged"):
        load_table("e.csv.gz")


def test_dates_and_decimals_of_any_format() -> None:
    from relu_layers.preprocessing import Preprocessing

    money = [decimal.Decimal("1.50"), None, decimal.Decimal("3.50")]
    assert Preprocessing(missing="mean").fit({"a": money}).columns[0].mean == 2.5
    days: list[Any] = [
        [datetime.date(2024, 1, 1), None],
        np.array(["2024-01-01"], dtype="datetime64[D]"),
        [datetime.timedelta(1)],
        [datetime.time(3)],
    ]
    for values in days:
        with pytest.raises(ValueError, match="holds dates or times"):
            Preprocessing(missing="mean").fit({"a": values})
    with pytest.raises(ValueError, match="holds values of type bytes"):
        Preprocessing().fit({"a": np.array([b"x"], dtype=object)})


def test_frames_lists_and_missing_values_of_pandas_and_polars() -> None:
    from relu_layers.preprocessing import Preprocessing

    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    for values in (
        pandas.array([True, None, False], dtype="boolean"),
        pandas.array(["x", None, "y"], dtype="string"),
    ):
        frame = pandas.DataFrame({"a": values})
        assert Preprocessing(missing="mean").fit(frame).transform(frame).shape[0] == 3
        with pytest.raises(ValueError, match="1 missing values"):
            Preprocessing().fit(frame)
    frame = polars.DataFrame({"a": [1, 2, 3], "b": ["x", None, "x"]})
    assert Preprocessing(missing="mean").fit(frame).feature_names == ["a", "b=x"]
    with pytest.raises(TypeError, match=r"collect\(\) it"):
        Preprocessing().fit(frame.lazy())
    with pytest.raises(TypeError, match="the table is a list"):
        Preprocessing().fit([{"a": 1}])


def test_truth_values_and_whole_numbers_are_the_same_in_every_format() -> None:
    from relu_layers.preprocessing import Preprocessing

    flags = np.array([True, False, True])
    numbers = Preprocessing(standardize="none").fit({"a": flags}).fit_target(flags, task="classification")
    texts = {"a": ["True", "FALSE", "true"]}
    assert numbers.transform(texts).ravel().tolist() == [1.0, 0.0, 1.0]
    assert numbers.encode_target(texts["a"]).tolist() == [1, 0, 1]
    names = Preprocessing().fit({"a": ["False", "True"]}).fit_target(["False", "True"], task="classification")
    assert names.transform({"a": flags}).tolist() == [[0, 1], [1, 0], [0, 1]]
    assert names.encode_target(flags).tolist() == [1, 0, 1]
    zips = Preprocessing().fit({"z": ["1234", "77"]})
    for values in (["1234.0", "77"], [1234, 77], [1234.0, 77.0]):
        assert zips.transform({"z": values}).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match="'01234'"):
        zips.transform({"z": ["01234"]})


def test_columns_beside_the_predictions(call: Callable[..., Result], done: Callable[..., Result]) -> None:
    Path("d.csv").write_text(
        table(lambda i: f"{i:04d},{i % 7},{'NA' if i == 2 else '=x'},{i % 2}", "id,a,t,y")
    )
    done(
        "train", "d.csv", "--target", "y", "--ignore", "id", "--ignore", "t", "--epochs", "1", "--output", "m"
    )
    done("predict", "m/model.npz", "d.csv", "--keep", "id", "--keep", "t", "--output", "p.csv")
    lines = Path("p.csv").read_text().splitlines()
    assert lines[0] == "id,t,prediction"
    assert lines[3].startswith("0002,NA,")
    done("predict", "m/model.npz", "d.csv", "--keep-all", "--safe-csv", "--output", "p.csv")
    assert Path("p.csv").read_text().splitlines()[1].startswith("0000,0,'=x,0,")
    assert "did you mean 'id'" in call("predict", "m/model.npz", "d.csv", "--keep", "idd").output


def test_two_arrays_of_one_column_name_are_refused() -> None:
    np.savez("d.npz", x=np.zeros((4, 2)), x0=np.ones(4), y=np.arange(4))
    with pytest.raises(ValueError, match="two columns are called 'x0'"):
        load_table("d.npz")


def test_a_fitted_preprocessing_is_applied_and_names_are_checked() -> None:
    from relu_layers.preprocessing import Preprocessing
    from relu_layers.sources import open_source

    Path("v.csv").write_text(table(lambda i: f"{1000 + i},0{i % 5},{i * 1.5}", "a,zip,y"))
    columns = Preprocessing().fit({"a": np.arange(100.0)})
    before = columns.columns
    source = open_source("v.csv", target="y", preprocessing=columns)
    assert columns.columns == before
    assert source.preprocessing is columns
    assert columns.target is not None
    target = Preprocessing().fit_target(np.arange(10.0), name="y")
    learned = target.target
    open_source("v.csv", target="y", preprocessing=target)
    assert target.target == learned
    for features in (None, ["a"]):
        with pytest.raises(ValueError, match=r"'zpi' \(did you mean 'zip'"):
            open_source("v.csv", target="y", features=features, text=["zpi"], preprocessing=Preprocessing())


def test_category_columns_keep_missing_values_missing() -> None:
    from relu_layers.sources.tables import named

    assert named("zip", np.array([1000.0, np.nan])).tolist() == ["1000", ""]
    assert named("zip", np.array([1000, None], dtype=object)).tolist() == ["1000", ""]


def test_separators_are_those_that_give_even_lines() -> None:
    for text, names in (
        ("a b  c\n1   2 3\n 4 5 6 \n", ["a", "b", "c"]),
        ("x, y;z\n1,5;2\n2,5;3\n", ["x, y", "z"]),
        ("a\n1\n2\n", ["a"]),
        ("first name\nJohn Smith\n", ["first name"]),
    ):
        Path("d.csv").write_text(text)
        assert list(load_table("d.csv").columns) == names
    Path("e.csv").write_text("a:b\n1:2\n")
    from relu_layers.sources.csv_form import CsvForm

    assert list(load_table("e.csv", form=CsvForm(separator=":")).columns) == ["a", "b"]


def test_lines_that_are_no_rows_are_counted(done: Callable[..., Result]) -> None:
    lines = ["# made by hand", "a,b,y"]
    for i in range(40):
        lines += [f"{i},{i % 3},{i % 2},"] + (["# a break", "a,b,y", "", " \t"] if i in (7, 20) else [])
    Path("d.csv").write_text("\n".join(lines))
    output = done("train", "d.csv", "--target", "y", "--epochs", "1", "--output", "m").output
    assert "note: left out 2 comments" in output
    assert "note: left out 2 lines that repeat the names" in output
    assert "40 rows, 2 features" in output


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a,b\n1,2\n3\n4,5\n" + "6,7\n" * 9, "line 3: 1 cells"),
        ("a,b\n1,2\n3,4,5\n" + "6,7\n" * 9, "line 3: 3 cells"),
        ("title\na,b\n" + "1,2\n" * 9 + "3\n" + "4,5\n" * 9, "line 12: 1 cells"),
        ("a,b\n" + "1,2\n" * 9 + "x\n" * 6, "line 11: 1 cells"),
    ],
)
def test_a_line_of_another_length_inside_the_table_is_damage(content: str, line: str) -> None:
    from relu_layers.sources.csv_form import CsvForm, FormError

    Path("d.csv").write_text(content)
    form = CsvForm(skip_lines=1 if content.startswith("title") else None)
    with pytest.raises(ValueError, match=line) as caught:
        load_table("d.csv", form=form)
    assert not isinstance(caught.value, FormError)


def test_totals_are_left_out_or_kept_as_asked(
    call: Callable[..., Result], done: Callable[..., Result]
) -> None:
    Path("d.csv").write_text(table(lambda i: f"{'pqr'[i % 3]},{i},{i % 2}", "kind,v,y") + "Gesamt,1770,1\n")
    arguments = ("train", "d.csv", "--target", "y", "--epochs", "1", "--output", "m")
    assert go_on(call(*arguments).output)[-2:] == ["--skip-footer", "1"]
    assert f"{ROWS} rows, 4 features" in done(*arguments, "--skip-footer", "1").output
    assert f"{ROWS + 1} rows, 5 features" in done(*arguments, "--skip-footer", "0").output
    Path("d.csv").write_text(table(lambda i: f"{['sum', 'mean', 'total'][i % 3]},{i},{i % 2}", "kind,v,y"))
    assert f"{ROWS} rows, 4 features" in done(*arguments).output
