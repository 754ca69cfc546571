"""What is at a name decides how it is written and read: modes, links, devices, leftovers, long and odd names."""

from __future__ import annotations

import csv
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

import relu_layers as rl
from relu_layers._support import files
from relu_layers._support.files import open_regular, temporary_name, write_atomically
from relu_layers.cli.report import write_csv
from relu_layers.history import History

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes, links, FIFOs and signals of POSIX")

MODEL = rl.mlp([3, 4, 2], rng=0)
TRAINER = rl.Trainer(rl.mlp([3, 4, 2], rng=0), rl.SoftmaxCrossEntropy(), rl.Adam(0.01))


def history() -> History:
    made = History()
    made.append({"loss": 0.5, "dead_units": (1, 2)})
    made.append({"loss": 0.25, "dead_units": (0, 3)})
    return made


def explanation() -> Any:
    return rl.explain(MODEL, np.ones((2, 3), np.float32), np.array([0, 1]), loss=rl.SoftmaxCrossEntropy())


# Name of the file -> what writes it: models refuse what is no regular file, the others write into it.
MODELS: dict[str, Callable[[Any], object]] = {
    "model.npz": MODEL.save,
    "model.safetensors": MODEL.save,
    "model.onnx": MODEL.save,
    "model.prototxt": MODEL.save,
    "model.h": lambda path: MODEL.save(path, name="net"),
    "checkpoint.npz": TRAINER.save_checkpoint,
    "checkpoint.safetensors": TRAINER.save_checkpoint,
}
OTHERS: dict[str, Callable[[Any], object]] = {
    "history.csv": lambda path: history().to_csv(path),
    "history.png": lambda path: history().plot(path),
    "page.html": lambda path: explanation().save_html(path),
    "page.md": lambda path: explanation().save_markdown(path),
    "page.json": lambda path: explanation().save_json(path),
    "predictions.csv": lambda path: write_csv(path, ["a"], [[1], [2]]),
}
ALL = {**MODELS, **OTHERS}
every = pytest.mark.parametrize("name", ALL)
every_model = pytest.mark.parametrize("name", MODELS)
every_other = pytest.mark.parametrize("name", OTHERS)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Callable[[str], tuple[Path, list[bytes]]]]:
    """Make a FIFO with a reader, which keeps what came; joined at the end."""
    readers = []

    def make(name: str) -> tuple[Path, list[bytes]]:
        path, came = tmp_path / name, list[bytes]()
        os.mkfifo(path)
        reader = threading.Thread(target=lambda: came.append(path.read_bytes()), daemon=True)
        reader.start()
        readers.append((reader, path))
        return path, came

    yield make
    for reader, path in readers:
        if reader.is_alive():
            os.close(os.open(path, os.O_WRONLY))  # lets a reader go that nobody wrote to
        reader.join(10)


@every_model
def test_models_refuse_a_fifo(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(OSError, match="regular file") as caught:
        ALL[name](tmp_path / name)
    assert name in str(caught.value)
    assert stat.S_ISFIFO(os.lstat(tmp_path / name).st_mode)
    assert os.listdir(tmp_path) == [name]


@every_other
def test_tables_pictures_and_texts_go_into_a_fifo(fifo: Any, tmp_path: Path, name: str) -> None:
    path, came = fifo(name)
    ALL[name](path)
    (tmp_path / "plain").mkdir()
    ALL[name](tmp_path / "plain" / name)
    assert stat.S_ISFIFO(os.lstat(path).st_mode)
    for _ in range(1000):
        if came:
            break
        threading.Event().wait(0.01)
    expected = (tmp_path / "plain" / name).read_bytes()
    assert came == [expected]


@every
def test_a_link_to_a_device_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(os.devnull)
    before = os.stat(os.devnull)
    if name in MODELS:
        with pytest.raises(OSError, match="regular file"):
            ALL[name](tmp_path / name)
    else:
        ALL[name](tmp_path / name)
    assert os.readlink(tmp_path / name) == os.devnull
    assert os.stat(os.devnull).st_rdev == before.st_rdev
    assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="needs /dev/fd")
