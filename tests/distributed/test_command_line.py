"""`relu-layers train` started several times at once, and gone on with after any end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from mpi import environment, finish, run, start

TRAIN = ("-m", "relu_layers", "train", "two-moons", "--epochs", "6", "--hidden", "8", "--dropout", "0.1")


def alone(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *TRAIN, *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        timeout=120,
    )


def without_times(text: str) -> str:
    return re.sub(r"in [\d.]+ s", "in s", text)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".png"}


def test_several_processes_print_and_write_once_what_one_does(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "four").mkdir()
    single = alone(tmp_path / "one", "--accumulate", "4", "--output", "result")
    assert single.returncode == 0, single.stderr
    printed = run(4, *TRAIN, "--output", "result", cwd=tmp_path / "four")
    assert without_times(printed) == without_times(single.stdout)
    assert files(tmp_path / "four" / "result") == files(tmp_path / "one" / "result")


def test_an_error_is_printed_once(tmp_path: Path) -> None:
    status, out, err = finish(start(2, *TRAIN, "--target", "nothing", cwd=tmp_path), 60.0)
    assert status == 1, out
    assert err.count("Error: ") == 1, err


def test_a_checkpoint_goes_on_alone_or_together(tmp_path: Path) -> None:
    whole = alone(tmp_path, "--accumulate", "2", "--output", "whole")
    assert whole.returncode == 0, whole.stderr
    expected = files(tmp_path / "whole")
    options = ("--checkpoint", "run.npz", "--resume", "run.npz")
    job = start(2, *TRAIN, *options, "--output", "killed", cwd=tmp_path)
    while job.poll() is None and not (tmp_path / "run.npz").exists():
        time.sleep(0.002)
    job.send_signal(signal.SIGINT)
    finish(job, 60.0)
    for name in ("killed", "again"):
        finished = alone(tmp_path, "--accumulate", "2", *options, "--output", name)
        assert finished.returncode == 0, finished.stderr
        assert files(tmp_path / name) == expected
    run(2, *TRAIN, *options, "--output", "together", cwd=tmp_path)
    assert files(tmp_path / "together") == expected


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    first = alone(tmp_path, "--checkpoint", "run.npz", "--epochs", "1")
    assert first.returncode == 0, first.stderr
    for options, message in (
        (("--resume", "missing.npz"), "missing.npz"),
        (("--resume", "run.npz", "--hidden", "9"), "the network"),
        (("--resume", "run.npz", "--accumulate", "3"), "the minibatches of an update"),
        (("--resume", "run.npz", "--seed", "4"), "the data or their split"),
    ):
        result = alone(tmp_path, *options)
        assert result.returncode == 1, result.stdout
        assert message in result.stderr


def test_a_launcher_without_mpi4py_is_refused(tmp_path: Path) -> None:
    """Else each process would train alone and overwrite the files of the others."""
    code = (
        "import sys; sys.modules['mpi4py'] = None\n"
        "from relu_layers.__main__ import main\n"
        "sys.argv = ['relu-layers', 'train', 'xor']\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PMI_RANK="0", PMI_SIZE="2"),
        timeout=60,
    )
    assert result.returncode == 1
    assert "[mpi]" in result.stderr
    assert not list(tmp_path.iterdir())
