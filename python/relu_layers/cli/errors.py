"""How the program fails: one clear line on stderr and an exit code, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


class Problem(click.ClickException):
    """Something the user can put right; ends the program with exit code 1 and ``Error: message``."""

    def show(self, file: object = None) -> None:
        """Print the message on stderr."""
        click.echo(f"Error: {self.format_message()}", err=True)


@contextmanager
def readable() -> Iterator[None]:
    """Turn the errors of bad data, files and options into a `Problem` with their message; Ctrl-C into 130."""
    try:
        yield
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(130) from None
    except (ValueError, TypeError, IndexError, ImportError, ArithmeticError) as error:
        raise Problem(str(error)) from error
    except MemoryError as error:
        raise Problem(f"out of memory: {error}" if str(error) else "out of memory") from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Problem(f"{where}{error.strerror or error}") from error
