"""The program `relu-layers`: needs click and rich (the extra ``cli``); the package never imports it."""

from __future__ import annotations

import click

from .info import info
from .predict import predict
from .train import train


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def program() -> None:
    """Train ReLU networks on tables, apply them, and see what they run on."""


program.add_command(train)
program.add_command(predict)
program.add_command(info)
