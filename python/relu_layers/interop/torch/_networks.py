"""Modules to `Sequential`, and `Sequential` to ``nn.Sequential``.

A weight is (out_features, in_features) in PyTorch and (in_features, out_features) here, inside one contiguous
array of all parameters. A transposed view of that array is a parameter that PyTorch can train in place, while the
other way round a tensor of its own cannot become a part of the one array. So `to_torch` shares memory, and
`from_torch` copies the values, or moves the module's parameters into the model's memory where it is asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from relu_layers._files.formulas import written_as
from relu_layers._support.arguments import boolean
from relu_layers._support.configured import Array
from relu_layers.interop.torch._foreign import holds_a_model, refuse
from relu_layers.interop.torch._tensors import Tensor, view
from relu_layers.interop.torch._traced import traced
from relu_layers.layers import (
    BUILT_IN,
    ELU,
    GELU,
    Clip,
    Dense,
    Dropout,
    Layer,
    LogSoftmax,
    PReLU,
    ReLU,
    Softmax,
    Softplus,
    Threshold,
)
from relu_layers.model import Sequential

_DTYPES: dict[Any, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
# Names of parameters here and there.
NAMES = {Dense: {"weight": "weight", "bias": "bias"}, PReLU: {"slope": "weight"}}


class Pair(NamedTuple):
    """One parameter on both sides: its key here, and its module and name there."""

    key: str
    module: Any
    name: str
    transposed: bool

    @property
    def parameter(self) -> Tensor:
        """PyTorch's parameter as the module holds it now."""
        return getattr(self.module, self.name)

    def here(self, tensor: Tensor) -> Array:
        """Return a tensor of the parameter's shape as an array of the shape here, in the same memory."""
        return view(tensor).T if self.transposed else view(tensor)


def _linear(owner: str, place: str, module: Any) -> Dense:
    return Dense(module.in_features, module.out_features, bias=module.bias is not None)


def _softmax(owner: str, place: str, module: Any) -> Softmax | LogSoftmax:
    if module.dim is None:
        name = type(module).__name__
        raise ValueError(f"{owner}: {place} leaves its axis to be guessed: write nn.{name}(dim=-1)")
    return LogSoftmax(module.dim) if isinstance(module, nn.LogSoftmax) else Softmax(module.dim)


def _dropout(owner: str, place: str, module: Any) -> Dropout:
    if module.p >= 1.0:
        raise ValueError(f"{owner}: {place} drops everything, expected p below 1")
    return Dropout(module.p)


def _flatten(owner: str, place: str, module: Any) -> None:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise ValueError(
            f"{owner}: {place} flattens other axes than all but the first; "
            "the nearest that is supported is nn.Flatten(), which keeps the batch axis"
        )


def _elu(owner: str, place: str, module: Any) -> ELU:
    if module.alpha < 0.0:
        raise ValueError(f"{owner}: {place} has alpha {module.alpha}, expected at least 0")
    return ELU(module.alpha)


def _softplus(owner: str, place: str, module: Any) -> Softplus:
    if module.beta != 1:
        raise ValueError(f"{owner}: {place} has beta {module.beta}, expected 1")
    return Softplus()


def _plain(kind: type[Layer]) -> Callable[[str, str, Any], Layer]:
    return lambda owner, place, module: kind()


# Activations without settings, and their modules.
_PLAIN: dict[type[Layer], Any] = {
    BUILT_IN[kind]: getattr(nn, name) for kind, name in written_as("module").items()
}
# Converters of modules; None stands for modules that do nothing to rows of features.
_READERS: dict[Any, Callable[[str, str, Any], Any]] = {
    nn.Linear: _linear,
    nn.ReLU: lambda owner, place, module: ReLU(),
    nn.LeakyReLU: lambda owner, place, module: ReLU(module.negative_slope),
    nn.PReLU: lambda owner, place, module: PReLU(module.num_parameters),
    nn.ELU: _elu,
    nn.Threshold: lambda owner, place, module: Threshold(module.threshold, module.value),
    nn.Softmax: _softmax,
    nn.LogSoftmax: _softmax,
    nn.Dropout: _dropout,
    nn.Flatten: _flatten,
    nn.Identity: lambda owner, place, module: None,
    # Before nn.Hardtanh, which it is derived from and whose forward it has.
    nn.ReLU6: lambda owner, place, module: Clip(0.0, 6.0),
    nn.Hardtanh: lambda owner, place, module: Clip(module.min_val, module.max_val),
    **{module: _plain(layer) for layer, module in _PLAIN.items()},
    nn.Softplus: _softplus,
    nn.GELU: lambda owner, place, module: GELU(module.approximate),
}


