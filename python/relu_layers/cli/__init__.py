"""The program `relu-layers`: needs click and rich (the extra ``cli``); the package never imports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click

_NAMES = ("train", "predict", "info", "bench", "gradcheck", "doctor", "explain", "convert", "inspect")


class _Commands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is first asked for: all together take longer than most runs."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in _NAMES:
            raise KeyError(name)
        command: click.Command = getattr(import_module(f"relu_layers.cli.{name}"), name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


# Nothing adds a command to the program.
_commands: Any = _Commands()


@click.group(
    commands=_commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="relu_layers", prog_name="relu-layers")
def program() -> None:
    """Train ReLU networks on tables, apply them, and inspect files and the installation.

    Completion of bash: eval "$(_RELU_LAYERS_COMPLETE=bash_source relu-layers)"; zsh_source and fish_source likewise.
    """
