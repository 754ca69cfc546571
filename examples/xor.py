"""XOR by regression, twice: with relu_layers, and with the same program in plain NumPy.

Four inputs, two features, 30 hidden units, one output, no biases; the squared errors are summed, and every
step uses all four rows. Both programs start from the same weights, so they must print the same losses: the
last lines compare all 200 of them, and the program fails if any two differ by more than 1e-12.

Run it with ``python examples/xor.py``. If matplotlib is installed, it also writes ``xor_loss.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import relu_layers as rl

N, D_IN, HIDDEN, D_OUT = 4, 2, 30, 1
LEARNING_RATE = 0.002
ITERATIONS = 200
TOLERANCE = 1e-12

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float64)
Y = np.array([[0], [1], [1], [0]], dtype=np.float64)


def train_with_relu_layers(w1: np.ndarray, w2: np.ndarray) -> tuple[list[float], np.ndarray]:
    """Return the loss before each update, and the predictions after the last one."""
    model = rl.Sequential(
        rl.Dense(D_IN, HIDDEN, bias=False),
        rl.ReLU(),
        rl.Dense(HIDDEN, D_OUT, bias=False),
        dtype=np.float64,
    )
    model.load_params({"0.weight": w1, "2.weight": w2})
    trainer = rl.Trainer(model, rl.SquaredError(normalization="none"), rl.SGD(LEARNING_RATE))
    losses = [trainer.step(X, Y) for _ in range(ITERATIONS)]
    return losses, model(X)


def train_with_numpy(w1: np.ndarray, w2: np.ndarray) -> tuple[list[float], np.ndarray]:
    """Return the same two things, every derivative written out by hand."""
    w1, w2 = w1.copy(), w2.copy()
    losses = []
    for _ in range(ITERATIONS):
        # Forward: input -> hidden -> ReLU -> output.
        hidden = X @ w1
        active = np.maximum(hidden, 0)
        prediction = active @ w2
        losses.append(float(np.sum((prediction - Y) ** 2)))

        # Backward: the same chain from its end, one derivative per line.
        d_prediction = 2 * (prediction - Y)
        d_w2 = active.T @ d_prediction
        d_active = d_prediction @ w2.T
        d_hidden = np.where(hidden > 0, d_active, 0)
        d_w1 = X.T @ d_hidden

        w1 -= LEARNING_RATE * d_w1
        w2 -= LEARNING_RATE * d_w2
    return losses, np.maximum(X @ w1, 0) @ w2


def plot(losses: list[float], path: Path) -> bool:
    """Draw the loss of every iteration; return False if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(7, 3.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.semilogy(losses)
    axes.set(title="XOR, 2-30-1, ReLU", xlabel="iteration", ylabel="sum of squared errors")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return True


def main() -> int:
    """Train both ways, print both columns of losses, and compare them."""
    rng = np.random.default_rng(0)
    w1 = rng.standard_normal((D_IN, HIDDEN))
    w2 = rng.standard_normal((HIDDEN, D_OUT))

    ours, our_prediction = train_with_relu_layers(w1, w2)
    numpys, numpy_prediction = train_with_numpy(w1, w2)

    print(f"{N} rows, {D_IN}-{HIDDEN}-{D_OUT}, rate {LEARNING_RATE}, {ITERATIONS} iterations")
    print("iteration          relu_layers                NumPy")
    for i in (*range(0, ITERATIONS, 25), ITERATIONS - 1):
        print(f"{i:9d}   {ours[i]:18.12f}   {numpys[i]:18.12f}")
    print("   x             relu_layers                NumPy   wanted")
    for x, a, b, y in zip(X, our_prediction[:, 0], numpy_prediction[:, 0], Y[:, 0], strict=True):
        print(f"({x[0]:g}, {x[1]:g})   {a:18.12f}   {b:18.12f}   {y:6g}")

    if plot(ours, Path("xor_loss.png")):
        print("wrote xor_loss.png")
    else:
        print('no xor_loss.png: matplotlib is missing, pip install ".[plot]"')

    # Relative where the loss is above 1: the first losses have 13 digits that count, not 12 behind the point.
    difference = float(np.max(np.abs(np.subtract(ours, numpys)) / np.maximum(numpys, 1)))
    same = difference <= TOLERANCE
    print(f"largest difference of the {ITERATIONS} losses: {difference:.1e}")
    print("same losses: yes" if same else f"same losses: NO, more than {TOLERANCE:g} apart")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
