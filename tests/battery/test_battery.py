"""The battery: what users kill, fork, interrupt, damage and exhaust. One program per part, one figure line each.

``RELU_LAYERS_BATTERY=long`` runs the long form (`nox -s battery`); ``python tests/battery/PART.py`` runs one
part.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
HELPERS = {"common", "conftest", "samples", "test_battery"}
PARTS = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in HELPERS)
LONG = os.environ.get("RELU_LAYERS_BATTERY") == "long"
SKIPPED = 77
# A hang, not a speed: the long form of one part takes up to an hour on a slow machine.
LIMIT = 4 * 3600 if LONG else 900

pytestmark = [
    pytest.mark.battery,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the battery forks"),
]


@pytest.mark.parametrize("part", PARTS)
def test_part(part: str, record_property: Callable[[str, object], None]) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", os.fspath(HERE / f"{part}.py")]
    ended = subprocess.run(
        command + ["--long"] * LONG, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    lines = ended.stdout.splitlines()
    if ended.returncode == SKIPPED:
        pytest.skip(lines[-1])
    record_property("figure", lines[-1] if lines else f"{part}: ended with {ended.returncode}")
    assert (ended.returncode, len(lines)) == (0, 1), f"{ended.stdout}\n{ended.stderr[-4000:]}"
