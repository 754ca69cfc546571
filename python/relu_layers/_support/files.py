"""Writing a file so that its name never stands for half of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary file in the folder of ``path``, sync it and rename it over ``path``.

    A symbolic link stays one: the file that it points at is replaced. When anything is raised, the temporary
    file is removed and what was at ``path`` is as before.

    Parameters
    ----------
    path : str
    write : callable
        Takes the open, seekable binary file; need neither flush nor close it; what it returns does not matter.

    Raises
    ------
    OSError
        The folder is missing or not writable, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    # Created by open itself, so that the file gets the permissions that any new file would get.
    with part.open("xb") as file:
        try:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(part, target)
        except BaseException:
            file.close()
            part.unlink(missing_ok=True)
            raise
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
