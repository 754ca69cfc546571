"""A whole model as one ``nn.Module``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.autograd import Function

from relu_layers.interop.torch._networks import shared_parameters
from relu_layers.interop.torch._tensors import Tensor, new, once, read, view
from relu_layers.layers import BUILT_IN, Dropout
from relu_layers.model import Sequential

_BUILT_IN = frozenset(BUILT_IN.values())


class Pass(Function):  # type: ignore[misc] # PyTorch is not seen by the type checker
    """A forward of the model, and the backward for it, or several."""

    @staticmethod
    def forward(ctx: Any, owner: Module, learning: bool, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.owner, ctx.array = owner, view(x)
        # The masks of this forward; in evaluation mode there are none.
        ctx.masks = [(layer, layer.state()) for layer in owner.dropouts] if learning else None
        ctx.passed = owner.model.training_pass(ctx.array) if learning else None
        y = owner.model(ctx.array) if ctx.passed is None else ctx.passed.y
        # Not read again, but autograd watches saved tensors: a change in place before backward is an error.
        ctx.save_for_backward(x, *parameters)
        return new(y)

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        model, transposed = ctx.owner.model, ctx.owner.transposed
        passed, need_dx = ctx.passed, ctx.needs_input_grad[2]
        # Whether the intermediates are gone, or were never kept, as in evaluation mode.
        gone = passed is None or not passed.ready
        with _as_it_was(ctx.owner, ctx.masks) if gone else nullcontext():
            if gone:
                passed = model.training_pass(ctx.array)
            dx = passed.backward(view(dy), need_dx=need_dx)
        # The model overwrites its gradients with every backward, while autograd keeps the arrays it is given.
        gradients = torch.from_numpy(model.flat_grads.copy())
        parts = gradients.split([array.size for array in model.grads.values()])
        shaped = (part.view(array.shape) for part, array in zip(parts, model.grads.values(), strict=True))
        wanted = (
            (part.T if turned else part) if needed else None
            for part, turned, needed in zip(shaped, transposed, ctx.needs_input_grad[3:], strict=True)
        )
        return None, None, new(dx) if need_dx else None, *wanted


@contextmanager
def _as_it_was(owner: Module, masks: list[tuple[Dropout, dict[str, int]]] | None) -> Iterator[None]:
    """Repeat a forward inside: its masks come again, or none for a forward in evaluation mode."""
    if owner.has_foreign_layers:
        raise RuntimeError(
            "Module: with layers of your own, backward must follow a forward in training mode, one backward for "
            "each, before the next forward of the same model"
        )
    now = [(layer, layer.state(), layer.rate) for layer in owner.dropouts]
    try:
        for layer, state in masks or ():
            layer.load_state(state)
        if masks is None:
            for layer in owner.dropouts:
                layer.rate = 0.0
        yield
    finally:
        for layer, state, rate in now:
            layer.load_state(state)
            layer.rate = rate


class Module(nn.Module):  # type: ignore[misc]
    """A model inside a PyTorch program: its parameters are this module's, in the same memory.

    Parameters
    ----------
    model : Sequential
        Of any layers, a user's own included; it stays usable beside the module, and training either trains both.

    Attributes
    ----------
    model : Sequential
        The model itself.

    Notes
    -----
    Parameters have PyTorch's names and shapes (a weight is a transposed view), so that ``state_dict`` fits the
    ``nn.Sequential`` that `to_torch` gives. In training mode Dropout is at work, in evaluation mode it is not.
    Gradients come from the model's own backward. A second backward repeats the forward first, and so does a backward in
    evaluation mode; with layers of a user's own it is a RuntimeError, as is one after another forward.

    The parameters live in the CPU memory of the model. ``.to``, ``.double`` and the like would part them from it,
    and the next forward says so: convert the model instead, ``Module(model.astype(np.float64))``.
    """

    def __init__(self, model: Sequential) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"Module: model is a {type(model).__name__}, expected a Sequential")
        super().__init__()
        self.model = model
        self._bind()

    def _bind(self) -> None:
        """Make parameters of the model's arrays, in submodules that carry the layers' numbers."""
        transposed = []
        # Where the parameters are; `parameters()` walks through all modules, which takes as long as a small model.
        self._places: list[tuple[dict[str, Any], str]] = []
        for index, layer in enumerate(self.model.layers):
            place = nn.Module()
            for parameter in shared_parameters(layer):
                place.register_parameter(parameter.name, nn.Parameter(parameter.tensor))
                transposed.append(parameter.transposed)
                self._places.append((place._parameters, parameter.name))
            if place._parameters:
                self.add_module(str(index), place)
        self.transposed = tuple(transposed)
        self._addresses = [held[name].data_ptr() for held, name in self._places]
        layers = self.model.layers
        self.dropouts = [layer for layer in layers if type(layer) is Dropout]
        self.has_foreign_layers = any(type(layer) not in _BUILT_IN for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return y for a batch x of shape (batch, features) and the model's dtype."""
        array = read("Module", "x", x)
        if array.dtype != self.model.dtype:
            raise TypeError(
                f"Module: x is {x.dtype}, expected torch.{self.model.dtype}: pass x.to(torch.{self.model.dtype})"
            )
        parameters = [held[name] for held, name in self._places]
        if [parameter.data_ptr() for parameter in parameters] != self._addresses:
            raise RuntimeError(
                "Module: the parameters no longer lie in the model's memory, as after .to or .double; "
                "convert the model instead: Module(model.astype(np.float64))"
            )
        wanted = x.requires_grad or any(parameter.requires_grad for parameter in parameters)
        if not (wanted and torch.is_grad_enabled()):
            differs = self.dropouts or self.has_foreign_layers
            return new(self.model.forward(array, training=self.training and bool(differs)))
        return Pass.apply(self, self.training, x, *parameters)

    def __getstate__(self) -> dict[str, Any]:
        # A copy has a model, and so memory, of its own: the parameters are made from it again.
        flags = [parameter.requires_grad for parameter in self.parameters()]
        return self.__dict__ | {"_modules": {}, "_places": [], "_flags": flags}

    def __setstate__(self, state: dict[str, Any]) -> None:
        flags = state.pop("_flags")
        super().__setstate__(state)
        self._bind()
        for parameter, flag in zip(self.parameters(), flags, strict=True):
            parameter.requires_grad_(flag)

    def extra_repr(self) -> str:
        """Return the model's layers."""
        return repr(self.model)
