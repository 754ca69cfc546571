"""The recipes for other people's tools: each is short, and runs where its library is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^<!-- needs: (\w+)[\w ]* -->\n```python\n(.*?)^```$", PAGE, re.M | re.S))
FILES = {
    "tensorboard": "runs/moons/*tfevents*",
    "mlflow": "ml*",
    "wandb": "wandb/offline-run-*/*.wandb",
}


def test_each_recipe_has_fewer_than_ten_lines() -> None:
    assert set(RECIPES) == {*FILES, "tqdm"}
    for library, code in RECIPES.items():
        assert len([line for line in code.splitlines() if line]) < 10, library


@pytest.mark.parametrize("library", RECIPES)
def test_a_recipe_runs(library: str, tmp_path: Path) -> None:
    pytest.importorskip(library)
    if library == "mlflow":
        pytest.importorskip("sqlalchemy", reason="mlflow-skinny writes to servers only")
    shared = re.search(r"^```python\n(.*?)^history = ", PAGE, re.M | re.S)
    assert shared is not None
    run = subprocess.run(
        [sys.executable, "-c", shared[1] + RECIPES[library]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "WANDB_SILENT": "true", "MLFLOW_DISABLE_TELEMETRY": "true"},
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    if library in FILES:
        assert list(tmp_path.glob(FILES[library]))
    else:
        assert "5/5" in run.stderr
        assert "loss=" in run.stderr
