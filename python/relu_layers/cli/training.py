"""One run of `relu-layers train`, from the settings to the files in the output folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from relu_layers import runtime
from relu_layers.callbacks import EarlyStopping
from relu_layers.cli import report
from relu_layers.cli.checkpointing import SaveEpochs, finished, resumed
from relu_layers.cli.dataset import Dataset, prepare
from relu_layers.cli.progress import EpochTable
from relu_layers.cli.settings import Settings, optimizer_from, schedule_from
from relu_layers.distributed import launched, world
from relu_layers.layers import Dense, Dropout, ReLU
from relu_layers.losses import Loss, SoftmaxCrossEntropy, SquaredError
from relu_layers.model import Sequential
from relu_layers.trainer import Trainer


class Job(NamedTuple):
    """What is ready before the first step."""

    data: Dataset
    trainer: Trainer
    folder: Path | None


def run(settings: Settings, console: Console) -> None:
    """Prepare the data, train, score and write; after Ctrl-C the same, and exit code 130.

    Started several times by mpiexec it trains on all processes together; the first of them prints and writes.
    """
    communicator = None if launched() is None else world()
    first = communicator is None or communicator.rank == 0
    with _one_voice(first):
        job = _agreed(communicator, settings, console if first else Console(quiet=True), first)
        table, interrupted = _fit(console if first else Console(quiet=True), settings, job)
    if first and job.folder is not None:
        _finish(settings, console, job, table, interrupted)
    if interrupted:
        raise SystemExit(130)


@contextmanager
def _one_voice(first: bool) -> Iterator[None]:
    """Let only the first process print an error that all of them have."""
    try:
        yield
    except Exception:
        if first:
            raise
        raise SystemExit(1) from None


def _agreed(communicator: Any, settings: Settings, console: Console, first: bool) -> Job:
    """Return what `_prepare` does, if it worked for every process; one that fails would let the others wait."""
    if communicator is None:
        return _prepare(None, settings, console, first)
    job, failure = None, None
    try:
        job = _prepare(communicator, settings, console, first)
    except Exception as error:
        failure = error
    failures = communicator.allgather(None if failure is None else f"{type(failure).__name__}: {failure}")
    if failure is not None:
        raise failure
    for rank, text in enumerate(failures):
        if text is not None and job is not None:
            _remove_if_empty(job.folder)
            raise ValueError(f"process {rank} of {len(failures)}: {text}")
    assert job is not None
    return job


def _prepare(communicator: Any, settings: Settings, console: Console, first: bool) -> Job:
    """Read the data, make the trainer and the folder, print the head."""
    schedule_from(settings.schedule, settings.learning_rate, 1)
    if settings.threads is not None:
        runtime.set_num_threads(settings.threads)
    data_rng, model_rng, trainer_rng = np.random.default_rng(settings.seed).spawn(3)
    data = prepare(settings, data_rng)
    model, loss = build(settings, data, model_rng)
    group = settings.accumulate * (1 if communicator is None else communicator.size)
    minibatches = -(-len(data.train[0]) // settings.batch_size)
    optimizer = optimizer_from(settings, settings.epochs * -(-minibatches // group))
    trainer = Trainer(
        model,
        loss,
        optimizer,
        clip_norm=settings.clip_norm,
        accumulate=settings.accumulate,
        callbacks=[EarlyStopping(patience=settings.patience)] if settings.patience else [],
        rng=trainer_rng,
        communicator=communicator,
    )
    trainer = resumed(trainer, settings.resume, settings.checkpoint, communicator)
    folder = report.output_folder(settings.output, settings.data) if first else None
    _print_head(console, settings, data, trainer.model, group)
    return Job(data, trainer, folder)


def _remove_if_empty(folder: Path | None) -> None:
    if folder is not None and not any(folder.iterdir()):
        folder.rmdir()


def _finish(settings: Settings, console: Console, job: Job, table: EpochTable, interrupted: bool) -> None:
    """Print how it ended, score, and write."""
    trainer, folder = job.trainer, job.folder
    assert folder is not None
    if interrupted:
        epoch = trainer.history.epochs + 1
        report.say(console, f"interrupted in epoch {epoch}: the model is as after its last whole step")
    else:
        line = f"{trainer.history.epochs} epochs in {table.seconds:.1f} s"
        if settings.patience:
            line += f"; kept the weights of epoch {table.best['epoch']}, the lowest validation loss"
        report.say(console, line)
    _print_score(console, job.data, trainer)
    _write(console, settings, folder, trainer)


def build(settings: Settings, data: Dataset, rng: np.random.Generator) -> tuple[Sequential, Loss]:
    """Return the model, its preprocessing in it, and the loss that fits the target."""
    outputs = len(data.classes) or 1
    layers: list[Any] = []
    width = data.preprocessing.n_features
    for size in settings.hidden:
        layers += [Dense(width, size), ReLU(settings.negative_slope)]
        if settings.dropout:
            layers.append(Dropout(settings.dropout))
        width = size
    layers.append(Dense(width, outputs))
    model = Sequential(*layers, dtype=np.dtype(settings.dtype), rng=rng)
    model.preprocessing = data.preprocessing
    if data.classes:
        return model, SoftmaxCrossEntropy(label_smoothing=settings.label_smoothing)
    return model, SquaredError()


def _fit(console: Console, settings: Settings, job: Job) -> tuple[EpochTable, bool]:
    """Train with the table on the screen; the second result is whether Ctrl-C ended it."""
    data, trainer = job.data, job.trainer
    watchers: list[Any] = [SaveEpochs(settings.checkpoint)] if settings.checkpoint else []
    epochs = 0 if finished(trainer) else max(settings.epochs - trainer.history.epochs, 0)
    with EpochTable(console, settings.epochs) as table:
        table.history = trainer.history
        try:
            trainer.fit(
                *data.train,
                epochs=epochs,
                batch_size=settings.batch_size,
                validation=data.validation if len(data.validation[0]) else None,
                progress=False,
                callbacks=[*watchers, table],
            )
        except KeyboardInterrupt:
            return table, True
        except Exception:
            _remove_if_empty(job.folder)
            raise
    return table, False


def _print_head(console: Console, settings: Settings, data: Dataset, model: Sequential, group: int) -> None:
    """Print data, split and model."""
    parts = {"training": data.train, "validation": data.validation, "test": data.test}
    sizes_text = ", ".join(f"{len(x):,} {name}" for name, (x, _) in parts.items() if len(x))
    features = data.preprocessing.n_features
    sizes = "-".join(map(str, (features, *settings.hidden, len(data.classes) or 1)))
    batches = f"batches of {settings.batch_size}" + (f", {group} in an update" if group > 1 else "")
    for note in data.notes:
        report.say(console, note)
    report.say(console, f"{data.table.name}: {data.table.rows:,} rows, {features:,} features; {sizes_text}")
    report.say(
        console,
        f"model {sizes}, {model.flat_params.size:,} parameters, {settings.dtype}; {settings.optimizer}, "
        f"rate {settings.learning_rate:g} ({settings.schedule}), {batches}, "
        f"seed {settings.seed}; {runtime.target()}, {runtime.get_num_threads()} threads",
    )
    console.print()


def _print_score(console: Console, data: Dataset, trainer: Trainer) -> None:
    """Print loss and score on the test rows, or on the best others there are."""
    parts = {"test": data.test, "validation": data.validation, "training": data.train}
    name = next(name for name, (x, _) in parts.items() if len(x))
    x, y = parts[name]
    loss = float(trainer.evaluate(x, y)["loss"])
    output = trainer.model(x)
    part = name if name == "test" else f"{name} rows, for there are no test rows"
    console.print()
    if data.classes:
        report.print_classification(console, part, loss, y, output.argmax(axis=1), data.classes)
    else:
        decode = data.preprocessing.decode_target
        report.print_regression(console, part, loss, decode(y).ravel(), decode(output).ravel())


def _write(console: Console, settings: Settings, folder: Path, trainer: Trainer) -> None:
    """Write the files and print their names."""
    model_path, history = folder / "model.npz", trainer.history
    trainer.model.save(model_path)
    written = [model_path]
    plot_missing = ""
    if history.epochs:
        written.append(folder / "history.csv")
        history.to_csv(written[-1])
        try:
            history.plot(folder / "loss.png", title=Path(settings.data).name)
            written.append(folder / "loss.png")
        except Exception as error:  # a picture is no reason to lose what was trained
            plot_missing = str(error) or type(error).__name__
    console.print()
    console.print("wrote " + ", ".join(map(str, written)), soft_wrap=True, markup=False)
    if plot_missing:
        console.print(f"no loss.png: {plot_missing}", soft_wrap=True, markup=False)
    console.print(f"use it: relu-layers predict {model_path} DATA", soft_wrap=True, markup=False)
