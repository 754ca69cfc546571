"""The stub of the extension says what the extension has: the same names and parameters."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import relu_layers
from relu_layers import _core
from relu_layers.ops import native, reference

STUB = Path(relu_layers.__file__).parent / "_core.pyi"


def functions_of(body: list[ast.stmt]) -> dict[str, list[str]]:
    return {
        node.name: [arg.arg for arg in (*node.args.args, *node.args.kwonlyargs)]
        for node in body
        if isinstance(node, ast.FunctionDef)
    }


def declared() -> dict[str, list[str]]:
    return functions_of(ast.parse(STUB.read_text(encoding="utf-8")).body)


def signature(function: object) -> list[str]:
    """Parameters, from the text that the extension makes of its own parameters."""
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def compiled() -> dict[str, list[str]]:
    found = {}
    for name in dir(_core):
        function = getattr(_core, name)
        if not name.startswith("_") and callable(function) and not isinstance(function, type):
            found[name] = signature(function)
    return found


def test_ops_have_the_signatures_and_docstrings_of_the_reference() -> None:
    assert set(native.__all__) <= set(relu_layers.ops.__all__)
    for name in native.__all__:
        op, model = getattr(native, name), getattr(reference, name)
        assert getattr(relu_layers.ops, name) is op is getattr(_core, name)
        assert inspect.getdoc(op) == inspect.getdoc(model)
        own, other = inspect.signature(op).parameters, inspect.signature(model).parameters
        assert list(own) == list(other)
        for parameter in other.values():
            assert own[parameter.name].kind is parameter.kind, f"{name}: {parameter}"
            assert own[parameter.name].default == parameter.default, f"{name}: {parameter}"


def test_functions_and_parameters_agree() -> None:
    ops = {name: signature(getattr(reference, name)) for name in native.__all__}
    assert declared() | ops == compiled()
    assert declared().keys().isdisjoint(ops)


def test_classes_agree() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    stubs = {node.name: functions_of(node.body) for node in tree.body if isinstance(node, ast.ClassDef)}
    properties = {
        node.name: {f.name for f in node.body if isinstance(f, ast.FunctionDef) and f.decorator_list}
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    classes = {name: item for name, item in vars(_core).items() if isinstance(item, type)}
    assert stubs.keys() == classes.keys()
    for name, methods in stubs.items():
        own = vars(classes[name])
        public = {key for key in own if not key.startswith("_")}
        assert {key for key in methods if not key.startswith("_")} == public
        assert methods["__init__"] == ["self", *signature(classes[name])]
        for method, parameters in methods.items():
            if method not in properties[name] and not method.startswith("__"):
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
