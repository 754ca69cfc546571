"""The tables of docs/onnx.md say what the code does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from relu_layers.layers import BUILT_IN

onnx_format = pytest.importorskip("relu_layers.formats.onnx", reason="needs onnx")
opsets = pytest.importorskip("relu_layers.formats.onnx._opsets")
NEWEST = opsets.NEWEST
PAGE = Path(__file__).resolve().parents[2] / "docs" / "onnx.md"


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table whose head begins so."""
    lines = PAGE.read_text(encoding="utf-8").split(f"\n| {heading} |", 1)[1].splitlines()[2:]
    rows = lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_layer_is_in_the_table_of_what_is_written() -> None:
    assert {row[0].strip("`") for row in table("layer")} == set(BUILT_IN)


def test_every_operator_that_is_written_or_read_is_in_its_table() -> None:
    read = {name for row in table("operator") for name in re.findall(r"[A-Z][A-Za-z]+", row[0])}
    assert read == {*NEWEST, *opsets.AROUND, *opsets.AROUND_ML}
    written = {
        name for row in table("layer") for name in re.findall(r"[A-Z][A-Za-z]+", re.sub("`.*?`", "", row[1]))
    }
    assert written <= {*NEWEST, *opsets.AROUND}


@pytest.mark.parametrize("function", ["save", "load"])
def test_every_option_is_in_the_table_of_its_function(function: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    part = text.split(f"Options of `{function}`:", 1)[1].split("\n\n")[1]
    named = {option for row in part.splitlines()[2:] for option in re.findall(r"`(\w+)`", row.split("|")[1])}
    signature = inspect.signature(getattr(onnx_format, function))
    kinds = [one for one in signature.parameters.values() if one.kind is inspect.Parameter.KEYWORD_ONLY]
    assert named == {one.name for one in kinds}
