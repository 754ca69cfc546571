"""A whole model as one ``nn.Module``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd import Function

from relu_layers._configured import Array
from relu_layers.interop.torch._networks import shared_parameters
from relu_layers.interop.torch._tensors import Tensor, new, once, read, view
from relu_layers.layers import BUILT_IN
from relu_layers.model import Sequential

_BUILT_IN = frozenset(BUILT_IN.values())


class Pass(Function):  # type: ignore[misc] # PyTorch is not seen by the type checker
    """One forward of the model, and the one backward that may follow it."""

    @staticmethod
    def forward(ctx: Any, owner: Module, learning: bool, x: Tensor, *parameters: Tensor) -> Tensor:
        array = view(x)
        y = owner.model.forward(array, training=learning)
        ctx.owner, ctx.learning, ctx.array = owner, learning, array
        # Not read again, but autograd watches over what is saved: a change in place before backward is an error.
        ctx.save_for_backward(x, *parameters)
        return new(y)

    @staticmethod
    @once
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        model = ctx.owner.model
        if not ctx.learning:
            raise RuntimeError(
                "Module: no gradient in evaluation mode for a network with Dropout or layers of your own: "
                "call .train() before forward, or evaluate under torch.no_grad()"
            )
        if model._training_input(0) is not ctx.array:
            raise RuntimeError(
                "Module: another forward of the same model has come between this forward and its backward; "
                "run backward first, or give each its own copy.deepcopy of the module"
            )
        dx = _run_backward(model, view(dy), ctx.needs_input_grad[2])
        # The model overwrites its gradients with every backward, while autograd keeps what it is given.
        gradients = torch.from_numpy(model.flat_grads.copy())
        parts = gradients.split([array.size for array in model.grads.values()])
        shaped = [
            part.view(array.shape).T if transposed else part.view(array.shape)
            for part, array, transposed in zip(parts, model.grads.values(), ctx.owner.transposed, strict=True)
        ]
        needed = ctx.needs_input_grad[3:]
        wanted = (part if need else None for part, need in zip(shaped, needed, strict=True))
        return None, None, dx, *wanted


def _run_backward(model: Sequential, dy: Array, need_dx: bool) -> Tensor | None:
    """Fill the model's gradients, and return dx if it is needed: the first layer's costs a product."""
    if need_dx:
        return new(model.backward(dy))
    with model.exclusive():
        model._run_backward(dy, len(model.layers))
    return None


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
    Gradients come from the model's own backward: one for each forward, before the next forward.

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
        for index, layer in enumerate(self.model.layers):
            place = nn.Module()
            for parameter in shared_parameters(layer):
                place.register_parameter(parameter.name, nn.Parameter(parameter.tensor))
                transposed.append(parameter.transposed)
            if place._parameters:
                self.add_module(str(index), place)
        self.transposed = tuple(transposed)
        self._addresses = [parameter.data_ptr() for parameter in self.parameters()]
        self._draws = any(
            type(layer) not in _BUILT_IN or layer.identity_at_inference for layer in self.model.layers
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return y for a batch x of shape (batch, features) and the model's dtype."""
        array = read("Module", "x", x)
        if array.dtype != self.model.dtype:
            raise TypeError(
                f"Module: x is {x.dtype}, expected torch.{self.model.dtype}: pass x.to(torch.{self.model.dtype})"
            )
        parameters = list(self.parameters())
        if [parameter.data_ptr() for parameter in parameters] != self._addresses:
            raise RuntimeError(
                "Module: the parameters no longer lie in the model's memory, as after .to or .double; "
                "convert the model instead: Module(model.astype(np.float64))"
            )
        wanted = x.requires_grad or any(parameter.requires_grad for parameter in parameters)
        if not (wanted and torch.is_grad_enabled()):
            return new(self.model.forward(array, training=self.training and self._draws))
        return Pass.apply(self, self.training or not self._draws, x, *parameters)

    def __getstate__(self) -> dict[str, Any]:
        # A copy has a model, and so memory, of its own: the parameters are made from it again.
        flags = [parameter.requires_grad for parameter in self.parameters()]
        return self.__dict__ | {"_modules": {}, "_flags": flags}

    def __setstate__(self, state: dict[str, Any]) -> None:
        flags = state.pop("_flags")
        super().__setstate__(state)
        self._bind()
        for parameter, flag in zip(self.parameters(), flags, strict=True):
            parameter.requires_grad_(flag)

    def extra_repr(self) -> str:
        """Return the model's layers."""
        return repr(self.model)
