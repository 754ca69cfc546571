"""What libraries raise over damaged files, as one kind of error."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

# Of the machine, not of the file.
_ELSEWHERE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@contextmanager
def damage_as_value_error(told: str) -> Iterator[None]:
    """Turn any error within into a ValueError: ``told``, a colon and the first line of its message.

    What is not the file's fault stays as it is: no memory, a full or failing disk, a package that is missing, and
    a ValueError that has been told already.
    """
    try:
        yield
    except (MemoryError, ImportError, ToldError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _ELSEWHERE:
            raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ToldError(f"{told}: {reason}") from None


class ToldError(ValueError):
    """A ValueError that names its file already."""
