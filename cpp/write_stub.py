"""Writes python/relu_layers/_core.pyi: the ops with the types of the reference, and what else the extension has.

usage: python cpp/write_stub.py && ruff format python/relu_layers/_core.pyi
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "python/relu_layers"
STUB = PACKAGE / "_core.pyi"

HEAD = '''"""The compiled extension, which checks its arguments itself. Written by cpp/write_stub.py."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[Any]

version: str
compiler: str

'''

REST = """
def compiled_targets() -> list[str]: ...
def configuration_changed(object: Watched) -> None: ...
def default_num_threads() -> int: ...
def document(function: Callable[..., Any], text: str) -> None: ...
def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]: ...
def num_threads() -> int: ...
def refused_target() -> str | None: ...
def set_num_threads(n: int) -> None: ...
def set_parallel_threshold(nanoseconds: float) -> None: ...
def target() -> str: ...
def targets() -> list[str]: ...
def use_target(name: str) -> bool: ...

class Watched:
    \"\"\"Base of what captures depend on: a public attribute that is set or deleted makes them look again.\"\"\"

    def __init__(self) -> None: ...

class UsageGuard:
    \"\"\"Who may use a model now: any number of inferences, or one thread that trains.

    A clash is a RuntimeError, never a wait. As a context manager it is the exclusive use, which its own thread may
    nest, and in which it may also run inference.
    \"\"\"

    def __init__(self) -> None: ...
    def begin_inference(self) -> None: ...
    def end_inference(self) -> None: ...
    def begin_step(self) -> None: ...
    def end_step(self) -> None: ...
    def parameters_changed(self) -> None: ...
    @property
    def version(self) -> int: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class Capture:
    \"\"\"What the ops of one thread are asked to do between `start` and `stop`, kept instead of done.

    The four arrays, of one batch's shapes, stand for memory that each replay brings along.
    \"\"\"

    def __init__(self, input: object, target: object, sample_weight: object, output: object) -> None: ...
    def start(self, phase: int) -> None: ...
    def stop(self) -> None: ...
    @property
    def failure(self) -> str | None: ...

class TrainingReplay:
    \"\"\"Captured steps of one trainer.\"\"\"

    def __init__(
        self,
        guard: UsageGuard,
        gradients: object,
        sum: object,
        progress: object,
        updates: object,
        last_rate: object,
        optimizer: object,
        constant: type,
        clip_norm: object,
        accumulate: int,
        counters: list[Any],
        watched: list[Watched],
    ) -> None: ...
    def add(self, capture: Capture) -> None: ...
    def find(self, x: object, y: object, sample_weight: object) -> Capture | None: ...
    def renew(self) -> None: ...
    @property
    def current(self) -> bool: ...
    def step(self, x: object, y: object, sample_weight: object) -> float | None: ...
    def stretch(
        self,
        capture: Capture,
        x: object,
        y: object,
        sample_weight: object,
        order: object,
        first_row: int,
        rows: int,
        steps: int,
        seconds: float,
        close_last: bool,
        losses: object,
        penalties: object,
    ) -> tuple[int, int]: ...
    def gradient(
        self,
        capture: Capture,
        x: object,
        y: object,
        sample_weight: object,
        order: object,
        first_row: int,
        rows: int,
    ) -> tuple[float, int, float] | None: ...
    def update(self, capture: Capture, count: int) -> bool: ...

class PassReplay:
    \"\"\"Captured training forwards of one model, and their backwards.\"\"\"

    def __init__(
        self, guard: UsageGuard, gradients: object, counters: list[Any], watched: list[Watched]
    ) -> None: ...
    def add(self, forward: Capture, outputs: object) -> None: ...
    def add_backward(self, backward: Capture, need_dx: bool, accumulate: bool) -> None: ...
    def fits(self, x: object) -> bool: ...
    def renew(self) -> None: ...
    def forget(self) -> None: ...
    def forward(self, x: object) -> NDArray[Any] | None: ...
    def backward(self, dy: object, need_dx: bool, accumulate: bool) -> NDArray[Any] | bool | None: ...
    @property
    def current(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
    @property
    def batch(self) -> NDArray[Any]: ...
    @property
    def version(self) -> int: ...
    @property
    def forwards(self) -> int: ...

class UpdateReplay:
    \"\"\"Captured updates of one optimizer.\"\"\"

    def __init__(
        self, capture: Capture, guards: list[UsageGuard], updates: object, last_rate: object, watched: list[Watched]
    ) -> None: ...
    def renew(self) -> None: ...
    def update(self, rate: float, grad_scale: float, clip_norm: float) -> float: ...
    @property
    def current(self) -> bool: ...

class InferenceReplay:
    \"\"\"Captured inferences of one model.\"\"\"

    def __init__(self, guard: UsageGuard, params: object, watched: list[Watched]) -> None: ...
    def add(self, capture: Capture) -> None: ...
    def count(self, x: object) -> int: ...
    def renew(self) -> None: ...
    @property
    def current(self) -> bool: ...
    def infer(self, x: object, out: object) -> Any: ...
"""


def definitions(path: Path) -> list[ast.FunctionDef]:
    """The functions of a module."""
    return [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]


def stub() -> str:
    """The text of the stub."""
    modules = sorted((PACKAGE / "ops/reference").glob("*.py"))
    ops = {node.name: node for path in modules for node in definitions(path)}
    native = ast.parse((PACKAGE / "ops/native.py").read_text("utf-8")).body
    imported = next(n for n in native if isinstance(n, ast.ImportFrom) and n.module == "relu_layers._core")
    lines = [
        f"def {name}({ast.unparse(ops[name].args)}) -> {ast.unparse(ops[name].returns or ast.Constant(None))}: ...\n"
        for name in (alias.name for alias in imported.names)
    ]
    return HEAD + "".join(lines) + REST


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