@pytest.mark.parametrize("append", [False, True])
def test_an_open_file_is_written_where_it_is(tmp_path: Path, append: bool) -> None:
    """As ``command --output /dev/stdout >> file`` wants it: what is before stays."""
    path = tmp_path / "out.csv"
    path.write_bytes(b"before\n")
    opened = os.open(path, os.O_WRONLY | (os.O_APPEND if append else 0))
    try:
        os.lseek(opened, 0, os.SEEK_END)
        history().to_csv(f"/dev/fd/{opened}")
        with pytest.raises(OSError, match="regular file"):
            write_atomically(f"/dev/fd/{opened}", lambda file: file.write(b"model"))
    finally:
        os.close(opened)
    lines = path.read_text().splitlines()
    assert (lines[0], len(lines)) == ("before", 4)
    assert os.listdir(tmp_path) == ["out.csv"]


@every
@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_the_mode_stays(tmp_path: Path, name: str, mode: int) -> None:
    path = tmp_path / name
    ALL[name](path)
    path.chmod(mode)
    ALL[name](path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@every
def test_a_new_file_has_the_mode_of_new_files(tmp_path: Path, name: str) -> None:
    former = os.umask(0o027)
    try:
        ALL[name](tmp_path / name)
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_stays_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    MODEL.save(path)
    os.chown(path, 12345, 54321)
    MODEL.save(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_another_group_does_not_get_the_rights_of_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.npz"
    MODEL.save(path)
    path.chmod(0o664)
    here = os.stat(path)

    def refuse(*_: object) -> None:
        raise PermissionError("not allowed")

    class OfAnotherGroup:
        st_mode, st_uid, st_gid = here.st_mode, here.st_uid, here.st_gid + 1

    monkeypatch.setattr(files.os, "fchown", refuse)
    monkeypatch.setattr(files, "_existing", lambda _: OfAnotherGroup)
    MODEL.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@every
def test_a_read_only_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"kept")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="read-only") as caught:
        ALL[name](path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"kept"
    assert os.listdir(tmp_path) == [name]


@every
def test_a_loop_of_links_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "other").symlink_to(name)
    (tmp_path / name).symlink_to("other")
    with pytest.raises(OSError) as caught:
        ALL[name](tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "other"])


@every
def test_a_link_to_a_name_that_is_free_is_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / name).symlink_to(f"folder/there-{name}")
    ALL[name](tmp_path / name)
    assert (tmp_path / name).is_symlink()
    assert os.listdir(tmp_path / "folder") == [f"there-{name}"]


@every
def test_a_missing_folder_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere") as caught:
        ALL[name](tmp_path / "nowhere" / name)
    assert caught.value.filename == str(tmp_path / "nowhere" / name)
    assert ".part" not in str(caught.value)


@every
def test_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        ALL[name](tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)


@every
def test_names_of_255_bytes(tmp_path: Path, name: str) -> None:
    long = ("\u00e9" * 127 + "x")[: -len(name)] + name
    long = "x" * (255 - len(os.fsencode(long))) + long
    assert len(os.fsencode(long)) == 255
    ALL[name](tmp_path / long)
    ALL[name](tmp_path / long)
    assert os.listdir(tmp_path) == [long]
    with pytest.raises(OSError) as caught:
        ALL[name](tmp_path / ("x" + long))
    assert ".part" not in str(caught.value)


class APath:
    def __init__(self, path: Any) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        return self.path


@every
@pytest.mark.parametrize("make", [os.fsencode, APath, lambda path: APath(os.fsencode(path))])
def test_paths_of_every_kind(tmp_path: Path, name: str, make: Callable[[str], Any]) -> None:
    ALL[name](make(str(tmp_path / name)))
    assert os.listdir(tmp_path) == [name]
    if name in ("model.npz", "model.safetensors", "model.onnx"):
        assert np.array_equal(rl.load(make(str(tmp_path / name))).flat_params, MODEL.flat_params)
    if name.startswith("checkpoint"):
        assert rl.Trainer.restore(make(str(tmp_path / name))).steps == TRAINER.steps


@pytest.mark.skipif(sys.platform == "darwin", reason="names there are Unicode")
@pytest.mark.parametrize("name", ["model.npz", "model.safetensors", "history.csv", "history.png"])
def test_names_that_are_no_text(tmp_path: Path, name: str) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe " + name.encode()
    ALL[name](path)
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe " + name.encode()]


