"""The opponents. Each is one file that imports its own library, when it is created and not before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from relu_layers.bench.opponents.base import Opponent, Runner, UnsupportedError

__all__ = ["OPPONENTS", "Entry", "Opponent", "Runner", "UnsupportedError"]


@dataclass(frozen=True)
class Entry:
    """One column of the tables.

    Attributes
    ----------
    title : str
        Heading of the column.
    module, factory : str
        Where in this package it is, and the function or class that takes the number of threads.
    needs : tuple of str
        Modules without which it is left out.
    sections : tuple of str
        Sections in which it can take part.
    on_request : str
        The option that asks for it; empty for those that always take part.
    """

    title: str
    module: str
    factory: str
    needs: tuple[str, ...] = ()
    sections: tuple[str, ...] = ("ops", "training", "inference", "fit")
    on_request: str = ""

    def missing(self) -> str:
        """Return why it cannot take part, or an empty string."""
        absent = [name for name in self.needs if find_spec(name) is None]
        if not absent:
            return ""
        return f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed"

    def create(self, threads: int) -> Opponent:
        """Import its library, limit it to ``threads`` threads and return it."""
        module = import_module(f"relu_layers.bench.opponents.{self.module}")
        factory: Callable[[int], Opponent] = getattr(module, self.factory)
        return factory(threads)


_NETWORKS = ("training", "inference", "fit")

OURS = "relu_layers"
OPPONENTS: dict[str, Entry] = {
    OURS: Entry("relu_layers", "ours", "Ours"),
    "numpy": Entry("NumPy", "with_numpy", "NumPy"),
    "torch": Entry("PyTorch", "with_torch", "Torch", ("torch",)),
    "torch-compile": Entry(
        "torch.compile", "with_torch", "CompiledTorch", ("torch",), _NETWORKS, on_request="--compile"
    ),
    "jax": Entry("JAX", "with_jax", "Jax", ("jax",)),
    "numba": Entry("Numba", "with_numba", "Numba", ("numba", "scipy")),
    "sklearn": Entry("scikit-learn", "with_sklearn", "ScikitLearn", ("sklearn",), _NETWORKS),
    "onnxruntime": Entry(
        "ONNX Runtime", "with_onnxruntime", "OnnxRuntime", ("onnxruntime", "onnx"), ("inference",)
    ),
    "onnxruntime-binding": Entry(
        "ONNX RT bound", "with_onnxruntime", "BoundOnnxRuntime", ("onnxruntime", "onnx"), ("inference",)
    ),
    "openvino": Entry("OpenVINO", "with_openvino", "OpenVino", ("openvino",), ("inference",)),
    "litert": Entry("LiteRT", "with_litert", "LiteRt", ("ai_edge_litert", "flatbuffers"), ("inference",)),
}
