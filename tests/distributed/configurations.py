"""Random trainings, each made from a number alone: what one process and several ranks have to agree on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

import relu_layers as rl


class Case:
    """Nets, losses, optimizers, clipping, dropout, weights and incomplete groups, drawn from ``seed``."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng(1000 + seed)
        self.dtype = np.dtype([np.float32, np.float64][seed % 2])
        self.rows = int(rng.integers(30, 90))
        self.batch_size = int(rng.integers(1, 9))
        self.group = 12 if seed % 3 else 24
        self.features, self.classes = int(rng.integers(2, 7)), int(rng.integers(2, 5))
        self.hidden = [int(size) for size in rng.integers(1, 18, rng.integers(1, 3))]
        self.dropout = bool(rng.integers(2))
        self.loss = ["softmax", "squared", "sigmoid", "weighted"][seed % 4]
        self.optimizer = ["sgd", "momentum", "adam", "adamw", "rmsprop"][seed % 5]
        self.clip_norm = float(rng.uniform(0.05, 1.0)) if rng.integers(2) else None
        self.l2_penalty = float(rng.uniform(0.001, 0.1)) if rng.integers(2) else 0.0
        self.weights = bool(rng.integers(2))
        self.shuffle = bool(rng.integers(4))
        self.schedule = bool(rng.integers(2))
        self.capture = bool(rng.integers(4))
        self.x = rng.standard_normal((self.rows, self.features)).astype(self.dtype)
        labels = rng.integers(0, self.classes, self.rows)
        real = rng.standard_normal((self.rows, self.classes)).astype(self.dtype)
        self.y: Any = {
            "softmax": labels,
            "weighted": labels,
            "squared": real,
            "sigmoid": (real > 0).astype(self.dtype),
        }[self.loss]
        self.weight = rng.uniform(0.1, 2.0, self.rows).astype(self.dtype) if self.weights else None

    def trainer(self, ranks: int, **options: Any) -> rl.Trainer:
        """Return a new trainer whose updates take the same number of minibatches for any number of ranks."""
        layers: list[Any] = []
        width = self.features
        for size in self.hidden:
            layers += [rl.Dense(width, size), rl.ReLU(0.01)]
            if self.dropout:
                layers.append(rl.Dropout(0.3))
            width = size
        layers.append(rl.Dense(width, self.classes))
        model = rl.Sequential(*layers, dtype=self.dtype, rng=self.seed)
        loss = {
            "softmax": lambda: rl.SoftmaxCrossEntropy(),
            "weighted": lambda: rl.SoftmaxCrossEntropy(
                class_weight=np.linspace(0.5, 1.5, self.classes).astype(self.dtype), label_smoothing=0.1
            ),
            "squared": lambda: rl.SquaredError(),
            "sigmoid": lambda: rl.SigmoidCrossEntropy(),
        }[self.loss]()
        rate: Any = rl.schedules.Step(0.05, 0.9, 2) if self.schedule else 0.05
        optimizer = {
            "sgd": lambda: rl.SGD(rate, weight_decay=0.01),
            "momentum": lambda: rl.SGD(rate, momentum=0.9, nesterov=True),
            "adam": lambda: rl.Adam(rate),
            "adamw": lambda: rl.AdamW(rate, multipliers={"0.bias": (2.0, 0.0)}),
            "rmsprop": lambda: rl.RMSProp(rate),
        }[self.optimizer]()
        return rl.Trainer(
            model,
            loss,
            optimizer,
            clip_norm=self.clip_norm,
            l2_penalty=self.l2_penalty,
            accumulate=self.group // ranks,
            rng=self.seed + 7,
            capture=self.capture,
            callbacks=[rl.EarlyStopping(patience=2, min_delta=0.5)] if self.seed % 6 == 5 else [],
            **options,
        )

    def fit(self, trainer: rl.Trainer, epochs: int = 3, **options: Any) -> None:
        """Train; a third of the rows once more as validation, copied: a fault may change the training rows."""
        third = self.rows // 3
        held_out = (self.x[:third].copy(), self.y[:third].copy())
        trainer.fit(
            self.x,
            self.y,
            sample_weight=self.weight,
            validation=held_out if self.weight is None else (*held_out, self.weight[:third]),
            epochs=epochs,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            **options,
        )


def state(trainer: rl.Trainer) -> str:
    """Return a digest of everything that a training leaves: weights, optimizer, history, counters, masks."""
    digest = hashlib.sha256()
    parts = [trainer.model.flat_params, *trainer.optimizer.slots.values()]
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    history = trainer.history.columns()
    for name in sorted(history):
        digest.update(name.encode() + np.asarray(history[name]).tobytes())
    counters = [layer.state_dict() for layer in trainer.model.layers if isinstance(layer, rl.Dropout)]
    progress = (trainer.steps, trainer.optimizer.updates, trainer.optimizer.last_learning_rate)
    digest.update(repr((counters, progress, trainer.rng.bit_generator.state)).encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