# --- a full disk, an interrupt, a kill ---


@contextmanager
def small_files() -> Iterator[None]:
    """Let no file grow beyond 100 bytes, as a full disk would; no longer than needed: pytest may write to one too."""
    former_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, former_handler)


@every
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    if name in ("history.csv", "predictions.csv"):
        pytest.skip("shorter than the limit")
    with small_files(), pytest.raises(OSError) as caught:
        ALL[name](path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


def test_a_buffer_that_cannot_be_flushed_is_no_reason_to_leave_the_file(tmp_path: Path) -> None:
    """The content fits into the buffer of the file, so that only closing it finds the disk full."""
    with small_files(), pytest.raises(OSError):
        write_atomically(tmp_path / "file", lambda file: file.write(b"x" * 101))
    assert os.listdir(tmp_path) == []


INTERRUPTED = """
import inspect, os, sys
from relu_layers._support import files

folder, place = sys.argv[1], 0
path = os.path.join(folder, "file")
lines, start = inspect.getsourcelines(files.write_atomically)
cleaning = start + next(i for i, line in enumerate(lines) if "except BaseException" in line)

def is_cleaning(frame):
    while frame:
        if frame.f_code is files.write_atomically.__code__ and frame.f_lineno >= cleaning:
            return True
        frame = frame.f_back
    return False

def interrupt(frame, event, argument):
    global seen
    if frame.f_code.co_filename.endswith("_support/files.py"):
        seen += 1
        if seen == place and not is_cleaning(frame):
            sys.settrace(None)
            raise KeyboardInterrupt
    return interrupt

interrupts, seen, place = 0, 1, 0
while seen >= place:
    place, seen = place + 1, 0
    with open(path, "wb") as file:
        file.write(b"old")
    sys.settrace(interrupt)
    try:
        files.write_atomically(path, lambda file: file.write(b"new"))
    except KeyboardInterrupt:
        interrupts += 1
    sys.settrace(None)
    assert os.listdir(folder) == ["file"], (place, os.listdir(folder))
print(interrupts)
"""


def test_an_interrupt_at_any_line_leaves_nothing(tmp_path: Path) -> None:
    """Each line, call and return of the writing in turn, up to where it cleans up; a file left open would warn."""
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 50


def dead_process() -> int:
    return int(
        subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True).stdout
    )


def strays(folder: Path, name: str, process: int) -> list[Path]:
    made = Path(temporary_name(str(folder / name)))
    path = made.with_name(made.name.replace(f".{os.getpid()}-", f".{process}-"))
    path.write_bytes(b"half")
    return [path]


