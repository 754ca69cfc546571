"""The recipe of docs/jax.md: gradients, `jit` and `vmap` give what JAX alone gives."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

jax = pytest.importorskip("jax", reason="JAX is not installed")
from jax import numpy as jnp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / "docs" / "jax.md"


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    """The names that the page's blocks define."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S):
            exec(block, names)
    return names


def arguments(rows: int = 6) -> tuple[Any, ...]:
    keys = jax.random.split(jax.random.key(1), 3)
    shapes = (rows, 5), (5, 4), (4,)
    return tuple(jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))


def both(recipe: dict[str, Any], transform: Any) -> tuple[Any, Any]:
    """Return what a transformed sum of sines of the layer is, with the op and in JAX alone."""
    return tuple(
        transform(lambda *given, layer=layer: jnp.sum(jnp.sin(layer(*given))))
        for layer in (recipe["dense_relu"], recipe["pure_jax"])
    )


def close(ours: Any, theirs: Any) -> None:
    """Float32: a dozen roundings of z, of size 10 at most, seen through a cosine and sums of 6 products."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=256 * 2.0**-23)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_gradients_are_jaxs(recipe: dict[str, Any], wrap: Any) -> None:
    given = arguments()
    ours, theirs = both(recipe, lambda f: wrap(jax.value_and_grad(f, (0, 1, 2))))
    close(ours(*given), theirs(*given))


@pytest.mark.parametrize("axes", [(0, None, None), (0, 0, None), (None, 0, 0), (0, 0, 0)])
def test_vmap_over_any_argument(recipe: dict[str, Any], axes: tuple[Any, ...]) -> None:
    stacked = [
        value if axis is None else jnp.stack([value, 0.5 * value, -value])
        for value, axis in zip(arguments(), axes, strict=True)
    ]
    ours, theirs = both(recipe, lambda f: jax.jit(jax.vmap(jax.grad(f, (0, 1, 2)), axes)))
    close(ours(*stacked), theirs(*stacked))


def test_numerical_gradients(recipe: dict[str, Any]) -> None:
    # No input of the ReLU within a step of its kink, where differences are no derivative.
    x, weight, bias = arguments()
    z = np.asarray(x @ weight + bias)
    assert np.abs(z).min() > 5e-3
    check_grads(
        recipe["dense_relu"], (x, weight, bias), order=1, modes=["rev"], eps=1e-3, atol=2e-2, rtol=2e-2
    )


def test_training_through_the_callback_learns(recipe: dict[str, Any]) -> None:
    x, weight, bias = arguments(32)
    target = jnp.tanh(x[:, :4])

    @jax.jit
    def step(weight: Any, bias: Any) -> Any:
        def loss(weight: Any, bias: Any) -> Any:
            return jnp.mean((recipe["dense_relu"](x, weight, bias) - target) ** 2)

        value, gradients = jax.value_and_grad(loss, (0, 1))(weight, bias)
        return value, weight - 0.1 * gradients[0], bias - 0.1 * gradients[1]

    values = []
    for _ in range(60):
        value, weight, bias = step(weight, bias)
        values.append(float(value))
    assert values[-1] < 0.2 * values[0]


def test_one_call_for_a_whole_batch_where_the_op_takes_leading_axes() -> None:
    """What the page says about ``vmap_method="expand_dims"``."""
    shapes = []

    def here(x: Any) -> Any:
        shapes.append(x.shape)
        return rl.ops.softmax_forward(x)

    def softmax(x: Any) -> Any:
        return jax.pure_callback(here, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")

    (x, *_) = arguments()
    close(jax.jit(jax.vmap(softmax))(x), jax.nn.softmax(x))
    assert shapes == [x.shape]
