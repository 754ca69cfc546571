"""The program in this process: `call` runs it, `done` expects success; every test has a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call() -> Callable[..., Any]:
    """Run ``relu-layers`` with the arguments and return click's result."""
    testing = pytest.importorskip("click.testing", reason="needs click")
    pytest.importorskip("rich", reason="needs rich")
    from relu_layers.cli import program

    def run(*arguments: object) -> Any:
        given = [str(argument) for argument in arguments]
        return testing.CliRunner().invoke(program, given, terminal_width=80, catch_exceptions=False)

    return run


@pytest.fixture
def done(call: Callable[..., Any]) -> Callable[..., Any]:
    """Run the program, expect exit code 0 and return the result."""

    def run(*arguments: object) -> Any:
        result = call(*arguments)
        assert result.exit_code == 0, result.output
        return result

    return run