@every
def test_the_next_save_removes_what_dead_processes_left(tmp_path: Path, name: str) -> None:
    process = dead_process()
    strays(tmp_path, name, process)
    strays(tmp_path, name, os.getpid())  # of an earlier process with this one's number
    kept = strays(tmp_path, "another-" + name, process) + strays(tmp_path, name, os.getppid())
    for other in (
        f".{name}.{process}-0123.part",
        f".{name}.{process}-0123456789abcdef.part.txt",
        f"x{name}.part",
    ):
        (tmp_path / other).write_bytes(b"not ours")
        kept.append(tmp_path / other)
    ALL[name](tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == sorted([name, *(path.name for path in kept)])


def test_what_is_locked_is_in_use_wherever_its_process_is(tmp_path: Path) -> None:
    """A process in another container, or on another machine, that writes to a shared folder."""
    import fcntl

    (path,) = strays(tmp_path, "model.npz", dead_process())
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        MODEL.save(tmp_path / "model.npz")
        assert path.exists()
    MODEL.save(tmp_path / "model.npz")
    assert not path.exists()


def test_a_link_with_the_name_of_a_stray_is_not_followed(tmp_path: Path) -> None:
    (path,) = strays(tmp_path, "model.npz", dead_process())
    path.unlink()
    (tmp_path / "precious").write_bytes(b"kept")
    path.symlink_to("precious")
    MODEL.save(tmp_path / "model.npz")
    assert (tmp_path / "precious").read_bytes() == b"kept"


def test_threads_that_save_to_one_name_leave_each_other_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    failed: list[BaseException] = []

    def save() -> None:
        try:
            for _ in range(30):
                MODEL.save(path)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert os.listdir(tmp_path) == ["model.npz"]


def test_a_file_is_locked_while_it_is_written(tmp_path: Path) -> None:
    import fcntl

    def write(file: BinaryIO) -> None:
        (part,) = (tmp_path / name for name in os.listdir(tmp_path))
        with part.open("rb") as other, pytest.raises(OSError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(b"x")

    write_atomically(tmp_path / "file", write)


def test_synced_renamed_and_the_folder_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def note_replace(source: Any, target: Any) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    for name, save in ALL.items():
        steps.clear()
        save(tmp_path / name)
        assert steps == ["file", "rename", "folder"], name


def test_a_folder_that_cannot_be_synced_is_no_error_but_a_failing_disk_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    sync, number = os.fsync, errno.EINVAL

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    MODEL.save(tmp_path / "model.npz")
    number = errno.EIO
    with pytest.raises(OSError, match="output error"):
        MODEL.save(tmp_path / "model.npz")


# --- the same bytes ---

BYTES = """
import hashlib, sys, numpy as np, relu_layers as rl
model = rl.Sequential(rl.Dense(3, 4), rl.ReLU(), rl.Dropout(0.5), rl.PReLU(4), rl.Dense(4, 2), rng=0)
table = {"a": np.arange(3.0), "b": ["x", "y", "z"], "c": np.ones(3)}
model.preprocessing = rl.preprocessing.Preprocessing().fit(table)
optimizer = rl.Adam(0.01, multipliers={"0.bias": (2.0, 0.0), "0.weight": (1.0, 0.5)})
trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), optimizer, callbacks=[rl.EarlyStopping()])
for name in ("m.npz", "m.safetensors", "m.onnx", "c.npz", "c.safetensors"):
    (trainer.save_checkpoint if name[0] == "c" else model.save)(sys.argv[1] + "/" + name)
    print(name, hashlib.sha256(open(sys.argv[1] + "/" + name, "rb").read()).hexdigest())
"""


def test_two_saves_have_the_same_bytes(tmp_path: Path) -> None:
    seen = {
        subprocess.run(
            [sys.executable, "-c", BYTES, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4", "5", "6")
    }
    assert len(seen) == 1


# --- reading ---


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx", ".prototxt", ".caffemodel"])
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_only_regular_files_are_models(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"model{suffix}"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="not a regular file"):
        rl.load(path)
    if suffix in (".npz", ".safetensors"):
        with pytest.raises(ValueError, match="not a regular file"):
            rl.Trainer.restore(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx", ".prototxt", ".caffemodel"])
def test_a_folder_is_no_model(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"model{suffix}").mkdir()
    with pytest.raises(IsADirectoryError):
        rl.load(tmp_path / f"model{suffix}")


def test_a_fifo_that_takes_the_place_of_a_file_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(files, "check_regular", lambda path: None)
    with pytest.raises(ValueError, match="not a regular file"):
        open_regular(tmp_path / "fifo")


def test_history_as_csv_is_what_it_was(tmp_path: Path) -> None:
    history().to_csv(tmp_path / "history.csv")
    rows = list(csv.reader(io.StringIO((tmp_path / "history.csv").read_text())))
    assert rows == [
        ["epoch", "loss", "dead_units_0", "dead_units_1"],
        ["1", "0.5", "1", "2"],
        ["2", "0.25", "0", "3"],
    ]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx"])
def test_an_interrupt_at_any_line_of_a_save_comes_out_as_one(tmp_path: Path, suffix: str) -> None:
    """The archive's own clean-up raised a ValueError over Ctrl-C, or complained in its destructor."""
    if suffix == ".onnx":
        pytest.importorskip("onnx")
    path = tmp_path / f"model{suffix}"
    MODEL.save(path)
    content, number, done = path.read_bytes(), 0, False

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal left
        if event == "line" and any(part in frame.f_code.co_filename for part in ("zipfile", "relu_layers")):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    while not done:
        number += 7
        left = number
        former = sys.gettrace()
        sys.settrace(trace)
        try:
            MODEL.save(path)
            done = True
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(former)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == [path.name]
    assert number > 100
