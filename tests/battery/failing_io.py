"""Every call that a save makes of the system fails in turn: open, write, fsync, rename, close; the disk is full.

A failure is an OSError that names the user's file; the old content, or the whole new one, is there and
nothing else. The calls come in the order write, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from common import Part, preloaded

import relu_layers as rl

KINDS = ("open", "write", "fsync", "rename", "close", "fsync of the folder")
EXPECTED_ORDER = "owfcrd"
part = Part("failing I/O")
library = preloaded(part, "io")
library.io_order.restype = ctypes.c_char_p
most = part.size(3, 40)

model = rl.mlp([20, 100, 10], rng=0)
trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(0.01))
history = rl.History()
for epoch in range(2000):
    history.append({"epoch": epoch + 1, "loss": 1.0 / (epoch + 1)})
SAVES: dict[str, Callable[[Path], object]] = {
    "model.npz": model.save,
    "model.safetensors": model.save,
    "model.onnx": model.save,
    "model.h": model.save,
    "model.prototxt": model.save,
    "checkpoint.npz": trainer.save_checkpoint,
    "checkpoint.safetensors": trainer.save_checkpoint,
    "history.csv": history.to_csv,
}


def arm(kind: int = -1, nth: int = 0, error: int = 0, forever: bool = False) -> None:
    library.io_arm(os.fsencode(part.folder) + b"/", kind, nth, error, int(forever))


def saved(path: Path) -> tuple[bytes, list[int]]:
    """Save; return the bytes and how many calls of each kind that took, in the right order."""
    arm()
    SAVES[path.name](path)
    order = library.io_order().decode()
    part.check(order == EXPECTED_ORDER, f"{path.name}: calls in the order {order}", figure="other orders")
    counts = [library.io_count(kind) for kind in range(len(KINDS))]
    library.io_arm(b"", -1, 0, 0, 0)
    return path.read_bytes(), counts


def attempt(path: Path, what: str, must_fail: bool | None, whole: bytes) -> None:
    """Save once under what is armed; None: either way is right."""
    part.count("failures injected")
    raised: BaseException | None = None
    try:
        SAVES[path.name](path)
    except BaseException as error:
        raised = error
    library.io_arm(b"", -1, 0, 0, 0)
    what = f"{path.name}: {what}"
    if must_fail is not None:
        part.check((raised is not None) == must_fail, f"{what}: {'no error' if must_fail else repr(raised)}")
    part.check(raised is None or isinstance(raised, OSError), f"{what}: {raised!r}")
    if isinstance(raised, OSError):
        # The folder may be named where it is the folder that cannot be synced.
        named = {os.fspath(path), os.fspath(path.parent)} & {raised.filename, raised.filename2}
        part.check(
            bool(named), f"{what}: the error names {raised.filename!r}", figure="errors without the path"
        )
    part.check(path.read_bytes() == whole, f"{what}: other content", figure="lost")
    for name in set(os.listdir(path.parent)) - {path.name, "filler"}:
        part.check(False, f"{what}: {name} stays", figure="parts left")
        (path.parent / name).unlink()


def failing_calls(path: Path) -> None:
    whole, counts = saved(path)
    for kind, name in enumerate(KINDS):
        places = range(1, min(counts[kind], most) + 1)
        for nth in places:
            for error in (errno.ENOSPC, errno.EIO):
                for forever in (False, True):
                    arm(kind, nth, error, forever)
                    # What is synced and renamed is saved: a failing close after that may be passed over.
                    attempt(
                        path, f"{name} {nth}: {os.strerror(error)}", None if name == "close" else True, whole
                    )
        if name in ("open", "write"):
            for nth in places:
                arm(kind, nth, errno.EINTR)
                attempt(path, f"{name} {nth} interrupted", False, whole)
        if name == "write":
            for nth in places:
                arm(kind, nth, 0)
                attempt(path, f"{name} {nth} short", False, whole)


def limited_size(path: Path) -> None:
    whole = path.read_bytes()
    for limit in (0, 1, len(whole) // 2, len(whole) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            attempt(path, f"a limit of {limit} bytes", True, whole)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def full_disk() -> None:
    disk = part.folder / "disk"
    disk.mkdir()
    if subprocess.call(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], stderr=subprocess.DEVNULL):
        part.remarks.append("no full disk (mounting is not allowed)")
        return
    try:
        for name in SAVES:
            path = disk / name
            SAVES[name](path)
            whole = path.read_bytes()
            with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
            attempt(path, "a full disk", True, whole)
            for each in disk.iterdir():
                each.unlink()
    finally:
        subprocess.call(["umount", disk])


for figure in ("failures injected", "lost", "wrong", "parts left", "errors without the path"):
    part.count(figure, 0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for name in SAVES:
    folder = part.folder / name.replace(".", "-")
    folder.mkdir()
    failing_calls(folder / name)
    limited_size(folder / name)
full_disk()
part.finish()
