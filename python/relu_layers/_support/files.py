"""Files: written so that a name never stands for half of one, read only where they are regular files."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from os import PathLike
from typing import BinaryIO, NoReturn, TypeAlias

AnyPath: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes]
# A name may have 255 bytes; what a temporary name adds to it has at most 36.
_LONGEST_KEPT = 255 - 36
_MOST_LINKS = 40
# A folder that cannot be synced (some network file systems) says one of these; a failing disk says EIO.
_CANNOT_SYNC = (errno.EINVAL, errno.EBADF, getattr(errno, "ENOTSUP", errno.EINVAL))


def _lock_function() -> Callable[[int], None] | None:
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # Windows, where an open file cannot be removed anyhow
        return None
    return lambda descriptor: flock(descriptor, LOCK_EX | LOCK_NB)


_take_lock = _lock_function()
# Temporary names that threads of this process are writing to now.
_in_use: set[str] = set()


def write_atomically(path: AnyPath, write: Callable[[BinaryIO], object], *, stream: bool = False) -> None:
    """Let ``write`` fill a temporary file in the folder of ``path``, sync it and rename it over ``path``.

    A symbolic link stays one: the file that it points at is replaced. The new file takes the mode of the one it
    replaces, and its owner and group where that is allowed. When anything is raised before the renaming, Ctrl-C
    included, the temporary file is removed and what was at ``path`` is as before. Temporary files that killed
    processes left for the same name are removed.

    Parameters
    ----------
    path : str, bytes or path-like
    write : callable
        Takes the open, seekable binary file; need neither flush nor close it; what it returns does not matter.
    stream : bool, keyword
        What is no regular file (a device, a FIFO, ``/dev/stdout``) is never replaced: whether it is written to,
        as tables and texts are, or refused.

    Raises
    ------
    OSError
        The folder is missing or not writable, the disk is full, what is there is read-only, a folder or, without
        ``stream``, no regular file; or the folder cannot be synced after the renaming. It names ``path``, not the
        temporary file.
    """
    shown = os.fsdecode(path)
    here = _existing(shown)
    descriptor = _descriptor(shown)
    if descriptor is not None or (here is not None and not stat.S_ISREG(here.st_mode)):
        if not stream:
            raise OSError(errno.EINVAL, "not a regular file, so it cannot be replaced by one", shown)
        _write_through(shown, descriptor, write)
        return
    if here is not None and (not here.st_mode & 0o222 or not os.access(shown, os.W_OK)):
        raise PermissionError(errno.EACCES, "the file is read-only", shown)
    target = os.path.realpath(shown)
    folder, name = os.path.split(target)
    remove_strays(folder, name)
    part = temporary_name(target)
    file: BinaryIO | None = None
    held = None
    try:
        _in_use.add(part)
        # Named before it is there, so that an interrupt at any place finds what to remove. A new file gets the
        # permissions that any new file would get, one that replaces another at first those of its owner alone.
        with open(part, "xb", opener=_creator(0o666 if here is None else 0o600)) as file:
            held = _locked_copy(file.fileno())
            write(file)
            file.flush()
            if here is not None:
                _take_owner_and_mode(file.fileno(), here)
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException as error:
        with suppress(OSError):
            if file is not None:  # an interrupt at the end of the block comes before it is closed
                file.close()
        with suppress(OSError):
            os.unlink(part)
        if isinstance(error, OSError):
            _raise_for(shown, part, error)
        raise
    finally:
        if held is not None:
            os.close(held)
        _in_use.discard(part)
    try:
        _sync_folder(folder)
    except OSError as error:
        _raise_for(shown, folder, error)


def write_folder_atomically(path: AnyPath, write: Callable[[str], object]) -> None:
    """Let ``write`` fill a temporary folder beside ``path``, given its name, and put it in place of ``path``.

    Folders above are made. When anything is raised, Ctrl-C included, the temporary folder is removed and what was at
    ``path`` is as before. Temporary folders that killed processes left for the same name are removed.
    """
    target = os.path.realpath(os.fsdecode(path))
    above, name = os.path.split(target)
    os.makedirs(above, exist_ok=True)
    remove_strays(above, name)
    # Folders are not replaced by renaming another over them: the old one is moved aside until the new one is there.
    part, aside = temporary_name(target), temporary_name(target)
    held = None
    try:
        _in_use.update((part, aside))
        os.mkdir(part)
        held = _locked_folder(part)
        write(part)
        with suppress(FileNotFoundError):
            os.replace(target, aside)
        os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            _remove(part)
        if not os.path.lexists(target):
            with suppress(OSError):
                os.replace(aside, target)
        raise
    finally:
        if os.path.lexists(target):  # else what is aside is all there is
            with suppress(OSError):
                _remove(aside)
        if held is not None:
            os.close(held)
        _in_use.difference_update((part, aside))


def write_text(path: AnyPath, text: str) -> None:
    """Write a text as UTF-8 by `write_atomically`, also to what is no regular file."""
    write_atomically(path, lambda file: file.write(text.encode()), stream=True)


def open_regular(path: AnyPath) -> BinaryIO:
    """Return a regular file, open for reading.

    A device would be read without end and a FIFO wait for ever: they are a ValueError. A folder and a file that
    is not there are the OSError of `open`.
    """
    shown = os.fsdecode(path)
    check_regular(shown)
    # Not blocking, in case that a FIFO has taken its place.
    flags = (
        os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    )
    file = open(shown, "rb", opener=lambda name, _: os.open(name, flags))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(_not_regular(shown))
    return file


def check_regular(path: AnyPath) -> None:
    """Raise what `open_regular` raises for a path that another library is to open."""
    shown = os.fsdecode(path)
    mode = os.stat(shown).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), shown)
    if not stat.S_ISREG(mode):
        raise ValueError(_not_regular(shown))


def temporary_name(target: str) -> str:
    """Return a new name beside ``target``, hidden, that says whose it is: ``.NAME.PID-HEX.part``."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{_kept_part(name)}.{os.getpid()}-{os.urandom(8).hex()}.part")


