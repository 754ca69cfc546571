"""Trains with a checkpoint after every epoch, and lets one thing go wrong at one update; run again, it goes on.

Arguments: folder, fault (or "none"), the rank that it happens on, the step after which it does.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path

import relu_layers as rl
from relu_layers.distributed import world

sys.path.insert(0, str(Path(__file__).resolve().parent))
from configurations import Case, state

EPOCHS = 6

folder, fault, where, when = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if fault == "late" and int(os.environ.get("PMI_RANK", "0")) == where:
    time.sleep(1.5)
communicator = world()
case = Case(8)
path = folder / "training.npz"


class Save(rl.Callback):
    def on_epoch_end(self, trainer: rl.Trainer, record: dict[str, object]) -> None:
        if fault == "disk" and trainer.steps >= when:
            # What a full disk looks like to a program: a write that fails in the middle.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))
            note()
        trainer.save_checkpoint(path)


def note() -> None:
    """Write down when the fault happened."""
    if not (folder / "fault").exists():
        (folder / "fault").write_text(str(time.time()))


class Fault(rl.Callback):
    every_rank = True

    def on_step_end(self, trainer: rl.Trainer, step: int, loss: float) -> None:
        if communicator.rank != where or step != when or fault in ("none", "disk", "late"):
            return
        note()
        if fault == "raise":
            raise ValueError("a callback that fails")
        if fault == "batch":
            # Labels that no loss takes. Of rows that are not finite dropout may leave nothing for the loss to see.
            case.y[:] = case.classes
            return
        os.kill(os.getpid(), getattr(signal, fault))


if path.exists():
    trainer = rl.Trainer.restore(path, communicator=communicator)
else:
    trainer = case.trainer(communicator.size, communicator=communicator)
case.fit(trainer, epochs=EPOCHS - trainer.history.epochs, callbacks=[Save(), Fault()])
if communicator.rank == 0:
    print(state(trainer))
