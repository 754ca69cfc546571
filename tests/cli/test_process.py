"""The program as a process of its own: without its extra, by both names, and interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

PROGRAM = [sys.executable, "-m", "relu_layers"]


@pytest.mark.parametrize("absent", ["click", "rich"])
def test_without_the_extra_the_command_names_it(absent: str) -> None:
    code = (
        "import importlib.util, sys; real = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *rest: None if name == {absent!r} else real(name, *rest)\n"
        "from relu_layers.__main__ import main; main()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert re.search(r"pip install .*\[cli\]", run.stderr)


def test_module_and_command_are_one_program() -> None:
    run = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert run.stdout.startswith("Usage: relu-layers")


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a child")
def test_ctrl_c_writes_the_model_so_far(tmp_path: Path) -> None:
    arguments = ["train", "xor", "--epochs", "10000000", "--output", str(tmp_path)]
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stdout:
            if line.startswith("epoch "):
                break
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        output, errors = child.stdout.read(), child.stderr.read()
    assert child.returncode == 130, errors
    assert errors == ""
    assert "as after its last whole step" in output
    assert (tmp_path / "history.csv").read_text().count("\n") > 1
    model = str(tmp_path / "model.npz")
    run = subprocess.run([*PROGRAM, "predict", model, "xor"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("\n") == 5
