"""One run of `relu-layers train`, from the settings to the files in the output folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from rich.console import Console

from relu_layers import runtime
from relu_layers.callbacks import EarlyStopping
from relu_layers.cli import report
from relu_layers.cli.baselines import constant_prediction, linear_outputs
from relu_layers.cli.card import card_of
from relu_layers.cli.checkpointing import SaveEpochs, finished, resumed
from relu_layers.cli.dataset import Dataset, prepare
from relu_layers.cli.network import trainer_for
from relu_layers.cli.progress import EpochTable
from relu_layers.cli.scores import classification_scores, regression_scores
from relu_layers.cli.settings import Settings, schedule_from
from relu_layers.distributed import launched, world
from relu_layers.model import Sequential
from relu_layers.trainer import Trainer

# Epochs without improvement that no training has: the best weights are kept all the same.
_FOR_EVER = 2**31
# Fewer rows than that choose no epoch: the loss of one of them decides.
_FEW_ROWS = 20


class Job(NamedTuple):
    """What is ready before the first step."""

    settings: Settings
    data: Dataset
    trainer: Trainer
    folder: Path | None


def run(settings: Settings, console: Console) -> None:
    """Prepare the data, train, score and write; after Ctrl-C the same, and exit code 130.

    Started several times by mpiexec it trains on all processes together; the first of them prints and writes.
    """
    communicator = None if launched() is None else world()
    score = console
    if settings.quiet or settings.as_json:
        console = Console(quiet=True)
    first = communicator is None or communicator.rank == 0
    with _one_voice(first):
        job = _agreed(communicator, settings, console if first else Console(quiet=True), first)
        table, interrupted = _fit(console if first else Console(quiet=True), job)
    if first and job.folder is not None:
        _finish(console, score, job, table, interrupted)
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
    data = prepare(settings, data_rng, 1 if communicator is None else communicator.size)
    settings = data.settings
    trainer = trainer_for(
        settings,
        data.train,
        len(data.classes),
        model_rng=model_rng,
        rng=trainer_rng,
        communicator=communicator,
    )
    trainer.model.preprocessing = data.preprocessing
    if len(data.validation[0]):
        trainer.callbacks = (EarlyStopping(patience=settings.patience or _FOR_EVER),)
    trainer = resumed(trainer, settings.resume, settings.checkpoint, communicator)
    folder = report.output_folder(settings.output, settings.data) if first else None
    _print_head(console, settings, data, trainer.model, trainer.group_size)
    return Job(settings, data, trainer, folder)


def _remove_if_empty(folder: Path | None) -> None:
    if folder is not None and not any(folder.iterdir()):
        folder.rmdir()


def _finish(console: Console, score: Console, job: Job, table: EpochTable, interrupted: bool) -> None:
    """Print how it ended, score, and write."""
    settings, data, trainer, folder = job.settings, job.data, job.trainer, job.folder
    assert folder is not None
    if interrupted:
        epoch = trainer.history.epochs + 1
        report.say(console, f"interrupted in epoch {epoch}: the model is as after its last whole step")
    else:
        line = f"{trainer.history.epochs} epochs in {table.seconds:.1f} s"
        if trainer.callbacks:
            line += f"; kept the weights of epoch {table.best['epoch']}, the lowest validation loss"
        report.say(console, line)
    scored = score_of(job)
    # What an update took, however many processes shared it: the same file from one and from several.
    taken = replace(settings, accumulate=trainer.group_size)
    trainer.model.card = card_of(taken, data.origin, _sizes(data), scored, _progress(job, table, interrupted))
    if settings.as_json:
        click.echo(json.dumps(scored | _run_facts(job, folder), indent=2))
    else:
        score.print()
        _print_score(score, job, scored)
        for warning in _warnings(job, scored, table):
            report.say(score, warning, "yellow")
    _write(console, settings, folder, trainer)


def _fit(console: Console, job: Job) -> tuple[EpochTable, bool]:
    """Train with the table on the screen; the second result is whether Ctrl-C ended it."""
    settings, data, trainer = job.settings, job.data, job.trainer
    assert settings.epochs is not None
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
    sizes = "-".join(map(str, (features, *(settings.hidden or ()), len(data.classes) or 1)))
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


def score_of(job: Job) -> dict[str, Any]:
    """Return the scores on the test rows, or on the best others there are, beside those of the baselines."""
    data, trainer = job.data, job.trainer
    parts = {"test": data.test, "validation": data.validation, "training": data.train}
    name = next(name for name, (x, _) in parts.items() if len(x))
    x, y = parts[name]
    decode, classes = data.preprocessing.decode_target, len(data.classes)
    constant = constant_prediction(data.train[1], classes)
    linear = linear_outputs(data.train, x, classes)
    scored: dict[str, Any] = {"part": name, "loss": float(trainer.evaluate(x, y)["loss"])}
    if classes:
        scored |= classification_scores(y, trainer.model(x), data.classes)
        baselines = {"majority": float(np.mean(y == constant))}
        if linear is not None:
            baselines["linear"] = float(np.mean(y == linear.argmax(axis=1)))
        return {**scored, "baselines": baselines}
    truth = decode(y).ravel()
    scored |= regression_scores(truth, decode(trainer.model(x)).ravel())
    level = float(decode(np.array(constant)))
    baselines = {"mean": regression_scores(truth, np.full(len(truth), level))["r2"]}
    if linear is not None:
        baselines["linear"] = regression_scores(truth, decode(linear).ravel())["r2"]
    return {**scored, "baselines": baselines}


def _run_facts(job: Job, folder: Path) -> dict[str, Any]:
    """Return where the model is and how it was trained."""
    data = job.data
    target = data.preprocessing.target
    assert target is not None
    return {
        "model": str(folder / "model.npz"),
        "data": data.table.name,
        "target": target.name,
        "task": target.task,
        "split": _sizes(data),
        "epochs": job.trainer.history.epochs,
        "seed": job.settings.seed,
    }


def _sizes(data: Dataset) -> dict[str, int]:
    """Return the number of rows of each part."""
    parts = {"training": data.train, "validation": data.validation, "test": data.test}
    return {name: len(x) for name, (x, _) in parts.items()}


def _progress(job: Job, table: EpochTable, interrupted: bool) -> dict[str, Any]:
    """Return how long was trained, and the epoch whose weights were kept."""
    epochs = job.trainer.history.epochs
    found: dict[str, Any] = {"epochs": epochs}
    if job.trainer.callbacks and not interrupted:
        found["kept epoch"] = table.best["epoch"]
    return found | ({"interrupted": True} if interrupted else {})


def _print_score(console: Console, job: Job, scored: dict[str, Any]) -> None:
    """Print the scores, and what a model without inputs and a linear one reach."""
    data, trainer, part = job.data, job.trainer, scored["part"]
    x, y = {"test": data.test, "validation": data.validation, "training": data.train}[part]
    output = trainer.model(x)
    where = part if part == "test" else f"{part} rows, for there are no test rows"
    baselines = scored["baselines"]
    if data.classes:
        most = data.classes[int(constant_prediction(data.train[1], len(data.classes)))]
        line = f"baselines: always {most!r} {baselines['majority']:.2%}"
        line += f", a linear model {baselines['linear']:.2%}" if "linear" in baselines else ""
        report.print_classification(console, where, scored["loss"], y, output, data.classes, line)
        return
    shown = [f"{name} R2 {value:.4f}" for name, value in baselines.items() if value is not None]
    line = f"baselines: {', '.join(shown)}".replace("mean R2", "the mean R2").replace(
        "linear R2", "a linear model R2"
    )
    decode = data.preprocessing.decode_target
    truth, predicted = decode(y).ravel(), decode(output).ravel()
    report.print_regression(console, where, scored["loss"], truth, predicted, line if shown else "")


def _warnings(job: Job, scored: dict[str, Any], table: EpochTable) -> list[str]:
    """Return what the score should not be believed for, and what may help."""
    lines = []
    key = "accuracy" if job.data.classes else "r2"
    score, baselines = scored[key], scored["baselines"]
    constant = next(iter(baselines.values()))
    if key == "r2" and score is not None and score < 0:
        lines.append("R2 is below 0: the mean of the target would be a better prediction")
    elif key == "accuracy" and score < constant:
        lines.append("the accuracy is below that of the most frequent class")
    if (
        score is not None
        and baselines.get("linear") is not None
        and baselines["linear"] > score
        and job.settings.hidden
    ):
        lines.append("a linear model is no worse here: --hidden none trains one")
    held = len(job.data.validation[0])
    if 0 < held < _FEW_ROWS:
        lines.append(
            f"validation has {held} rows, too few to choose the best epoch by; --validation takes more"
        )
    epochs = job.trainer.history.epochs
    if held and epochs > 1 and table.best["epoch"] == epochs == job.settings.epochs:
        lines.append(f"the last epoch was the best: --epochs {2 * epochs} may be better")
    return lines


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
