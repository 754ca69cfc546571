"""Two moons, one network, three activations: what the boundary between the classes is made of.

A ReLU network is flat but for its folds: every hidden unit folds the plane once, along a line, so the boundary
between two classes consists of straight pieces. A leaky ReLU folds too, less sharply. Tanh has no folds, and its
boundary is smooth. The program trains the same 2-4-4-2 network with each, from the same weights, and counts into
how many flat pieces the hidden units divide the surroundings of the data: two points are on the same piece if
the same units are active there.

Run it with ``python examples/decision_boundaries.py``. If matplotlib is installed, it also writes
``decision_boundaries.png``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import relu_layers as rl

HIDDEN = 4
COLUMNS, ROWS = 200, 145  # points looked at


def train(activation: type[rl.layers.Layer], *arguments: float) -> rl.Sequential:
    """Return the network with this activation, trained on the moons."""
    x, y = rl.data.two_moons(300, noise=0.15, rng=0)
    model = rl.Sequential(
        rl.Dense(2, HIDDEN, weight_init="glorot_normal"),
        activation(*arguments),
        rl.Dense(HIDDEN, HIDDEN, weight_init="glorot_normal"),
        activation(*arguments),
        rl.Dense(HIDDEN, 2, weight_init="glorot_normal"),
        rng=4,
    )
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.Adam(0.02), rng=1)
    trainer.fit(x, y, epochs=150, batch_size=50)
    return model


def trained() -> dict[str, rl.Sequential]:
    """Return the three networks by the name of their activation."""
    return {"ReLU()": train(rl.ReLU), "ReLU(0.1)": train(rl.ReLU, 0.1), "Tanh()": train(rl.Tanh)}


def surroundings() -> np.ndarray:
    """Return the points (ROWS, COLUMNS, 2) of a grid around the moons."""
    across = np.linspace(-1.5, 2.5, COLUMNS, dtype=np.float32)
    return np.stack(np.meshgrid(across, np.linspace(-1.2, 1.7, ROWS, dtype=np.float32)), axis=-1)


def pieces(model: rl.Sequential) -> int:
    """Return how many different sets of active units there are around the moons."""
    points, active = surroundings().reshape(-1, 2), []
    for layer in model.layers[:-1]:
        points = layer.forward(points)
        if not isinstance(layer, rl.Dense):
            active.append(points > 0)
    return len(np.unique(np.packbits(np.hstack(active), axis=1), axis=0))


def plot(models: dict[str, rl.Sequential], path: Path) -> bool:
    """Draw the probability of class 1 and the boundary; return False if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    x, y = rl.data.two_moons(300, noise=0.15, rng=0)
    grid = surroundings()
    figure = Figure(figsize=(9, 2.6), dpi=100, layout="constrained")
    for axes, (name, model) in zip(figure.subplots(1, 3, sharey=True), models.items(), strict=True):
        probability = model.predict_proba(grid)[..., 1]
        axes.contourf(grid[..., 0], grid[..., 1], probability, 10, cmap="RdBu_r", vmin=-1, vmax=2)
        axes.contour(grid[..., 0], grid[..., 1], probability, [0.5], colors="black", linewidths=1.5)
        for label, marker, color in ((0, "o", "#12284c"), (1, "^", "#8f2d0a")):
            axes.scatter(*x[y == label].T, s=9, marker=marker, color=color, linewidths=0)
        axes.set(title=name, aspect="equal", xticks=[], yticks=[])
    figure.savefig(path)
    return True


def main() -> None:
    """Train with each activation, print accuracy and pieces, draw the boundaries."""
    x, y = rl.data.two_moons(1000, noise=0.15, rng=1)
    models = trained()
    for name, model in models.items():
        right = np.mean(model.predict(x) == y)
        flat = "no flat piece" if name == "Tanh()" else f"{pieces(model)} flat pieces"
        print(f"{name:10} {right:.1%} of 1,000 new points right, {flat}")
    if plot(models, Path("decision_boundaries.png")):
        print("wrote decision_boundaries.png")


if __name__ == "__main__":
    main()
