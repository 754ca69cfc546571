"""Faults of one rank: nothing hangs, the last checkpoint stays whole, and the run that goes on ends the same."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from mpi import HERE, finish, run, start

import relu_layers as rl

PROGRAM = HERE / "program_faults.py"
# Of all steps that the program takes without a fault.
STEPS = 6 * 26
FAULTS = ("raise", "batch", "SIGINT", "SIGTERM", "SIGKILL", "late", "disk", "outside")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the program prints when nothing goes wrong, on one rank."""
    return run(1, PROGRAM, tmp_path_factory.mktemp("whole"), "none", 0, 0)


def suffer(fault: str, ranks: int, rank: int, step: int, folder: Path) -> float:
    """Run the program with a fault; return for how long it ran after that."""
    job = start(ranks, PROGRAM, folder, fault, str(rank), str(step))
    if fault == "outside":
        checkpoint = folder / "training.npz"
        while job.poll() is None and not checkpoint.exists():
            time.sleep(0.002)
        begin = time.time()
        job.send_signal(signal.SIGINT)
        finish(job, 60.0)
        return time.time() - begin
    status, _, err = finish(job, 60.0)
    end = time.time()
    if fault == "late":
        assert status == 0, err
        return 0.0
    assert status != 0, "the fault ended nothing"
    if fault in ("raise", "batch"):
        assert f"rank {rank} of {ranks}" in err, err
    noted = folder / "fault"
    return end - float(noted.read_text()) if noted.exists() else 0.0


def check_that_it_goes_on(folder: Path, ranks: int, expected: str) -> None:
    path = folder / "training.npz"
    if path.exists():
        assert rl.Trainer.restore(path).history.epochs >= 1
    left = sorted(one.name for one in folder.iterdir() if one.name not in ("training.npz", "fault"))
    assert not [name for name in left if not name.startswith(".")], left
    assert run(ranks, PROGRAM, folder, "none", 0, 0) == expected


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_hangs_nothing_and_loses_no_checkpoint(
    fault: str, tmp_path: Path, uninterrupted: str
) -> None:
    ranks = 4 if fault == "raise" else 2
    suffer(fault, ranks, rank=1 if fault != "disk" else 0, step=60, folder=tmp_path)
    check_that_it_goes_on(tmp_path, 2, uninterrupted)


@pytest.mark.slow
def test_two_hundred_random_faults(tmp_path: Path, uninterrupted: str) -> None:
    rng = np.random.default_rng(17)
    longest = 0.0
    for number in range(200):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = FAULTS[int(rng.integers(len(FAULTS)))]
        ranks = int(rng.choice([2, 3, 4]))
        rank = 0 if fault == "disk" else int(rng.integers(ranks))
        # Not in the last two updates: after them no exchange is left in which others could learn of it.
        step = int(rng.integers(1, STEPS - 30))
        longest = max(longest, suffer(fault, ranks, rank, step, folder))
        check_that_it_goes_on(folder, int(rng.choice([1, 2, 4])), uninterrupted)
    print(f"at most {longest:.1f} s between a fault and the end of its job")


def test_a_signal_ends_all_ranks_after_the_same_update(tmp_path: Path) -> None:
    """Ctrl-C on one rank is KeyboardInterrupt on all, with the same parameters."""
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import json, os, signal, sys
sys.path.insert(0, {str(HERE)!r})
import relu_layers as rl
from relu_layers.distributed import world
from configurations import Case, state
communicator = world()
class Press(rl.Callback):
    every_rank = True
    def on_step_end(self, trainer, step, loss):
        if step == 30 and communicator.rank == 1:
            os.kill(os.getpid(), getattr(signal, sys.argv[1]))
case = Case(1)
trainer = case.trainer(communicator.size, communicator=communicator)
try:
    case.fit(trainer, epochs=50, callbacks=[Press()])
    ended = "not"
except KeyboardInterrupt:
    ended = "interrupted"
except SystemExit as error:
    ended = f"exit {{error.code}}"
found = communicator.gather([ended, trainer.steps, state(trainer)])
if communicator.rank == 0:
    print(json.dumps(found))
"""
    )
    for name, ended in (("SIGINT", "interrupted"), ("SIGTERM", "exit 143")):
        first, second = json.loads(run(2, program, name))
        assert first == second
        how, steps, _ = first
        assert how == ended
        # Step 30 is the first of the update that ends with 34, the last of its epoch; one more may follow.
        assert steps in (34, 46)
