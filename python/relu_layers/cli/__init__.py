"""The program `relu-layers`: needs click and rich (the extra ``cli``); the package never imports it."""

from __future__ import annotations

import click

from relu_layers.cli.bench import bench
from relu_layers.cli.convert import convert
from relu_layers.cli.doctor import doctor
from relu_layers.cli.explain import explain
from relu_layers.cli.gradcheck import gradcheck
from relu_layers.cli.info import info
from relu_layers.cli.inspect import inspect
from relu_layers.cli.predict import predict
from relu_layers.cli.train import train


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="relu_layers", prog_name="relu-layers")
def program() -> None:
    """Train ReLU networks on tables, apply them, and inspect files and the installation.

    Completion of bash: eval "$(_RELU_LAYERS_COMPLETE=bash_source relu-layers)"; zsh_source and fish_source likewise.
    """


program.add_command(train)
program.add_command(predict)
program.add_command(info)
program.add_command(bench)
program.add_command(gradcheck)
program.add_command(doctor)
program.add_command(explain)
program.add_command(convert)
program.add_command(inspect)
