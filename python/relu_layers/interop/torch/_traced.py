"""Modules with a forward of their own, as `torch.fx` traces them: the modules and functions that it calls in a row."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import torch
from torch import fx, nn
from torch.nn import functional

_ADVICE = (
    "write the same layers as an nn.Sequential, or export the module with torch.onnx.export and load the file"
)


def traced(owner: str, place: str, module: Any) -> Iterator[tuple[str, Any]]:
    """Yield place and module of everything that the forward of a module calls, in order.

    Functions and methods are yielded as the modules of torch.nn that do the same.

    Raises
    ------
    ValueError
        The forward cannot be traced, takes more than one tensor, branches, or calls something without a counterpart.
    """
    # As in evaluation, so that dropout that asks whether the module trains differs from dropout that never does.
    modes = [(each, each.training) for each in module.modules()]
    try:
        module.eval()
        graph = fx.symbolic_trace(module).graph
    except Exception as error:  # whatever the module's own code raises on values that are not there yet
        raise ValueError(
            f"{owner}: {place} has a forward that torch.fx cannot trace ({str(error)[:200]}): {_ADVICE}"
        ) from None
    finally:
        for each, training in modes:
            each.training = training
    current: Any = None
    sizes: set[Any] = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            # Further arguments keep their defaults, unless something takes them.
            current = node if current is None else current
        elif node.op == "output":
            if node.args[0] is not current:
                _refuse(owner, place, "returns something else than what it computed last")
        elif _is_size(node, current, sizes):
            sizes.add(node)
        else:
            what = f"{node.op.removeprefix('call_')} {_name(node.target)} in {place}"
            if node.op == "get_attr" or any(
                each is not current and each not in sizes for each in node.all_input_nodes
            ):
                _refuse(
                    owner,
                    what,
                    "takes something else than what was computed last: only layers in a row are read",
                )
            if not node.args or node.args[0] is not current:
                _refuse(owner, what, f"has arguments that are not read: {node.args} {dict(node.kwargs)}")
            yield what, _module_of(owner, what, module, node, sizes)
            current = node


def _refuse(owner: str, place: str, reason: str) -> NoReturn:
    raise ValueError(f"{owner}: {place} {reason}; {_ADVICE}")


def _name(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))


def _is_size(node: Any, current: Any, sizes: set[Any]) -> bool:
    """Return whether a node is the shape of the current value, or the first length in it."""
    if node.op == "call_method" and node.target == "size" and node.args[0] is current:
        return node.args[1:] in ((), (0,))
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[0] is current and node.args[1] == "shape"
    return node.target is operator.getitem and node.args[0] in sizes and node.args[1] == 0


def _module_of(owner: str, what: str, module: Any, node: Any, sizes: set[Any]) -> Any:
    if node.op == "call_module":
        return module.get_submodule(node.target)
    maker = (_FUNCTIONS if node.op == "call_function" else _METHODS).get(node.target)
    if maker is None:
        known = sorted({_name(target) for target in (*_FUNCTIONS, *_METHODS)})
        _refuse(owner, what, f"has no counterpart here, supported are modules and {', '.join(known)}")
    try:
        return maker(
            *(_ROWS if each in sizes else each for each in _hashable(node.args[1:])), **_known(node.kwargs)
        )
    except TypeError as error:
        _refuse(owner, what, f"has arguments that are not read ({error})")


# What stands for the number of rows in the arguments of a view.
_ROWS = -2


def _hashable(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments with the lengths of a view in a row, however they are given."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        return tuple(args[0])
    return args


def _known(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords but those that change no value."""
    return {
        name: value
        for name, value in kwargs.items()
        if name not in ("inplace", "_stacklevel", "dtype") or (name == "dtype" and value is not None)
    }


def _relu(inplace: bool = False) -> nn.Module:
    return nn.ReLU()


def _leaky(negative_slope: float = 0.01, inplace: bool = False) -> nn.Module:
    return nn.LeakyReLU(negative_slope)


def _elu(alpha: float = 1.0, inplace: bool = False) -> nn.Module:
    return nn.ELU(alpha)


def _silu(inplace: bool = False) -> nn.Module:
    return nn.SiLU()


def _selu(inplace: bool = False) -> nn.Module:
    return nn.SELU()


def _hardtanh(min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> nn.Module:
    return nn.Hardtanh(min_val, max_val)


def _relu6(inplace: bool = False) -> nn.Module:
    return nn.ReLU6()


def _softmax(dim: int | None = None) -> nn.Module:
    return nn.Softmax(dim)


def _log_softmax(dim: int | None = None) -> nn.Module:
    return nn.LogSoftmax(dim)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    if training is not False:
        raise TypeError("without training=self.training it drops in evaluation too")
    return nn.Dropout(p)


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


def _view(*lengths: int) -> nn.Module:
    """Return the Flatten that a view of rows is."""
    rows, *rest = lengths
    if len(rest) != 1 or (rows != _ROWS and rest == [-1]) or (rows, rest) == (_ROWS, [_ROWS]):
        raise TypeError("expected x.view(len(x), -1) or x.view(-1, features)")
    return nn.Flatten()


_FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    torch.relu: _relu, functional.relu: _relu, functional.leaky_relu: _leaky, functional.elu: _elu,
    torch.sigmoid: nn.Sigmoid, functional.sigmoid: nn.Sigmoid, torch.tanh: nn.Tanh, functional.tanh: nn.Tanh,
    functional.silu: _silu, torch.softmax: _softmax, functional.softmax: _softmax,
    torch.log_softmax: _log_softmax, functional.log_softmax: _log_softmax, functional.dropout: _dropout,
    functional.gelu: nn.GELU, functional.selu: _selu, torch.selu: _selu, functional.softplus: nn.Softplus,
    functional.hardtanh: _hardtanh, functional.relu6: _relu6,
    torch.flatten: _flatten, torch.reshape: _view,
}  # fmt: skip
_METHODS: dict[str, Callable[..., nn.Module]] = {
    "relu": _relu, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softmax": _softmax, "log_softmax": _log_softmax,
    "flatten": _flatten, "view": _view, "reshape": _view,
}  # fmt: skip