def _leaves(owner: str, module: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield place, module and supported class of everything inside nested ``nn.Sequential``, in order."""
    place = f"module {path} ({module})" if path else str(module).split("\n")[0]
    known = next((k for k in (*_READERS, nn.Sequential) if isinstance(module, k)), None)
    own = known in (None, nn.Sequential) and not type(module).__module__.startswith("torch.nn")
    if own and (known is None or type(module).forward is not known.forward) and not holds_a_model(module):
        _check_whole(owner, place, module)
        for called, child in traced(owner, place, module):
            for where, leaf, kind in _leaves(owner, child, path):
                yield (called if child is leaf else where), leaf, kind
        return
    # A subclass may compute anything, so it counts as its base class only if it has no forward of its own.
    if known is None or type(module).forward is not known.forward:
        refuse(owner, place, module, [k.__name__ for k in _READERS])
    _check_whole(owner, place, module)
    if known is not nn.Sequential:
        yield place, module, known
        return
    # Unlike named_children, this also gives a module again that stands in two places.
    for name, child in module._modules.items():
        yield from _leaves(owner, child, f"{path}.{name}" if path else name)


def _check_whole(owner: str, place: str, module: Any) -> None:
    """Raise unless a module is nothing but its parameters and its forward."""
    if nn.utils.parametrize.is_parametrized(module):
        raise ValueError(
            f"{owner}: {place} is parametrized, which is not supported: "
            "call torch.nn.utils.parametrize.remove_parametrizations first"
        )
    if any(nn.parameter.is_lazy(parameter) for parameter in module._parameters.values()):
        raise ValueError(f"{owner}: {place} has no values yet: run the module on one batch first")
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"{owner}: {place} has forward hooks, which would be lost: remove them first")


def layers_and_pairs(owner: str, module: Any) -> tuple[list[Any], list[Pair]]:
    """Return new layers for a module, and where their parameters come from."""
    layers: list[Any] = []
    pairs: list[Pair] = []
    seen: dict[int, str] = {}
    for place, leaf, known in _leaves(owner, module):
        for name, parameter in leaf.named_parameters():
            _check_parameter(owner, f"{name} of {place}", parameter)
            if id(parameter) in seen:
                raise ValueError(
                    f"{owner}: {name} of {place} is also {seen[id(parameter)]}; "
                    "shared parameters are not supported: copy.deepcopy one of the modules"
                )
            seen[id(parameter)] = f"{name} of {place}"
        layer = _READERS[known](owner, place, leaf)
        if layer is None:
            continue
        for own, theirs in NAMES.get(type(layer), {}).items():
            if getattr(leaf, theirs) is not None:
                transposed = isinstance(layer, Dense) and own == "weight"
                pairs.append(Pair(f"{len(layers)}.{own}", leaf, theirs, transposed))
        layers.append(layer)
    if not layers:
        raise ValueError(f"{owner}: the module computes nothing: it has no layer but Flatten and Identity")
    return layers, pairs


def _check_parameter(owner: str, what: str, parameter: Tensor) -> None:
    if parameter.device.type != "cpu":
        fix = "give it values first" if parameter.device.type == "meta" else "pass module.cpu()"
        raise TypeError(f"{owner}: {what} is on {parameter.device}, expected the CPU: {fix}")
    if parameter.dtype not in _DTYPES:
        raise TypeError(
            f"{owner}: {what} is {parameter.dtype}, expected torch.float32 or torch.float64: pass module.float()"
        )


def from_torch(module: Any, *, share: bool = False, rng: Any = None) -> Sequential:
    """Return a model that computes the same as a PyTorch module.

    Parameters
    ----------
    module : torch.nn.Module
        An ``nn.Sequential``, nested ones included, or a class of your own whose ``forward`` calls modules and functions
        in a row, so that `torch.fx` can trace it: of Linear, ReLU, LeakyReLU, PReLU, ELU, Threshold, ReLU6, Hardtanh,
        Softmax, LogSoftmax, Dropout, Flatten, Identity and the activations without settings that this package has
        (Sigmoid, Tanh and others), or one of these alone. float32 or float64 on the CPU.
    share : bool, keyword
        False copies the values and leaves the module as it is. True also moves the module's parameters into the
        model's memory: the same ``nn.Parameter`` objects, which optimizers know, then hold views of
        ``model.flat_params``, so that training either side trains both.
    rng : np.random.Generator, int or None, keyword
        Draws Dropout's keys and whatever the model draws later.

    Returns
    -------
    Sequential
        Of the parameters' dtype. A model has no training mode: ``model(x)`` is inference whatever
        ``module.training`` says.

    Raises
    ------
    ValueError
        A module, or an option of one, that has no counterpart; the message names it, its place and the nearest.
    TypeError
        Parameters of another dtype, of two dtypes, or not on the CPU.

    Notes
    -----
    A model works on rows of features, ``(batch, features)``, so Flatten and Identity leave no layer behind: pass
    ``x.reshape(len(x), -1)`` where the module flattens. Which parameters are frozen (``requires_grad=False``) is
    the optimizer's business here: see `optimizer_from_torch`.
    """
    owner = "from_torch"
    share = boolean(owner, "share", share)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{owner}: module is a {type(module).__name__}, expected a torch.nn.Module")
    layers, pairs = layers_and_pairs(owner, module)
    model = Sequential(*layers, dtype=_common_dtype(owner, pairs), rng=rng)
    model.load_params({pair.key: pair.here(pair.parameter) for pair in pairs})
    if share:
        for pair in pairs:
            pair.parameter.data = _shared(model.params[pair.key], pair.transposed)
    return model


def _common_dtype(owner: str, pairs: list[Pair]) -> np.dtype[Any]:
    if not pairs:
        return _DTYPES.get(torch.get_default_dtype(), np.dtype(np.float32))
    first = pairs[0].parameter.dtype
    for pair in pairs:
        if pair.parameter.dtype is not first:
            raise TypeError(
                f"{owner}: parameter {pair.key} is {pair.parameter.dtype} but {pairs[0].key} is {first}, "
                "expected one dtype: pass module.float() or module.double()"
            )
    return _DTYPES[first]


def _shared(array: Array, transposed: bool) -> Tensor:
    """Return a tensor of PyTorch's shape in the memory of a model's parameter."""
    tensor = torch.from_numpy(array)
    return tensor.T if transposed else tensor


class Shared(NamedTuple):
    """A layer's parameter as PyTorch has it."""

    name: str
    tensor: Tensor
    transposed: bool


def shared_parameters(layer: Any) -> list[Shared]:
    """Return PyTorch's names and tensors in the memory of a layer's parameters, in their order."""
    names = NAMES.get(type(layer), {})
    result = []
    for name, array in layer.params.items():
        transposed = isinstance(layer, Dense) and name == "weight"
        result.append(Shared(names.get(name, name), _shared(array, transposed), transposed))
    return result


# A module without values: they would be drawn and thrown away.
_WRITERS: dict[type, Callable[[Any], Any]] = {
    Dense: lambda layer: nn.Linear(layer.in_features, layer.out_features, layer.bias, device="meta"),
    ReLU: lambda layer: nn.LeakyReLU(layer.negative_slope) if layer.negative_slope else nn.ReLU(),
    PReLU: lambda layer: nn.PReLU(layer.features, device="meta"),
    ELU: lambda layer: nn.ELU(layer.alpha),
    Threshold: lambda layer: nn.Threshold(layer.threshold, layer.value),
    GELU: lambda layer: nn.GELU(layer.approximate),
    Clip: lambda layer: nn.Hardtanh(layer.minimum, layer.maximum),
    Softmax: lambda layer: nn.Softmax(dim=layer.axis),
    LogSoftmax: lambda layer: nn.LogSoftmax(dim=layer.axis),
    Dropout: lambda layer: nn.Dropout(layer.rate),
    **dict.fromkeys(_PLAIN, lambda layer: _PLAIN[type(layer)]()),
}


def to_torch(model: Sequential, *, share: bool = True) -> Any:
    """Return an ``nn.Sequential`` that computes the same as a model.

    Parameters
    ----------
    model : Sequential
        Of the package's own layers. Its ``preprocessing`` stays behind: the module takes what comes after it.
    share : bool, keyword
        True makes the module's parameters views of the model's: training either side trains both, and nothing is
        copied. A weight is then a transposed view, which PyTorch takes as any other. False copies the values
        into tensors of the module's own, contiguous as PyTorch makes them.

    Returns
    -------
    torch.nn.Sequential
        With the layers' own numbering, so that ``state_dict`` has ``"0.weight"`` where ``model.params`` has
        it; a PReLU's slope is its ``weight`` there. In evaluation mode, in which it equals ``model(x)``: call
        ``.train()`` before training a network with Dropout.

    Raises
    ------
    TypeError
        What came is no model.
    ValueError
        A layer of the user's own; the message names it.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"to_torch: model is a {type(model).__name__}, expected a Sequential")
    share = boolean("to_torch", "share", share)
    modules = []
    for index, layer in enumerate(model.layers):
        writer = _WRITERS.get(type(layer))
        if writer is None:
            raise ValueError(
                f"to_torch: layer {index}, {layer!r}, has no counterpart in torch.nn; "
                "Module(model) takes the whole model into PyTorch as it is"
            )
        module = writer(layer)
        for name, tensor, _ in shared_parameters(layer):
            value = tensor if share else tensor.clone(memory_format=torch.contiguous_format)
            setattr(module, name, nn.Parameter(value))
        modules.append(module)
    return nn.Sequential(*modules).eval()
