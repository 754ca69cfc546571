"""max(e, x) for any number e: the Threshold layer with both arguments equal to e.

``Threshold(threshold, value)`` passes what is above the threshold and puts ``value`` everywhere else. With
``Threshold(e, e)`` that is max(e, x); ReLU is the case e = 0. The gradient passes where x > e and is 0
where x <= e, the corner x == e included.

Run it with ``python examples/max_e_x.py``.
"""

from __future__ import annotations

import numpy as np

import relu_layers as rl

E = 0.5


def main() -> None:
    """Compare the layer with np.maximum, and its gradient with the slope of y measured on both sides of x."""
    x = np.array([-3.0, 0.0, 0.4, 0.5, 0.6, 3.0])
    layer = rl.Threshold(threshold=E, value=E)

    y = layer.forward(x, training=True)
    dx = layer.backward(np.ones_like(x))

    h = 1e-6
    left = (layer.forward(x) - layer.forward(x - h)) / h
    right = (layer.forward(x + h) - layer.forward(x)) / h

    print(f"e = {E}")
    print("     x   max(e, x)   gradient   slope left of x   slope right of x")
    for row in zip(x, y, dx, left, right, strict=True):
        print("{:6.2f} {:11.2f} {:10.0f} {:17.0f} {:18.0f}".format(*row))

    print("equal to np.maximum(e, x):", np.array_equal(y, np.maximum(E, x)))
    print(
        "Threshold(0, 0) equal to ReLU:", np.array_equal(rl.Threshold(0, 0).forward(x), rl.ReLU().forward(x))
    )


if __name__ == "__main__":
    main()
