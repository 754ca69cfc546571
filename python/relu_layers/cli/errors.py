"""How the program fails: one clear line on stderr and an exit code, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relu_layers._support.program import take_interrupts

if TYPE_CHECKING:
    from relu_layers.sources.csv_form import FormError


class Problem(click.ClickException):
    """Something the user can put right; ends the program with exit code 1 and ``Error: message``."""

    def show(self, file: object = None) -> None:
        """Print the message on stderr."""
        click.echo(f"Error: {self.format_message()}", err=True)


@contextmanager
def readable() -> Iterator[None]:
    """Turn the errors of bad data, files and options into a `Problem` with their message; Ctrl-C into 130."""
    # What every command needs, before Ctrl-C raises: Cython clears an exception that comes while it makes a module.
    import numpy.random  # noqa: F401

    take_interrupts()
    try:
        yield
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(130) from None
    except (ValueError, TypeError, IndexError, ImportError, ArithmeticError) as error:
        raise Problem(_with_option(error)) from error
    except MemoryError as error:
        raise Problem(f"out of memory: {error}" if str(error) else "out of memory") from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Problem(f"{where}{error.strerror or error}") from error


def _with_option(error: Exception) -> str:
    """Return the message; one that says how a file is written names the option in place of Python's argument."""
    from relu_layers.sources.csv_form import FormError

    if not isinstance(error, FormError):
        return str(error)
    return f"{error.problem}: {' '.join(filter(None, form_option(error)))} may read it"


def form_option(error: FormError) -> tuple[str, str]:
    """Return the option that says what a `FormError` asks for."""
    name = error.name.replace("_", "-")
    return ("--no-header", "") if name == "header" else (f"--{name}", str(error.value))


def refuse_overwriting(output: str | None, *inputs: str) -> None:
    """Raise a `Problem` if ``output`` is one of the files that are read."""
    for name in inputs:
        path = Path(name)
        if output is not None and path.is_file() and Path(output).exists() and path.samefile(output):
            raise Problem(f"{output} is read as well, and would be lost: write to another file")
