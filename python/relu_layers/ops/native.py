"""The ops on NumPy arrays, computed by the extension: its own functions, with the docstrings of the reference.

What holds for all of them: inputs are float32 or float64 arrays of any layout, all of one dtype; ``out`` is strict
(exact shape and dtype, C-contiguous, aligned, writable), and None makes a new array. TypeError and ValueError name
the argument, what came and what was expected. Everything is checked and allocated before the first write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relu_layers import _core
from relu_layers.ops import reference

# Type checkers take the names from the reference, whose signatures are the extension's; at run time the list does it.
if TYPE_CHECKING:
    from relu_layers.ops.reference import *
else:
    __all__ = reference.__all__
    for _name in __all__:
        globals()[_name] = getattr(_core, _name)
        _core.document(globals()[_name], getattr(reference, _name).__doc__)
