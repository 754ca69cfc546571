"""Errors that libraries raise over damaged files, as one kind."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

# Of the machine, not of the file.
_MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@contextmanager
def damage_as_value_error(message: str) -> Iterator[None]:
    """Turn any error within into a ValueError: ``message``, a colon and the first line of its message.

    What is not the file's fault stays as it is: no memory, a full or failing disk, a package that is missing, and
    an error that names the file already.
    """
    try:
        yield
    except (MemoryError, ImportError, NamedFileError):
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise NamedFileError(f"{message}: {reason}") from None


def is_of_the_machine(error: BaseException) -> bool:
    """Return whether an error is one of a full or failing disk, or of too many open files."""
    return isinstance(error, OSError) and error.errno in _MACHINE_ERRORS


class NamedFileError(ValueError):
    """A ValueError that names its file already."""