def remove_strays(folder: str, name: str) -> None:
    """Remove what processes that are dead left under the temporary names of ``name``; never raises an OSError.

    Dead is a process that is not there on this machine and whose lock on the file has gone with it: a process on
    another machine, or in another container, that writes into a shared folder still holds its lock.
    """
    pattern = re.compile(rf"\.{re.escape(_kept_part(name))}\.([0-9]{{1,10}})-[0-9a-f]{{16}}\.part")
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return
    for found in names:
        match = pattern.fullmatch(found)
        path = os.path.join(folder, found)
        if match is not None and path not in _in_use and not _is_another(int(match[1])):
            with suppress(OSError):
                _remove_unlocked(path)


def lock(descriptor: int) -> bool:
    """Mark an open file or folder as in use until it is closed or the process ends; return whether it is."""
    if _take_lock is None:
        return False
    try:
        _take_lock(descriptor)
    except OSError:
        return False
    return True


def _locked_copy(descriptor: int) -> int | None:
    """Return a descriptor that keeps a file locked after ``descriptor`` is closed, None if it cannot be locked."""
    return os.dup(descriptor) if lock(descriptor) else None


def _locked_folder(path: str) -> int | None:
    """Return a descriptor that keeps a folder locked, None if it cannot be locked."""
    if _take_lock is None:
        return None
    opened = os.open(path, os.O_RDONLY)
    if lock(opened):
        return opened
    os.close(opened)
    return None


def _kept_part(name: str) -> str:
    """Return the part of a temporary name that stands for ``name``: itself where that is short enough."""
    encoded = os.fsencode(name)
    if len(encoded) <= _LONGEST_KEPT:
        return name
    import hashlib  # slow to import, and rarely needed

    return hashlib.sha256(encoded).hexdigest()[:32]


def _existing(path: str) -> os.stat_result | None:
    """Return what is at ``path``, None if a new file can be made there."""
    if not os.path.basename(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    try:
        here = os.stat(path)
    except FileNotFoundError:
        folder = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(folder):
            shown = os.path.dirname(path) or folder
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {shown}", path) from None
        return None
    if stat.S_ISDIR(here.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return here


def _descriptor(path: str) -> int | None:
    """Return the open file of this process that ``path`` stands for, as ``/dev/stdout`` does, else None."""
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder)
        # Where /dev/stdout and /dev/fd/3 end, on Linux and elsewhere.
        if folder in (f"/proc/{os.getpid()}/fd", "/dev/fd") and name.isdecimal():
            return int(name)
        try:
            path = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:
            return None
    return None


def _write_through(path: str, descriptor: int | None, write: Callable[[BinaryIO], object]) -> None:
    """Write to what is no regular file, all of it once it is complete."""
    content = io.BytesIO()
    write(content)
    try:
        # A descriptor goes on where it is, as the shell's >> wants it; opening its name would cut the file off.
        opened = os.dup(descriptor) if descriptor is not None else os.open(path, os.O_WRONLY)
        with open(opened, "wb") as file:
            file.write(content.getbuffer())
    except OSError as error:
        _raise_for(path, "", error)


def _creator(mode: int) -> Callable[[str, int], int]:
    return lambda name, flags: os.open(name, flags, mode)


def _take_owner_and_mode(descriptor: int, former: os.stat_result) -> None:
    """Give a new file owner, group and permissions of the one that it will replace."""
    if not hasattr(os, "fchown"):
        return
    mode = former.st_mode & 0o777
    try:
        os.fchown(descriptor, former.st_uid, former.st_gid)
    except OSError:
        try:
            os.fchown(descriptor, -1, former.st_gid)
        except OSError:
            if os.fstat(descriptor).st_gid != former.st_gid:
                # What the former group might do is not for another group.
                mode &= 0o707
    os.fchmod(descriptor, mode)


def _raise_for(path: str, part: str, error: OSError) -> NoReturn:
    """Raise ``error`` with the name that the user knows."""
    if error.errno is None or error.filename not in (None, part):
        raise error
    raise OSError(error.errno, error.strerror, path) from None


def _sync_folder(folder: str) -> None:
    """Make a renaming outlast a power failure, where the system can."""
    if os.name != "posix":
        return
    try:
        opened = os.open(folder, os.O_RDONLY)
    except PermissionError:  # may be written, not listed
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(opened)


def _is_another(process: int) -> bool:
    """Return whether there is such a process on this machine beside this one, or that cannot be known."""
    if os.name != "posix" or process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _remove_unlocked(path: str) -> None:
    """Remove a file or folder that nobody has locked."""
    if _take_lock is None:
        _remove(path)
        return
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if lock(opened):
            _remove(path)
    finally:
        os.close(opened)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil  # slow to import, and rarely needed

        shutil.rmtree(path, ignore_errors=True)
    else:
        os.unlink(path)


def _not_regular(path: str) -> str:
    return f"{path} is not a regular file (but a device, FIFO or socket), which is needed here"


__all__ = [
    "AnyPath",
    "check_regular",
    "lock",
    "open_regular",
    "remove_strays",
    "temporary_name",
    "write_atomically",
    "write_folder_atomically",
    "write_text",
]
