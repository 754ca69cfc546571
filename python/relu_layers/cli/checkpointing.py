"""The checkpoints of `relu-layers train`: written after every epoch, and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relu_layers.callbacks import Callback, EarlyStopping
from relu_layers.trainer import Trainer


class SaveEpochs(Callback):
    """Writes a checkpoint after every epoch, in place of the one before."""

    def __init__(self, path: str) -> None:
        self._path = path

    def on_epoch_end(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Write it."""
        trainer.save_checkpoint(self._path)


def resumed(trainer: Trainer, path: str | None, written_to: str | None, communicator: Any) -> Trainer:
    """Return ``trainer``, or the one in ``path`` if that is a checkpoint of the same training.

    A missing file is the beginning of a training that writes there, so that one command starts it and goes on.
    """
    if path is None or (not Path(path).exists() and path == written_to):
        return trainer
    found = Trainer.restore(path, communicator=communicator)
    for what, there, here in (
        ("the data or their split", _preprocessing(found), _preprocessing(trainer)),
        ("the network", _described(found.model.layers), _described(trainer.model.layers)),
        ("the minibatches of an update", found.group_size, trainer.group_size),
        ("the types of number", found.model.dtype, trainer.model.dtype),
        ("the loss", _described([found.loss]), _described([trainer.loss])),
        ("the optimizer or its schedule", _described([found.optimizer]), _described([trainer.optimizer])),
        ("--clip-norm", found.clip_norm, trainer.clip_norm),
        ("--patience", _described(found.callbacks), _described(trainer.callbacks)),
    ):
        if there != here:
            raise ValueError(f"--resume {path}: {what} differ from those that it was written with")
    return found


def finished(trainer: Trainer) -> bool:
    """Return whether early stopping has ended this training before."""
    return any(
        isinstance(callback, EarlyStopping) and callback.waited >= callback.patience
        for callback in trainer.callbacks
    )


def _preprocessing(trainer: Trainer) -> Any:
    return trainer.model.preprocessing.to_dict() if trainer.model.preprocessing is not None else None


def _described(things: Any) -> list[Any]:
    return [(type(thing).__name__, thing.config()) for thing in things]
