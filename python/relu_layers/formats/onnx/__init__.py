"""ONNX files; the extra ``onnx``."""

from __future__ import annotations

from relu_layers._support.extras import how_to_install

try:
    import onnx as _onnx  # noqa: F401  # the modules below need it
except ImportError as error:
    raise ImportError(f".onnx files need onnx: {how_to_install('onnx')}") from error

from relu_layers.formats.onnx._describe import describe
from relu_layers.formats.onnx._load import load
from relu_layers.formats.onnx._save import save

__all__ = ["describe", "load", "save"]
