"""What the command line does with inputs that are no files, outputs that are inputs, formulas and Ctrl-C."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import relu_layers as rl
from relu_layers.cli import program
from relu_layers.preprocessing import Preprocessing


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(program, [str(one) for one in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text("a,b\n" + "".join(f"{row},{row % 5}\n" for row in range(20)))
    return path


def model_of(path: Path, classes: list[str]) -> Path:
    table = {"a": np.arange(20.0), "b": np.arange(20.0) % 5}
    model = rl.mlp([2, len(classes)], rng=0)
    model.preprocessing = Preprocessing().fit(table).fit_target((classes * 20)[:20], name="y")
    model.flat_params[:] = 0.0
    model.save(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return model_of(tmp_path / "model.npz", ["u", "v"])


@pytest.mark.parametrize("which", ["data", "model", "link"])
def test_predictions_never_replace_what_was_read(data: Path, model: Path, which: str) -> None:
    output = {"data": data, "model": model, "link": data.with_name("link.csv")}[which]
    if which == "link":
        output.symlink_to(data)
    before = data.read_bytes(), model.read_bytes()
    result = run("predict", model, data, "--output", output)
    assert result.exit_code == 1
    assert "would be lost" in result.output
    assert (data.read_bytes(), model.read_bytes()) == before


@pytest.mark.parametrize("option", ["--html", "--markdown", "--json"])
def test_explanations_never_replace_what_was_read(data: Path, model: Path, option: str) -> None:
    data.write_text("a,b,y\n" + "".join(f"{row},{row % 5},{'uv'[row % 2]}\n" for row in range(20)))
    before = data.read_bytes(), model.read_bytes()
    for output in (data, model):
        result = run("explain", model, data, option, output)
        assert result.exit_code == 1
        assert "would be lost" in result.output
    assert (data.read_bytes(), model.read_bytes()) == before


@pytest.mark.skipif(os.name != "posix", reason="needs FIFOs")
def test_a_fifo_is_named_as_what_it_is(data: Path, model: Path, tmp_path: Path) -> None:
    for name in ("pipe.csv", "pipe.npz"):
        os.mkfifo(tmp_path / name)
    for arguments in (
        ("predict", model, tmp_path / "pipe.csv"),
        ("train", tmp_path / "pipe.csv"),
        ("predict", tmp_path / "pipe.npz", data),
        ("inspect", tmp_path / "pipe.npz"),
        ("convert", tmp_path / "pipe.npz", tmp_path / "other.npz"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "not a regular file" in result.output
        assert "did you mean" not in result.output


FORMULAS = ["=1+1", "+cmd", "-x", "@sum", "\tx", "\rx"]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("to_file", [False, True], ids=["stdout", "file"])
def test_formulas_are_named_and_on_request_defused(
    data: Path, tmp_path: Path, formula: str, to_file: bool
) -> None:
    if formula.startswith("\r") and not to_file:
        pytest.skip("lines end in \\n there, so a return in a cell is not quoted")
    # The first class is what a model of zeros predicts.
    model = model_of(tmp_path / "model.npz", sorted([formula, "\x7fz"]))
    output = tmp_path / "out.csv"
    where = ("--output", output) if to_file else ()
    for options, expected in (((), formula), (("--safe-csv",), "'" + formula)):
        result = run("predict", model, data, *where, *options)
        assert result.exit_code == 0, result.output
        text = output.read_bytes().decode() if to_file else result.stdout
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert rows[1] == [expected]
        assert ("--safe-csv" in result.stderr) == (not options)


def test_numbers_are_no_formulas(tmp_path: Path) -> None:
    from relu_layers.cli.report import as_text

    for cell in ("-0.5", "+1", "-1e-05", "-inf", "nan", "plain", -3, ""):
        assert as_text(cell) == cell


INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.argv = ["relu-layers", "train", "xor", "--output", {output!r}]
from relu_layers.__main__ import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize(
    "module", ["numpy", "numpy.linalg", "relu_layers.trainer", "click", "relu_layers.cli", "rich.table"]
)
def test_ctrl_c_while_the_program_starts_prints_no_traceback(module: str, tmp_path: Path) -> None:
    """The signal comes while a module is imported, from the first that is not Python's or the package's own."""
    script = INTERRUPTED.format(module=module, output=str(tmp_path / "output"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


STARTING = """
import os, signal, sys
sys.argv = [{name!r}]
{interrupt}
import relu_layers
handler = signal.getsignal(signal.SIGINT)
print(handler is signal.default_int_handler)
"""


def test_a_program_that_imports_the_package_keeps_its_handler() -> None:
    def handled(name: str) -> str:
        script = STARTING.format(name=name, interrupt="")
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip()

    assert (handled("my-program"), handled("/usr/bin/relu-layers")) == ("True", "False")
