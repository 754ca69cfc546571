"""Write docs/command-line.md from the commands themselves: ``python docs/write_command_page.py``.

Every section is what ``relu-layers COMMAND --help`` prints in a terminal of 80 columns; a test compares the two, so run
this after a change to a command.
"""

from __future__ import annotations

from pathlib import Path

import click

from relu_layers.cli import program

PAGE = Path(__file__).resolve().parent / "command-line.md"
START = """# Command line

For readers who want to look an option up, or to see all that the command can do before they install the extra `cli`
([install](install.md)). [Your own table](your-own-table.md) shows the commands at work. What follows is what
`relu-layers COMMAND --help` prints.
"""
# In the order in which a reader meets them.
ORDER = ("train", "predict", "inspect", "convert", "explain", "gradcheck", "doctor", "info", "bench")


def help_of(*names: str) -> str:
    """Return the help of ``relu-layers`` or of one of its commands, as a terminal of 80 columns shows it."""
    command: click.Command = program
    context = click.Context(program, info_name="relu-layers", **settings(program))
    for name in names:
        command = program.commands[name]
        context = click.Context(command, info_name=name, parent=context, **settings(command))
    return command.get_help(context).rstrip() + "\n"


def settings(command: click.Command) -> dict[str, object]:
    """Return a command's own settings of its context, in a terminal of 80 columns."""
    return {**command.context_settings, "terminal_width": 78}


def page() -> str:
    """Return the whole page."""
    assert set(ORDER) == set(program.commands)
    sections = [START, f"```text\n{help_of()}```\n"]
    for name in ORDER:
        sections += [f"## {name}\n", f"```text\n{help_of(name)}```\n"]
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
