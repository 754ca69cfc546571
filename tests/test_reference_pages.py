"""The reference in docs/api names everything public, and nothing that is not there; every page can be reached.

The pages are read as text, without Sphinx: ``.. autofunction:: relu_layers.ops.relu_forward`` documents that
function, ``.. automodule:: relu_layers.schedules`` with ``:members:`` all that its ``__all__`` lists.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import relu_layers

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "python" / "relu_layers"
DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(\w+):: ([\w.]+)\n((?:   :[^\n]*\n)*)", re.M)
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.M | re.S)
# Programs, not libraries: the pages on the command line and the benchmark are about them.
PROGRAMS = {"bench", "cli", "__main__"}


def public_modules() -> list[str]:
    """Return the modules whose names have no underscore: those of the first level, and others with ``__all__``."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not parts or parts[0] in PROGRAMS or any(part.startswith("_") for part in parts):
            continue
        if len(parts) == 1 or re.search(r"^__all__", path.read_text(encoding="utf-8"), re.M):
            names.append(".".join(("relu_layers", *parts)))
    return names


def source_of(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def public_names(module: str) -> list[str]:
    """Return ``__all__``, or where there is none the functions and classes defined in the module."""
    tree = source_of(module)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    if "__all__" in ast.unparse(tree):  # put together from the lists of other modules
        return list(importlib.import_module(module).__all__)
    defined = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return [name for name in defined if not name.startswith("_")]


def resolved(name: str) -> object:
    """Return what a dotted name stands for; None where its module needs a library that is not installed."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ImportError as error:
            if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("relu_layers"):
                continue
            return None
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


def documented_names() -> set[str]:
    names = set()
    for page in (DOCS / "api").glob("*.md"):
        for kind, name, options in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            names.add(name)
            if kind == "module" and ":members:" in options:
                names |= {f"{name}.{member}" for member in public_names(name)}
    return names


@pytest.fixture(scope="module")
def documented() -> set[str]:
    return documented_names()


def missing(module: str, names: list[str], documented: set[str]) -> list[str]:
    """Return the names that stand on no page, neither as such nor as the same object elsewhere."""
    objects = {id(found) for name in documented if (found := resolved(name)) is not None and callable(found)}
    result = []
    for name in names:
        full = f"{module}.{name}"
        if full not in documented and id(resolved(full)) not in objects:
            result.append(full)
    return result


def test_the_package_s_names_are_documented(documented: set[str]) -> None:
    modules = {name for name in relu_layers.__all__ if inspect.ismodule(getattr(relu_layers, name))}
    assert missing("relu_layers", sorted(set(relu_layers.__all__) - modules), documented) == []
    assert {f"relu_layers.{name}" for name in modules} <= documented


@pytest.mark.parametrize("module", public_modules())
def test_the_names_of_every_public_module_are_documented(module: str, documented: set[str]) -> None:
    assert missing(module, public_names(module), documented) == []


def test_documented_names_exist(documented: set[str]) -> None:
    for name in documented:
        resolved(name)
    with pytest.raises(AttributeError):
        resolved("relu_layers.ops.no_such_op_forward")


def test_a_name_left_out_is_noticed(documented: set[str]) -> None:
    without = documented - {"relu_layers.ops.relu_forward"}
    assert missing("relu_layers.ops", ["relu_forward", "relu_backward"], without) == [
        "relu_layers.ops.relu_forward"
    ]


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for block in TOCTREE.findall(page.read_text(encoding="utf-8")):
            for entry in (line for line in block.split("\n") if line and not line.startswith(":")):
                found = set(page.parent.glob(f"{entry}.md"))
                assert found, f"{page.relative_to(DOCS)} lists {entry}"
                listed |= found
    assert listed == {page for page in DOCS.rglob("*.md") if "_build" not in page.parts}


def test_the_cpp_page_is_the_headers() -> None:
    specification = importlib.util.spec_from_file_location("write_cpp_page", DOCS / "write_cpp_page.py")
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    written = script.PAGE.read_text(encoding="utf-8")
    assert written == script.page(), "run python docs/write_cpp_page.py"
    ops = (ROOT / "cpp" / "include" / "relu_layers" / "ops.h").read_text(encoding="utf-8")
    for declaration in re.findall(r"^(?:void|double|index_t) \w+\(", ops, re.M):
        assert declaration in written


def test_the_first_paragraph_of_a_page_says_for_whom_it_is() -> None:
    pages = [*DOCS.glob("*.md"), DOCS / "api" / "index.md", DOCS / "decisions" / "index.md"]
    for page in pages:
        _, _, text = page.read_text(encoding="utf-8").partition("# ")
        first = text.split("\n\n")[1]
        assert first.startswith("For ") or "ためのページ" in first, page.name
