"""Handwritten digits: which ones are taken for which.

A 64-64-10 network learns half of scikit-learn's 1,797 digits and reads the other half. The confusion matrix
has a row for each digit that was written and a column for each digit that was read; what is right stands on
the diagonal.

Run it with ``python examples/digits_confusion.py``; it needs scikit-learn, where the digits come from. If
matplotlib is installed, it also writes ``digits_confusion.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import relu_layers as rl


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return what was written and what the network reads, for the digits it has not seen."""
    x, y = rl.sklearn.load_digits()
    x /= 16
    trainer = rl.Trainer(
        rl.mlp([64, 64, 10], rng=0), rl.SoftmaxCrossEntropy(label_smoothing=0.1), rl.AdamW(0.005)
    )
    trainer.fit(x[::2], y[::2], epochs=40, batch_size=32)
    return y[1::2], trainer.model.predict(x[1::2])


def confusion(written: np.ndarray, read: np.ndarray) -> np.ndarray:
    """Return counts (10, 10): row written, column read."""
    counts = np.zeros((10, 10), dtype=np.int64)
    np.add.at(counts, (written, read), 1)
    return counts


def plot(counts: np.ndarray, path: Path) -> bool:
    """Draw the matrix with its numbers; return False if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(5, 4.6), dpi=100, layout="constrained")
    axes = figure.subplots()
    # By the root of the share, so that single mistakes are not lost beside ninety right answers.
    axes.imshow(np.sqrt(counts / counts.sum(axis=1, keepdims=True)), cmap="Blues")
    for (written, read), count in np.ndenumerate(counts):
        if count:
            color = "white" if written == read else "#12284c"
            axes.text(read, written, str(count), ha="center", va="center", color=color, fontsize=9)
    axes.set(xlabel="read", ylabel="written", xticks=range(10), yticks=range(10))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.savefig(path)
    return True


def main() -> None:
    """Train, print the matrix and the mistakes made more than once, draw the matrix."""
    written, read = read_digits()
    counts = confusion(written, read)
    print("written \\ read" + "".join(f"{digit:4d}" for digit in range(10)))
    for digit, row in enumerate(counts):
        print(f"{digit:14d}" + "".join(f"{count:4d}" if count else "   ." for count in row))
    print(f"right: {np.trace(counts)} of {counts.sum()}, {np.mean(written == read):.1%}")
    mistakes = counts - np.diag(np.diag(counts))
    for pair in np.argwhere(mistakes > 1):
        print("{} was read as {}, {} times".format(*pair, mistakes[tuple(pair)]))
    if plot(counts, Path("digits_confusion.png")):
        print("wrote digits_confusion.png")


if __name__ == "__main__":
    main()
