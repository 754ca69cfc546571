# cython: language_level=3
"""A Cython module on a kernel of relu_layers."""

import numpy as np

cdef extern from *:
    """
    #include "relu_layers/relu_layers.h"

    static void leaky_relu_of(const float* x, ptrdiff_t size, float slope, float* y) {
        relu_layers::ops::relu_forward(relu_layers::flat(x, size), slope, y);
    }
    """
    void leaky_relu_of(const float* x, Py_ssize_t size, float slope, float* y) except + nogil


def leaky_relu(const float[::1] x, float slope=0.01):
    """Return x where x > 0, else slope * x: a new float32 array."""
    result = np.empty(x.shape[0], dtype=np.float32)
    cdef float[::1] y = result
    if x.shape[0]:
        with nogil:
            leaky_relu_of(&x[0], x.shape[0], slope, &y[0])
    return result
