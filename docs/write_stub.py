"""Write python/relu_layers/_core.pyi from the extension: ``python docs/write_stub.py``.

Names, parameters and defaults are those of the signatures that the extension itself shows; their types, which these do
not say, and the words on the classes are in the tables here. A test compares the file with them, so run this after a
change of the extension.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import GetSetDescriptorType

from relu_layers import _core
from relu_layers.ops import native

STUB = Path(__file__).resolve().parent.parent / "python" / "relu_layers" / "_core.pyi"
WIDTH = 110
START = '''"""The compiled extension, which checks its arguments itself.

The ops in it have the types of `ops.reference`.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
'''
CLASSES = {
    "Watched": "Base of what captures depend on: a public attribute that is set or deleted makes them look again.",
    "Shortcut": """A method of Watched objects that returns what its object's shortcut returns, unless that is None.

    Where there is none, or the arguments are not all by position and as many as fit, the function is called.
    """,
    "PackedWeight": """A float matrix, and a copy of it in the order in which `dense_forward` reads its ``weight``.

    The matrix must be C-contiguous, and keep its numbers.
    """,
    "UsageGuard": """Who may use a model now: any number of inferences, or one thread that trains.

    A clash is a RuntimeError, never a wait. As a context manager it is the exclusive use, which its own thread may
    nest, and in which it may also run inference.
    """,
    "Capture": """What the ops of one thread are asked to do between `start` and `stop`, kept instead of done.

    The arrays, of one batch's shapes, stand for memory that each replay brings along; the target may be
    ``(columns, values)``.
    """,
    "TrainingReplay": "Captured steps of one trainer.",
    "PassReplay": "Captured training forwards of one model, and their backwards.",
    "UpdateReplay": "Captured updates of one optimizer.",
    "InferenceReplay": "Captured inferences of one model.",
}
# Members without a signature.
OTHERS = {
    "Shortcut": (
        "    def __call__(self, *arguments: Any, **named: Any) -> Any: ...\n",
        "    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., Any]: ...\n",
    ),
}
# Of a parameter by its name, of one function or class by both; any other is an object.
PARAMETERS = {
    "accumulate": "bool",
    "backward": "Capture",
    "block": "int",
    "callable": "Callable[..., Any] | None",
    "capture": "Capture",
    "clip_norm": "float",
    "close_last": "bool",
    "constant": "type",
    "count": "int",
    "counters": "list[Any]",
    "dtype": "np.dtype[Any]",
    "error": "BaseException | None",
    "first_row": "int",
    "forward": "Capture",
    "function": "Callable[..., Any]",
    "grad_scale": "float",
    "guard": "UsageGuard",
    "guards": "list[UsageGuard]",
    "in_parts": "bool",
    "kind": "type[BaseException] | None",
    "n": "int",
    "last": "bool",
    "name": "str",
    "nanoseconds": "float",
    "need_dx": "bool",
    "own": "int",
    "phase": "int",
    "processes": "int",
    "rate": "float",
    "root": "str",
    "rows": "int",
    "seconds": "float",
    "shape": "tuple[int, ...]",
    "share": "float",
    "stepping": "bool",
    "steps": "int",
    "text": "str",
    "trace": "TracebackType | None",
    "watched": "list[Watched]",
    "TrainingReplay.accumulate": "int",
    "TrainingReplay.clip_norm": "object",
    "all_finite.x": "NDArray[Any]",
    "configuration_changed.object": "Watched",
    "set_shortcut.object": "Watched",
}
# Likewise what a function returns, or a property is; any other returns None.
RESULTS = {
    "all_finite": "bool",
    "compiled_targets": "list[str]",
    "compiler": "str",
    "cpu_quota": "float | None",
    "current": "bool",
    "default_num_threads": "int",
    "empty": "NDArray[Any]",
    "fits": "bool",
    "num_threads": "int",
    "processes_can_meet": "bool",
    "shared_elements": "int",
    "refused_target": "str | None",
    "target": "str",
    "targets": "list[str]",
    "use_target": "bool",
    "version": "int",
    "Capture.failure": "str | None",
    "InferenceReplay.count": "int",
    "InferenceReplay.infer": "Any",
    "PassReplay.backward": "NDArray[Any] | bool | None",
    "PassReplay.batch": "NDArray[Any]",
    "PassReplay.forward": "NDArray[Any] | None",
    "PassReplay.forwards": "int",
    "PassReplay.pending": "bool",
    "TrainingReplay.find": "Capture | None",
    "TrainingReplay.gradient": "tuple[float, int, float] | None",
    "TrainingReplay.step": "float | None",
    "TrainingReplay.epochs": "tuple[int, int]",
    "TrainingReplay.stretch": "tuple[int, int]",
    "TrainingReplay.update": "bool",
    "UpdateReplay.update": "float",
}


def type_in(table: dict[str, str], owner: str, name: str, otherwise: str) -> str:
    """Return the entry of ``owner.name``, else that of the name."""
    return table.get(f"{owner}.{name}", table.get(name, otherwise))


def parameters(owner: str, function: object) -> list[str]:
    """Return the parameters of a function or of a class as the stub declares them."""
    declared = []
    for name, parameter in inspect.signature(function).parameters.items():  # type: ignore[arg-type]
        if name == "self":
            declared.append(name)
            continue
        text = f"{name}: {type_in(PARAMETERS, owner, name, 'object')}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}".replace("'", '"')
        declared.append(text)
    return declared


def declaration(name: str, given: list[str], returned: str, indent: str = "") -> str:
    """Return a function of the stub, broken as the formatter of the project breaks it."""
    line = f"{indent}def {name}({', '.join(given)}) -> {returned}: ...\n"
    if len(line) <= WIDTH + 1:
        return line
    inner = f"{indent}    {', '.join(given)}\n"
    if len(inner) > WIDTH + 1:
        inner = "".join(f"{indent}    {item},\n" for item in given)
    return f"{indent}def {name}(\n{inner}{indent}) -> {returned}: ...\n"


def class_of(cls: type) -> Iterator[str]:
    """Yield the declaration of a class in pieces."""
    owner = cls.__name__
    yield f'\nclass {owner}:\n    """{CLASSES[owner]}"""\n\n'
    yield declaration("__init__", ["self", *parameters(owner, cls)], "None", "    ")
    yield from OTHERS.get(owner, ())
    for name, item in vars(cls).items():
        if isinstance(item, GetSetDescriptorType) and not name.startswith("_"):
            yield "    @property\n"
            yield declaration(name, ["self"], type_in(RESULTS, owner, name, "None"), "    ")
        elif callable(item) and (not name.startswith("__") or name in ("__enter__", "__exit__")):
            yield declaration(name, parameters(owner, item), type_in(RESULTS, owner, name, "None"), "    ")


def stub() -> str:
    """Return the whole stub. The ops are not in it: type checkers take them from the reference."""
    items = {name: item for name, item in vars(_core).items() if not name.startswith("_")}
    pieces = [START, "\n"]
    pieces += [f"{name}: {type(item).__name__}\n" for name, item in items.items() if not callable(item)]
    pieces.append("\n")
    for name in sorted(items.keys() - set(native.__all__)):
        if callable(items[name]) and not isinstance(items[name], type):
            pieces.append(declaration(name, parameters(name, items[name]), RESULTS.get(name, "None")))
    for item in items.values():
        if isinstance(item, type):
            pieces += class_of(item)
    return "".join(pieces)


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
