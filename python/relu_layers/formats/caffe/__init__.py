"""Caffe's files: prototxt and caffemodel in and out, solver prototxt in; nothing of Caffe is needed."""

from __future__ import annotations

from relu_layers.formats.caffe._load import load
from relu_layers.formats.caffe._save import save
from relu_layers.formats.caffe._solver import Solver, read_solver

__all__ = ["Solver", "load", "read_solver", "save"]
