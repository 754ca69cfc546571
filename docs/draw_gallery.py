"""Draw the pictures of the gallery: ``python docs/draw_gallery.py`` writes them to docs/pictures/gallery.

Each function draws one example, with the example's own functions. It needs matplotlib and scikit-learn.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import relu_layers as rl

DOCS = Path(__file__).resolve().parent
PICTURES = DOCS / "pictures" / "gallery"
FIRST = {"color": "#12284c", "linewidth": 2.0}
SECOND = {"color": "#b4460f", "linewidth": 2.0, "linestyle": (0, (5, 1.5))}


def example(name: str) -> ModuleType:
    """Import an example, which is a file of its own and in no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS.parent / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def panels(count: int) -> tuple[Figure, Any]:
    """Return a figure of some panels side by side."""
    figure = Figure(figsize=(9, 3.1) if count > 1 else (7, 3.1), dpi=100, layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for each in axes:
        each.grid(alpha=0.3)
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def xor(path: Path) -> None:
    module = example("xor")
    rng = np.random.default_rng(0)
    losses, _ = module.train_with_relu_layers(rng.standard_normal((2, 30)), rng.standard_normal((30, 1)))
    module.plot(losses, path)


def tanh_for_relu(path: Path) -> None:
    module = example("tanh_for_relu")
    figure, (left, right) = panels(2)
    x = np.linspace(-3, 3, 301)
    for activation, style in ((rl.ReLU(), FIRST), (rl.Tanh(), SECOND)):
        left.plot(x, activation.forward(x), label=repr(activation), **style)
        right.semilogy(module.train(activation)[0]["loss"], label=repr(activation), **style)
    left.set(title="the activation", xlabel="x", ylabel="y")
    right.set(title="the moons are learned", xlabel="epoch", ylabel="loss")
    left.legend(frameon=False)
    figure.savefig(path)


def leaky_relu(path: Path) -> None:
    module = example("leaky_relu")
    figure, (left, right) = panels(2)
    for slope, style in ((0.0, FIRST), (module.SLOPE, SECOND)):
        history, _ = module.train(slope)
        left.plot(history["dead_units"][:, 0], label=f"slope {slope:g}", **style)
        right.semilogy(history["loss"], label=f"slope {slope:g}", **style)
    left.set(
        title="units that are off for every row", xlabel="epoch", ylabel="dead units of 16", ylim=(-0.5, 17)
    )
    right.set(title="the loss", xlabel="epoch")
    left.legend(frameon=False)
    figure.savefig(path)


def max_e_x(path: Path) -> None:
    e = example("max_e_x").E
    figure, (axes,) = panels(1)
    x = np.linspace(-2, 2, 401)
    layer = rl.Threshold(e, e)
    y = layer.forward(x, training=True)
    axes.plot(x, y, label=f"y = max({e:g}, x)", **FIRST)
    axes.plot(x, layer.backward(np.ones_like(x)), label="its gradient", **SECOND)
    axes.set(xlabel="x", aspect="equal")
    axes.legend(frameon=False)
    figure.savefig(path)


def kernel_in_pipeline(path: Path) -> None:
    module = example("kernel_in_pipeline")
    growth = module.differences(module.sound(100, np.random.default_rng(0)))
    figure, (left, right) = panels(2)
    left.plot(np.arange(1, 100), growth.sum(axis=1), **FIRST)
    left.set(title="differences, summed", xlabel="frame")
    right.plot(np.arange(1, 100), rl.ops.relu_forward(growth, out=growth).sum(axis=1), **FIRST)
    right.set(title="only what grew: after ReLU", xlabel="frame")
    for beat in module.BEATS:
        for axes in (left, right):
            axes.axvline(beat, zorder=0, **{**SECOND, "linewidth": 1.0})
    figure.savefig(path)


def cartpole(path: Path) -> None:
    module = example("cartpole")
    figure, axes = panels(2)
    for each, (name, (program, sizes, loss, updates)) in zip(axes, module.PROGRAMS.items(), strict=True):
        model = rl.mlp(sizes, dtype=np.float64, rng=1)
        _, lengths = program(module.Ours(model, loss()), updates, seed=0)
        each.plot(lengths, **{**FIRST, "linewidth": 1.0})
        each.set(title=name, xlabel="episode", ylim=(0, module.LONGEST + 10))
    axes[0].set(ylabel="steps that the pole stands")
    figure.savefig(path)


def decision_boundaries(path: Path) -> None:
    module = example("decision_boundaries")
    module.plot(module.trained(), path)


def digits_confusion(path: Path) -> None:
    module = example("digits_confusion")
    module.plot(module.confusion(*module.read_digits()), path)


DRAWN: tuple[Callable[[Path], None], ...] = (
    xor,
    cartpole,
    tanh_for_relu,
    leaky_relu,
    max_e_x,
    kernel_in_pipeline,
    decision_boundaries,
    digits_confusion,
)


def main(folder: Path = PICTURES) -> None:
    """Draw all pictures, with a palette of at most 64 colours so that they stay small."""
    folder.mkdir(parents=True, exist_ok=True)
    for draw in DRAWN:
        path = folder / f"{draw.__name__}.png"
        draw(path)
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
