"""The stub of the extension says what the extension has: the same names and parameters."""

from __future__ import annotations

import ast
from pathlib import Path

import relu_layers
from relu_layers import _core

STUB = Path(relu_layers.__file__).parent / "_core.pyi"


def declared() -> dict[str, list[str]]:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    return {
        node.name: [arg.arg for arg in node.args.args]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def compiled() -> dict[str, list[str]]:
    """Names and parameters from the signature line that pybind11 writes into each docstring."""
    found = {}
    for name in dir(_core):
        function = getattr(_core, name)
        if name.startswith("_") or not callable(function):
            continue
        signature = str(function.__doc__).splitlines()[0]
        definition = ast.parse(f"def {signature}: ...").body[0]
        assert isinstance(definition, ast.FunctionDef)
        found[name] = [arg.arg for arg in definition.args.args]
    return found


def test_functions_and_parameters_agree() -> None:
    assert declared() == compiled()


def test_attributes_agree() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    attributes = {
        node.target.id
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert attributes == {
        name for name in dir(_core) if not name.startswith("_") and not callable(getattr(_core, name))
    }


def test_the_package_is_marked_as_typed() -> None:
    assert (STUB.parent / "py.typed").exists()
