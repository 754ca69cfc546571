"""`relu-layers bench` as a user meets it; nothing here depends on how fast anything is."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
from click.testing import Result

from relu_layers.bench import opponents
from relu_layers.bench.cases import all_cases, select


def test_a_quick_run_prints_writes_and_draws(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = ["--plot", "run.png"] if find_spec("matplotlib") else []
    result = call("bench", "--quick", "--against", "numpy", "--json", "run.json", "--seed", "4", *drawn)
    assert result.exit_code == 0, result.output
    for words in (
        "threads",
        "1 for each",
        "GFLOP/s float32",
        "BLAS",
        "Single ops, float32, microseconds",
        "Training steps",
        "Inference",
        "Whole fits, per step, shuffling included",
        "Where relu_layers is not the fastest",
        "of 16 cells" if "times slower" in result.output else "nowhere in 16 cells",
    ):
        assert words in result.output
    assert "differs" not in result.output
    assert "not timed" not in result.output
    written = json.loads(Path("run.json").read_text())
    assert written["settings"]["seed"] == 4
    assert len(written["cells"]) == 16
    for cell in written["cells"]:
        assert cell["times"].keys() == {"relu_layers", "numpy"}
        assert all(time["over_bound"] > 0 for time in cell["times"].values())
    assert set(written["limits"]["peak"]) == {"float32", "float64"}
    assert written["limits"]["levels"][-1]["name"] == "memory"
    if drawn:
        assert Path("run.png").read_bytes().startswith(b"\x89PNG")
        assert Path("run.png").stat().st_size > 10_000


def test_only_and_dtype_choose_the_cells_and_threads_reach_the_workers(call: Callable[..., Result]) -> None:
    result = call(
        "bench",
        *("--quick", "--against", "numpy", "--only", "softmax", "--dtype", "both", "--threads", "2"),
        *("--json", "run.json"),
    )
    assert result.exit_code == 0, result.output
    assert "2 for each" in result.output
    cells = json.loads(Path("run.json").read_text())["cells"]
    assert [(cell["op"], cell["dtype"]) for cell in cells] == [("softmax", "float32"), ("softmax", "float64")]
    assert "Training steps" not in result.output


def test_an_absent_library_is_left_out_with_its_reason(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opponents, "find_spec", lambda name: None)
    result = call("bench", "--quick", "--only", "infer")
    assert result.exit_code == 0, result.output
    assert "left out: PyTorch, because torch is not installed" in result.output
    assert "left out: ONNX Runtime, because onnxruntime and onnx are not installed" in result.output


def test_list_prints_every_name_and_measures_nothing(call: Callable[..., Result]) -> None:
    result = call("bench", "--list")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    names = {
        line[2] for line in lines if len(line) == 3 and line[0] in ("ops", "training", "inference", "fit")
    }
    assert {"forward-64x784x128", "relu-forward-100000000", "step-2-30-1-b4-sgd"} <= names
    assert {"infer-784-128-10-b1", "fit-784-128-10-b64-momentum"} <= names
    # Who may take part, and why one does not: not asked for, or not installed.
    absent = importlib.util.find_spec("torch") is None
    assert ("torch is not installed" if absent else "--compile") in " ".join(result.output.split())
    assert names == {case.name for case in all_cases()}
    assert all(select(all_cases(), [name]) for name in names)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--only", "trainin"], 2, "did you mean 'training'?"),
        (["--only", "step-2-30-1-b4"], 2, "did you mean 'step-2-30-1-b4-sgd'?"),
        (["--against", "nunpy"], 2, "did you mean 'numpy'?"),
        (["--against", "abacus"], 2, "there are relu_layers, numpy"),
        (["--plot", "run.bmp"], 2, "does not end in .png"),
        (["--threads", "0"], 2, "--threads"),
        (["--json", "none/run.json"], 1, "there is no folder none"),
    ],
)
def test_bad_options_are_one_clear_line_and_nothing_runs(
    call: Callable[..., Result], arguments: list[str], code: int, message: str
) -> None:
    result = call("bench", "--quick", *arguments)
    assert result.exit_code == code, result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert message in line
    assert not list(Path().iterdir())


# The program takes signals, whatever became of them in the process of the tests.
PROGRAM = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
runpy.run_module("relu_layers", run_name="__main__")
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a child")
def test_ctrl_c_ends_the_workers_and_the_run() -> None:
    arguments = [sys.executable, "-c", PROGRAM, "bench", "--against", "numpy", "--only", "gemm"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stdout:
            if line.startswith("call "):
                break
        # As a terminal does: to the whole group, the workers included.
        os.killpg(child.pid, signal.SIGINT)
        _, errors = child.stdout.read(), child.stderr.read()
    assert child.returncode == 130, errors
    assert errors == "interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)
