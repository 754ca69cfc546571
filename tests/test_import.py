"""What importing the package loads, in new processes: what a program does not use must not cost it time."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A program that trains.
TRAINER = (
    "import relu_layers as rl\n"
    "model = rl.mlp([2, 30, 1])\n"
    "trainer = rl.Trainer(model, rl.SigmoidCrossEntropy(), rl.SGD(0.1, momentum=0.9))\n"
)
# Slow to import, and needed for messages, files, copies of classes or commands alone.
SLOW = {
    "dataclasses",
    "difflib",
    "json",
    "pathlib",
    "importlib.metadata",
    "importlib.resources",
    "urllib.parse",
}


def run(code: str) -> str:
    """Return what a new process prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded(code: str) -> set[str]:
    """Return the modules that are there after a program, without those that NumPy brings with its generators."""
    before = "import sys, numpy.random\nbefore = set(sys.modules)\n"
    return set(run(f"{before}{code}\nprint(*sorted(set(sys.modules) - before))").split())


def own(modules: set[str]) -> set[str]:
    return {name.removeprefix("relu_layers.") for name in modules if name.startswith("relu_layers.")}


def test_the_package_alone_loads_little_of_itself() -> None:
    found = loaded("import relu_layers")
    support = {f"_support.{name}" for name in ("arguments", "arrays", "program", "spelling")}
    without = {name for name in own(found) if name != "ops" and not name.startswith("ops.")}
    assert without == {"_core", "_support", *support, "layers", "layers.built_in", "runtime"}
    assert not found & SLOW


def test_a_program_that_trains_loads_what_trains() -> None:
    found = loaded(TRAINER)
    modules = own(found)
    assert {"trainer", "model", "losses", "optimizers.rules"} <= modules
    layers = {name.removeprefix("layers.") for name in modules if name.startswith("layers.")}
    built = {"dense", "dropout", "log_softmax", "relu", "sigmoid", "softmax"}
    assert layers == {"base", "built_in", "mapping", *built}
    # Files and texts.
    others = {
        "_engine.summary",
        "_files",
        "_support.files",
        "_support.text_table",
        "checkpoint",
    }
    assert not modules & others
    assert not found & SLOW


def test_the_command_info_loads_no_model() -> None:
    pytest.importorskip("click")
    pytest.importorskip("rich")
    code = (
        "import sys, relu_layers.__main__ as program\n"
        "sys.argv = ['relu-layers', 'info']\n"
        "try:\n    program.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('modules:', *sorted(sys.modules))"
    )
    found = set(run(code).split("modules:")[1].split())
    assert own(found) >= {"cli.info", "runtime"}
    assert not own(found) & {"checkpoint", "losses", "model", "optimizers", "sources", "trainer"}
    assert not found & {"pathlib", "rich"}


def test_commands_import_generators_before_an_interrupt_raises() -> None:
    """Cython clears a KeyboardInterrupt that comes while it makes a module, so that the command would go on."""
    pytest.importorskip("click")
    code = (
        "import sys\n"
        "from relu_layers.cli import errors\n"
        "def look(): assert 'numpy.random' in sys.modules; print('looked')\n"
        "errors.take_interrupts = look\n"
        "with errors.readable(): pass\n"
    )
    assert run(code).strip() == "looked"


def test_all_names_are_there_when_they_are_asked_for() -> None:
    assert run("import relu_layers as rl\nprint([n for n in rl.__all__ if n not in dir(rl)])").strip() == "[]"
    run("from relu_layers import *\nDense, GELU, Huber, mlp, ops.relu_forward, schedules.Step, Trainer")
    for module, names in (
        ("layers", "BUILT_IN, Layer, LogSoftmax, ParameterLayer"),
        ("layers.built_in", "LogSoftmax"),
        ("ops", "FUSES_RELU, native, reference, relu_forward"),
    ):
        run(f"from relu_layers.{module} import {names}")
        run(
            f"from relu_layers.{module} import *\nLogSoftmax" if module != "ops" else "import relu_layers.ops"
        )
        wrong = f"import relu_layers.{module} as m\ntry: m.nothing\nexcept AttributeError as e: print(e)"
        assert run(wrong).strip() == f"module 'relu_layers.{module}' has no attribute 'nothing'"


def test_an_op_has_its_docstring_however_it_is_reached() -> None:
    for way in (
        "import relu_layers as rl; op = rl.ops.relu_forward",
        "from relu_layers.ops import relu_forward as op",
        "from relu_layers.ops.native import relu_forward as op",
        "import relu_layers as rl; op = rl.mlp([2, 2]).ops.relu_forward",
        "import relu_layers as rl; rl.ops.reference; op = vars(rl.ops).get('relu_forward') or rl.ops.relu_forward",
    ):
        assert run(f"{way}; print(op.__doc__)").startswith("Rectify: "), way


def test_what_is_put_in_place_of_a_function_first_of_all_is_called() -> None:
    """Before there is a model, and before anything has been computed."""
    for place in ("rl.ReLU", "rl.layers.ReLU"):
        assert (
            run(
                "import numpy as np, relu_layers as rl\n"
                f"own = {place}.forward\n"
                f"{place}.forward = lambda *given, **named: (print('called'), own(*given, **named))[1]\n"
                "model = rl.mlp([2, 3, 1])\n"
                "for _ in range(4): model(np.ones((2, 2), np.float32))\n"
            ).split()
            == ["called"] * 4
        )
    assert run(
        "import numpy as np, relu_layers as rl\n"
        "rl.ops.relu_forward = lambda *given, **named: 'mine'\n"
        "rl.ops.dense_forward\n"
        "print(rl.ops.relu_forward(np.ones(2)))\n"
    ).split() == ["mine"]


def test_threads_that_ask_first_get_the_same() -> None:
    code = (
        "import sys, threading, relu_layers as rl\n"
        "sys.setswitchinterval(1e-6)\n"
        "start, found = threading.Barrier(8), []\n"
        "def ask():\n"
        "    start.wait()\n"
        "    op, kinds = rl.ops.relu_forward, rl.layers.BUILT_IN\n"
        "    found.append((rl.Trainer, rl.GELU, rl.SGD, rl.mlp, op, op.__doc__[:7], id(kinds), len(kinds)))\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "for one in threads: one.start()\n"
        "for one in threads: one.join()\n"
        "print(len(found), len(set(found)), found[0][5:])\n"
    )
    for _ in range(3):
        count, different, name, *_ = run(code).split()
        assert (count, different, name) == ("8", "1", "('Rectify',")
