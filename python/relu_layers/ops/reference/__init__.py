"""Every op in plain NumPy: the specification that the compiled kernels are tested against.

Same names and signatures as the native namespace, so a model runs on either. The code prefers the formula to
speed. Each family of ops is a file, whose ``__all__`` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relu_layers.ops.reference import activations, dense, dropout, losses, measures, softmax, updates
from relu_layers.ops.reference.activations import *
from relu_layers.ops.reference.dense import *
from relu_layers.ops.reference.dropout import *
from relu_layers.ops.reference.losses import *
from relu_layers.ops.reference.measures import *
from relu_layers.ops.reference.softmax import *
from relu_layers.ops.reference.updates import *

_FAMILIES = (activations, dense, dropout, losses, measures, softmax, updates)
if not TYPE_CHECKING:  # type checkers follow the stars
    __all__ = sorted(name for family in _FAMILIES for name in family.__all__)
