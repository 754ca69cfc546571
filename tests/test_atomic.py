"""A file is there whole or not at all."""

from __future__ import annotations

import errno
import inspect
import os
import stat
import sys
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import pytest

from relu_layers._support.files import write_atomically, write_folder_atomically


def test_the_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    for content in (b"first", b"second, longer"):
        write_atomically(os.fspath(path), lambda file, content=content: file.write(content))
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def half(file: BinaryIO) -> None:
        file.write(b"ne")
        raise error

    with pytest.raises(error):
        write_atomically(os.fspath(path), half)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_the_old_content_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    seen = []

    def write(file: BinaryIO) -> None:
        file.write(b"new")
        file.flush()
        seen.append(path.read_bytes())

    write_atomically(os.fspath(path), write)
    assert (seen, path.read_bytes()) == ([b"old"], b"new")


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name != "posix", reason="needs symbolic links")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.bin", tmp_path / "link.bin"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(os.fspath(link), lambda file: file.write(b"new"))
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_atomically(os.fspath(tmp_path / "nowhere" / "file.bin"), lambda file: None)


def test_a_folder_is_replaced_and_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    pid = os.fork() if hasattr(os, "fork") else 0
    if hasattr(os, "fork"):
        if pid == 0:

            def end(part: str) -> None:
                (Path(part) / "x").write_text("half")
                os._exit(9)

            write_folder_atomically(target, end)
        os.waitpid(pid, 0)
        (left,) = os.listdir(tmp_path)
        assert left.startswith(f".kept.{pid}-")
    for content in ("first", "second"):
        write_folder_atomically(target, lambda part, content=content: (Path(part) / "x").write_text(content))
        assert os.listdir(tmp_path) == ["kept"]
        assert (target / "x").read_text() == content
    with pytest.raises(KeyboardInterrupt):
        write_folder_atomically(target, lambda _: _interrupt())
    assert os.listdir(tmp_path) == ["kept"]
    assert (target / "x").read_text() == "second"


def test_a_folder_is_the_old_or_the_new_one_wherever_an_interrupt_comes(tmp_path: Path) -> None:
    """At every line of the writing up to where it cleans up: the old folder was removed before the new one came."""
    target = tmp_path / "kept"
    lines, start = inspect.getsourcelines(write_folder_atomically)
    cleaning = start + next(i for i, line in enumerate(lines) if "except BaseException" in line)
    place = interrupts = 0
    done = False

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code is write_folder_atomically.__code__ and event == "line" and frame.f_lineno < cleaning:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    while not done:
        place += 1
        left, former = place, sys.gettrace()
        write_folder_atomically(target, lambda part: (Path(part) / "x").write_text("old"))
        sys.settrace(trace)
        try:
            write_folder_atomically(target, lambda part: (Path(part) / "x").write_text("new"))
            done = True
        except KeyboardInterrupt:
            interrupts += 1
        finally:
            sys.settrace(former)
        assert os.listdir(tmp_path) == ["kept"]
        assert (target / "x").read_text() == ("new" if done else "old")
    assert interrupts > 10


def test_an_old_folder_that_cannot_be_put_back_is_kept_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, replace = tmp_path / "kept", os.replace
    write_folder_atomically(target, lambda part: (Path(part) / "x").write_text("old"))

    def refuse_the_target(source: str, destination: str) -> None:
        if Path(destination) == target:
            raise OSError(errno.EIO, "gone")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", refuse_the_target)
    with pytest.raises(OSError, match="gone"):
        write_folder_atomically(target, lambda part: (Path(part) / "x").write_text("new"))
    (aside,) = tmp_path.iterdir()
    assert (aside / "x").read_text() == "old"


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.skipif(os.name != "posix", reason="folders are synced on POSIX systems")
def test_a_folder_that_cannot_be_synced_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    path = tmp_path / "file.bin"
    with pytest.raises(OSError, match="Input/output error") as caught:
        write_atomically(path, lambda file: file.write(b"new"))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"new"
