"""The notebook: its cells are those of the script that writes it, run as plain Python, and were executed."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location(
        "write_notebook", ROOT / "docs" / "write_notebook.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cells(script: ModuleType) -> list[dict[str, Any]]:
    return list(json.loads(script.NOTEBOOK.read_text(encoding="utf-8"))["cells"])


def test_notebook_and_page_have_the_cells_of_the_script(
    script: ModuleType, cells: list[dict[str, Any]]
) -> None:
    assert ["".join(cell["source"]) for cell in cells] == list(script.CELLS), (
        "run python docs/write_notebook.py"
    )
    page = script.PAGE.read_text(encoding="utf-8")
    code = [cell for cell in script.CELLS if not script.is_text(cell)]
    assert re.findall(r"^```python\n(.*?)\n```$", page, re.M | re.S) == code
    for cell in script.CELLS:
        assert cell in page


def test_every_code_cell_shows_something_and_none_failed(cells: list[dict[str, Any]]) -> None:
    kinds = set()
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"], cell["source"]
            for output in cell["outputs"]:
                assert output["output_type"] != "error"
                kinds |= set(output.get("data", ())) | {output.get("name")}
    assert kinds >= {"text/html", "image/png", "stdout", "stderr"}


def run(code: str, names: dict[str, Any]) -> tuple[str, object]:
    """Run a cell as plain Python; return what it printed, and the value of its last line if that is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        exec(compile(tree, "cell", "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return printed.getvalue(), value


def agree(shown: str, stored: str) -> None:
    """Assert the same words and, to a hundredth, the same numbers; the target is that of the machine."""
    shown, stored = (re.sub(r"\bon (baseline|avx2|avx512|neon)\b", "on", text) for text in (shown, stored))
    number = r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?"
    assert re.sub(number, "0", shown) == re.sub(number, "0", stored), "run python docs/write_notebook.py"
    pairs = zip(re.findall(number, shown), re.findall(number, stored), strict=True)
    for one, other in pairs:
        assert float(one) == pytest.approx(float(other), rel=0.01), "run python docs/write_notebook.py"


def test_the_cells_run_as_plain_python_and_their_outputs_are_current(cells: list[dict[str, Any]]) -> None:
    pytest.importorskip("matplotlib")
    names: dict[str, Any] = {}
    compared = set()
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        printed, value = run("".join(cell["source"]), names)
        for output in cell["outputs"]:
            if output.get("name") == "stdout":
                agree(printed, "".join(output["text"]))
                compared.add("stdout")
            elif "text/html" in output.get("data", ()):
                agree(value._repr_html_(), "".join(output["data"]["text/html"]))  # type: ignore[attr-defined]
                compared.add(type(value).__name__)
            elif "image/png" in output.get("data", ()):
                assert value._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert compared == {"stdout", "SanityReport", "History", "GradcheckReport", "Explanation"}
    assert names["history"]["validation_accuracy"][-1] > 0.9
