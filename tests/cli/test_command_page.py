"""docs/command-line.md says what the commands say themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner

from relu_layers.cli import program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "command-line.md"
BLOCKS = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_every_command_has_its_help_on_the_page() -> None:
    # Versions of click break lines at other places.
    shown = {" ".join(block.split()) for block in BLOCKS}
    for names in ([], *([name] for name in program.commands)):
        printed = CliRunner().invoke(program, [*names, "--help"], prog_name="relu-layers").output
        assert " ".join(printed.split()) in shown, f"run python docs/write_command_page.py: {names}"
    assert len(shown) == len(program.commands) + 1


def test_help_fits_a_terminal_of_80_columns() -> None:
    for block in BLOCKS:
        assert max(map(len, block.splitlines())) < 80
