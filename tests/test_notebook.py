"""The notebook: its cells are those of the script that writes it, run as plain Python, and were executed."""

from __future__ import annotations

import importlib.util
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


def test_the_cells_run_as_plain_python(script: ModuleType) -> None:
    pytest.importorskip("matplotlib")
    names: dict[str, Any] = {}
    for cell in script.CELLS:
        if not script.is_text(cell):
            exec(compile(cell, "cell", "exec"), names)
    assert names["history"]["validation_accuracy"][-1] > 0.9
