"""The stub of the extension says what the extension has; the ops have the signatures of the reference."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from pathlib import Path

import relu_layers
from relu_layers import _core
from relu_layers.ops import native, reference

ROOT = Path(__file__).resolve().parent.parent
STUB = Path(relu_layers.__file__).parent / "_core.pyi"


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


def test_the_stub_is_the_one_written_from_the_extension() -> None:
    specification = importlib.util.spec_from_file_location("write_stub", ROOT / "docs" / "write_stub.py")
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    assert STUB.read_text(encoding="utf-8") == script.stub(), "run python docs/write_stub.py"
    # A type for something that is gone would stay in the tables unseen.
    owners = {name for name, item in vars(_core).items() if callable(item)}
    for table in (script.PARAMETERS, script.RESULTS):
        assert {key.split(".")[0] for key in table if "." in key} <= owners
    assert script.CLASSES.keys() == {name for name, item in vars(_core).items() if isinstance(item, type)}


def test_the_stub_declares_what_the_extension_has() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    declared = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    declared |= {ast.unparse(node.target) for node in tree.body if isinstance(node, ast.AnnAssign)}
    assert declared | set(native.__all__) == {name for name in dir(_core) if not name.startswith("_")}
    assert declared.isdisjoint(native.__all__)


def test_the_package_is_marked_as_typed() -> None:
    assert (STUB.parent / "py.typed").exists()
