"""`relu-layers convert`: a model file in another format, read back and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import click
import numpy as np
from rich.console import Console

from relu_layers import checkpoint
from relu_layers._files.formats import FORMATS, function_of
from relu_layers.cli import report
from relu_layers.cli.errors import Problem, readable
from relu_layers.cli.escaping import escaped
from relu_layers.layers import Dense, Dropout
from relu_layers.model import Sequential
from relu_layers.preprocessing import NumberColumn

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_ROWS = 256


@click.command(short_help="Write the model file INPUT in the format of OUTPUT.")
@click.argument("source", metavar="INPUT", type=click.Path())
@click.argument("target", metavar="OUTPUT", type=click.Path(dir_okay=False))
@click.option("--weights", type=click.Path(), metavar="FILE", help="The .caffemodel of a .prototxt INPUT.")
@click.option(
    "--output-name", metavar="NAME", help="Which output of an .onnx INPUT, or blob of a .prototxt, to read."
)
@click.option(
    "--input-features", type=click.IntRange(min=1), metavar="N", help="Size of a row of a .prototxt INPUT."
)
@click.option(
    "--phase",
    type=click.Choice(["TRAIN", "TEST"], case_sensitive=False),
    help="Which layers of a .prototxt INPUT count.",
)
@click.option(
    "--stage", "stages", multiple=True, metavar="NAME", help="A stage of a .prototxt INPUT; may be repeated."
)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Default: that of INPUT.")
@click.option("--opset", type=click.IntRange(min=1), help="Version of ONNX's operators in an .onnx OUTPUT.")
@click.option(
    "--preprocessing/--no-preprocessing",
    default=None,
    help="Whether an .onnx OUTPUT takes the raw table; as a default it does where INPUT has a preprocessing.",
)
@click.option(
    "--names",
    type=click.Choice(["relu_layers", "torch"]),
    help="Whose names and layout the parameters of a .safetensors OUTPUT have.",
)
@click.option(
    "--name", metavar="IDENT", help="What all names in a .h OUTPUT start with, or a .prototxt is called."
)
@click.option("--force", is_flag=True, help="Replace OUTPUT if it exists.")
def convert(
    source: str,
    target: str,
    weights: str | None,
    output_name: str | None,
    input_features: int | None,
    phase: str | None,
    stages: tuple[str, ...],
    dtype: str | None,
    force: bool,
    **options: Any,
) -> None:
    """Write the model file INPUT in the format that the suffix of OUTPUT names.

    Formats: .npz and .safetensors hold everything, a training too; .onnx, .prototxt (with --weights, or from a
    .caffemodel) and .caffemodel hold a network; .h is a C99 header and can only be written. What was written is
    read back and compared with INPUT on random rows.
    """
    console = Console(highlight=False)
    with readable():
        given = {name: value for name, value in options.items() if value is not None}
        reading: dict[str, Any] = {"weights": weights, "output": output_name, "in_features": input_features}
        reading |= {"phase": phase, "stages": stages or None}
        reading = {name: value for name, value in reading.items() if value is not None}
        _convert(console, Path(source), Path(target), reading, dtype, given, force)


def _convert(
    console: Console,
    source: Path,
    target: Path,
    reading: dict[str, Any],
    dtype: str | None,
    writing: dict[str, Any],
    force: bool,
) -> None:
    if not source.exists():
        raise Problem(f"{source}: no such model file")
    function_of(str(target), "write", writing)
    if target.exists() and not force:
        raise Problem(f"{target} exists; --force replaces it")
    document = _document(source, reading)
    trained = document is not None and document["kind"] == "trainer"
    model = checkpoint.load(source, **reading)
    wanted = model if dtype is None else model.astype(np.dtype(dtype))
    if target.suffix.lower() == ".onnx" and _has_table(wanted):
        writing.setdefault("preprocessing", True)
    if trained and dtype is None and not writing and FORMATS[target.suffix.lower()].whole:
        write, _ = function_of(str(target), "write", training=True)
        write(document, str(target))
        left = []
    else:
        wanted.save(target, **writing)
        left = _left_behind(wanted, target.suffix.lower(), trained, writing)
    report.say(console, f"wrote {target}: {wanted!r}, {wanted.flat_params.size:,} parameters")
    if writing.get("preprocessing"):
        report.say(
            console,
            f"the graph does the preprocessing: it takes {_columns_of(wanted)} as they are in the table",
        )
    for line in left:
        report.say(console, f"left behind: {line}")
    report.say(console, _compared(wanted, target, table=bool(writing.get("preprocessing"))))


def _document(source: Path, reading: dict[str, Any]) -> dict[str, Any] | None:
    """Return the document in a file of a whole format, None for the others."""
    read, whole = function_of(str(source), "read", reading)
    document = read(str(source), **reading) if whole else None
    return document if document is not None and document.get("kind") in ("model", "trainer") else None


def _has_table(model: Sequential) -> bool:
    return model.preprocessing is not None and bool(model.preprocessing.columns)


def _columns_of(model: Sequential) -> str:
    """Return the first columns that the model's preprocessing takes, in words."""
    names = [escaped(column.name) for column in model.preprocessing.columns]
    more = f" and {len(names) - 6} more columns" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more


