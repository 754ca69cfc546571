"""`relu-layers inspect`: the content of a model file, of any format, without running it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relu_layers import checkpoint
from relu_layers._files.damage import damage_as_value_error
from relu_layers._files.formats import FORMATS, function_of
from relu_layers.cli import report
from relu_layers.cli.card import card_lines
from relu_layers.cli.errors import Problem, readable
from relu_layers.cli.escaping import escaped
from relu_layers.layers import ParameterLayer
from relu_layers.model import Sequential
from relu_layers.preprocessing import CategoryColumn, ClassTarget, Preprocessing

_COLUMNS_SHOWN = 20


@click.command(short_help="Show the content of the model file FILE.")
@click.argument("file", type=click.Path())
@click.option("--weights", type=click.Path(), metavar="FILE", help="The .caffemodel of a .prototxt FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def inspect(file: str, weights: str | None, as_json: bool) -> None:
    """Show the content of FILE: format, layers, parameters, preprocessing, training, card; for files of other programs
    also the parts that keep it from being loaded.

    The exit code is 1 if the file is damaged or cannot be loaded as a model.
    """
    console = Console(highlight=False)
    with readable():
        found = facts(Path(file), {"weights": weights} if weights else {})
        if as_json:
            click.echo(json.dumps(found, indent=2))
        else:
            _print(console, found)
    if found.get("problem"):
        raise SystemExit(1)


def facts(path: Path, reading: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a file as plain values; a damaged one is a ValueError."""
    if not path.exists():
        raise Problem(f"{path}: no such model file")
    suffix = path.suffix.lower()
    read, whole = function_of(str(path), "read", reading)
    found: dict[str, Any] = {"file": path.name, "format": suffix, "bytes": path.stat().st_size}
    if whole:
        document = read(str(path), **reading)
        with damage_as_value_error(f"{path} cannot be described"):
            found |= _of_document(document)
        if document.get("kind") == "parameters":
            return found
    elif FORMATS[suffix].describe:
        module, name = FORMATS[suffix].describe.split(":")
        found |= getattr(import_module(module), name)(str(path))
    try:
        model = checkpoint.load(path, **reading)
    except ValueError as error:
        return {**found, "problem": str(error)}
    return found | _of_model(model)


def _of_document(document: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a document beside its model."""
    if document.get("kind") == "parameters":
        tensors = document["parameters"]
        return {
            "kind": "parameters of another program",
            "names": document["names"],
            "tensors": {name: f"{array.dtype} {array.shape}" for name, array in tensors.items()},
            "problem": "parameters without layers: build the model and load with rl.load(path, model=model)",
        }
    found: dict[str, Any] = {
        "kind": _plain(document.get("kind")),
        "version": _plain(document.get("version")),
        "checksum": "intact",
    }
    if document.get("kind") == "trainer":
        optimizer, state = document.get("optimizer", {}), document.get("state", {})
        found["training"] = {
            "loss": _plain(document.get("loss", {}).get("name")),
            "optimizer": _plain(optimizer.get("name")),
            "updates": _plain(optimizer.get("state", {}).get("updates")),
            "steps": _plain(state.get("steps")),
            "epochs": len(state.get("history", {}).get("loss", ())),
            "callbacks": [_plain(entry.get("name")) for entry in document.get("callbacks", ())],
        }
    return found


def _plain(value: Any) -> str | int | float | None:
    """Return a value of a document that should be a text or a number, or what kind of value it is."""
    return value if value is None or isinstance(value, (str, int, float)) else f"a {type(value).__name__}"


def _of_model(model: Sequential) -> dict[str, Any]:
    layers = [
        {
            "layer": repr(layer),
            "parameters": {
                name: list(array.shape) for name, array in layer.parameters().items()
            } if isinstance(layer, ParameterLayer) else {},
        }
        for layer in model.layers
    ]  # fmt: skip
    found = {"dtype": model.dtype.name, "parameters": int(model.flat_params.size), "layers": layers}
    if model.preprocessing is not None:
        found["preprocessing"] = _of_preprocessing(model.preprocessing)
    if model.card is not None:
        found["card"] = model.card
    return found


def _of_preprocessing(preprocessing: Preprocessing) -> dict[str, Any]:
    columns = {
        column.name: f"{len(column.categories)} categories"
        if isinstance(column, CategoryColumn)
        else "number"
        for column in preprocessing.columns
    }
    target = preprocessing.target
    if target is None:
        return {"columns": columns, "target": None}
    if isinstance(target, ClassTarget):
        return {"columns": columns, "target": target.name, "classes": [str(one) for one in target.classes]}
    return {"columns": columns, "target": target.name}


def _print(console: Console, found: dict[str, Any]) -> None:
    """Print the facts: short ones in a line each, layers and nodes as tables."""
    tables = {"layers", "parts", "parts in all", "problem", "preprocessing", "training", "tensors", "card"}
    for name, value in found.items():
        if name not in tables and value not in ("", []):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            shown = f"{shown:,}" if isinstance(shown, int) and not isinstance(shown, bool) else shown
            report.say(console, f"{name:<14} {escaped(shown)}")
    for name in ("training", "tensors"):
        for key, value in found.get(name, {}).items():
            report.say(console, f"{name:<14} {escaped(key)}: {escaped(value)}")
    if "preprocessing" in found and isinstance(found["preprocessing"], dict):
        _print_preprocessing(console, found["preprocessing"])
    for line in card_lines(found.get("card", {})):
        report.say(console, f"{'card':<14} {line}")
    if found.get("layers"):
        console.print(_layers(found["layers"]))
    elif found.get("parts"):
        console.print(_parts(found["parts"]))
        more = found["parts in all"] - len(found["parts"])
        if more > 0:
            report.say(console, f"and {more:,} more")
    if found.get("problem"):
        report.say(console, f"cannot be loaded: {escaped(found['problem'], 500)}", "bold red")


def _print_preprocessing(console: Console, entry: dict[str, Any]) -> None:
    columns = entry["columns"]
    shown = [f"{escaped(name, 40)} ({kind})" for name, kind in list(columns.items())[:_COLUMNS_SHOWN]]
    more = len(columns) - len(shown)
    report.say(console, f"{'columns':<14} {', '.join(shown)}{f' and {more:,} more' if more > 0 else ''}")
    if entry["target"] is not None:
        classes = [escaped(one, 40) for one in entry.get("classes", ())]
        listed = f": {', '.join(classes[:_COLUMNS_SHOWN])}" if classes else ""
        more = len(classes) - _COLUMNS_SHOWN
        report.say(
            console,
            f"{'target':<14} {escaped(entry['target'])}{listed}{f' and {more:,} more' if more > 0 else ''}",
        )


def _layers(layers: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "layer", "parameters"):
        table.add_column(name)
    for index, layer in enumerate(layers):
        shapes = [f"{name} ({', '.join(map(str, shape))})" for name, shape in layer["parameters"].items()]
        table.add_row(str(index), Text(escaped(layer["layer"])), Text(", ".join(shapes)))
    return table


def _parts(parts: list[dict[str, str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "type", "name", "problem"):
        table.add_column(name)
    for index, part in enumerate(parts):
        cells = (Text(escaped(part[key])) for key in ("type", "name"))
        table.add_row(str(index), *cells, Text(escaped(part["problem"]), style="red"))
    return table
