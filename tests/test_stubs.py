"""The stub of the extension says what the extension has: the same names and parameters."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import relu_layers
from relu_layers import _core

STUB = Path(relu_layers.__file__).parent / "_core.pyi"


def functions_of(body: list[ast.stmt]) -> dict[str, list[str]]:
    return {
        node.name: [arg.arg for arg in node.args.args] for node in body if isinstance(node, ast.FunctionDef)
    }


def declared() -> dict[str, list[str]]:
    return functions_of(ast.parse(STUB.read_text(encoding="utf-8")).body)


def signature(function: object) -> list[str]:
    """Parameters from the signature line that pybind11 writes into each docstring."""
    line = re.sub(r"<[^>]*>", "None", str(function.__doc__).splitlines()[0])
    definition = ast.parse(f"def {line}: ...").body[0]
    assert isinstance(definition, ast.FunctionDef)
    return [arg.arg for arg in definition.args.args]


def compiled() -> dict[str, list[str]]:
    found = {}
    for name in dir(_core):
        function = getattr(_core, name)
        if not name.startswith("_") and callable(function) and not isinstance(function, type):
            found[name] = signature(function)
    return found


def test_functions_and_parameters_agree() -> None:
    assert declared() == compiled()


def test_classes_agree() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    stubs = {node.name: functions_of(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}
    classes = {name: item for name, item in vars(_core).items() if isinstance(item, type)}
    assert stubs.keys() == classes.keys()
    for name, methods in stubs.items():
        own = {key: item for key, item in vars(classes[name]).items() if not key.startswith("_pybind11")}
        public = {key for key in own if not key.startswith("_")} | {"__init__"}
        assert {key for key in methods if not key.startswith("_")} | {"__init__"} == public
        for method, parameters in methods.items():
            if not isinstance(own[method], property) and method != "__exit__":
                assert signature(own[method]) == parameters, f"{name}.{method}"


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