def _left_behind(model: Sequential, suffix: str, trained: bool, writing: dict[str, Any]) -> list[str]:
    """Return the parts that the format has no place for, in words."""
    lines = ["the training (optimizer, progress, callbacks)"] if trained else []
    if FORMATS[suffix].whole:
        return lines
    dropouts = sum(isinstance(layer, Dropout) for layer in model.layers)
    if dropouts and suffix in (".onnx", ".h"):
        line = "1 Dropout layer, which does" if dropouts == 1 else f"{dropouts} Dropout layers, which do"
        lines.append(f"{line} nothing in inference")
    if suffix == ".onnx" and _has_table(model) and not writing.get("preprocessing"):
        lines.append("the preprocessing, but for the file's metadata: the graph takes standardised features")
    if suffix == ".h" and _has_table(model):
        lines.append("the preprocessing: the functions take standardised features")
    if suffix == ".prototxt":
        lines.append("the weights: a .prototxt describes layers, its .caffemodel would hold them")
    if suffix in (".prototxt", ".caffemodel") and model.preprocessing is not None:
        lines.append("the preprocessing")
    if model.card is not None and suffix != ".onnx":
        lines.append("the card")
    return lines


def _compared(model: Sequential, target: Path, *, table: bool) -> str:
    """Read the file back and return how far its outputs are from the model's."""
    suffix = target.suffix.lower()
    if suffix == ".prototxt":
        layers = [type(layer).__name__ for layer in checkpoint.load(target).layers]
        return f"read back: {', '.join(layers)}"
    if not FORMATS[suffix].read:
        return f"not read back: compile {target.name} to use it"
    raw = _raw_rows(model) if table else None
    x = _rows(model) if raw is None else model.preprocessing.transform(raw, dtype=model.dtype)
    if x is None:
        return "not compared: the network says nothing about the length of a row"
    expected = model(x)
    found = checkpoint.load(target)(x)
    line = f"read back: outputs of {len(x)} random rows differ by at most {_difference(expected, found):.2g}"
    if suffix == ".onnx":
        line += _in_onnxruntime(target, x, expected, raw)
    return line


def _raw_rows(model: Sequential) -> dict[str, Array]:
    """Return random rows of the table that the model's preprocessing takes."""
    random = np.random.default_rng(0)
    return {
        column.name: (column.mean + column.scale * random.standard_normal(_ROWS)).astype(model.dtype)
        if isinstance(column, NumberColumn)
        else random.choice(np.array(column.categories, object), _ROWS)
        for column in model.preprocessing.columns
    }


def _in_onnxruntime(target: Path, x: Array, expected: Array, raw: dict[str, Array] | None) -> str:
    try:
        import onnxruntime
    except ImportError:
        return ""
    try:
        session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        given = {names[0]: x}
        if raw is not None:
            columns = {name: values[:, None] for name, values in raw.items()}
            given = (
                columns if names == list(raw) else {names[0]: np.concatenate(list(columns.values()), axis=1)}
            )
        found = session.run(None, given)[0]
    except Exception as error:  # of the runtime's own kinds: it lacks some operators in float64
        return f"; ONNX Runtime does not run it: {escaped(error)}"
    return f", in ONNX Runtime by {_difference(expected, found):.2g}"


def _rows(model: Sequential) -> Array | None:
    dense = next((layer for layer in model.layers if isinstance(layer, Dense)), None)
    if dense is None:
        return None
    return np.random.default_rng(0).standard_normal((_ROWS, dense.in_features)).astype(model.dtype)


def _difference(expected: Array, found: Array) -> float:
    """Return the largest difference; NaN in the same places is none."""
    same = (expected == found) | (np.isnan(expected) & np.isnan(found))
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(same, 0.0, np.abs(expected - found)), initial=0.0))
