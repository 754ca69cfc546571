"""Tensors as the arrays that the ops take, in the same memory, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import torch
from torch.autograd.function import once_differentiable

from relu_layers._support.configured import Array

Tensor: TypeAlias = Any  # torch.Tensor; type checkers do not see PyTorch, which may be absent

_FLOATS = (torch.float32, torch.float64)
Backward = TypeVar("Backward", bound=Callable[..., Any])


def once(backward: Backward) -> Backward:
    """Mark a backward that cannot itself be differentiated: autograd raises an error."""
    return cast(Backward, once_differentiable(backward))


def view(tensor: Tensor) -> Array:
    """Return an array in the memory of a CPU tensor."""
    array: Array = tensor.detach().numpy()
    return array


def read(op: str, name: str, value: Any, like: Tensor = None) -> Array:
    """Return an array in the memory of ``value``: a float tensor on the CPU, of the dtype of ``like``."""
    array = read_any(op, name, value)
    if value.dtype not in _FLOATS:
        wanted = torch.float32 if like is None else like.dtype
        raise TypeError(
            f"{op}: {name} is {value.dtype}, expected torch.float32 or torch.float64: pass {name}.to({wanted})"
        )
    if like is not None and value.dtype != like.dtype:
        raise TypeError(
            f"{op}: {name} is {value.dtype}, expected {like.dtype} as the first tensor: "
            f"pass {name}.to({like.dtype})"
        )
    return array


def read_optional(op: str, name: str, value: Any, like: Tensor) -> Array | None:
    """Return None for None, else the result of `read`."""
    return None if value is None else read(op, name, value, like)


def read_any(op: str, name: str, value: Any) -> Array:
    """Return an array in the memory of ``value``, a dense tensor on the CPU of any dtype that NumPy has."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{op}: {name} is a {type(value).__name__}, expected a torch.Tensor: pass torch.as_tensor({name})"
        )
    if value.device.type != "cpu":
        raise TypeError(f"{op}: {name} is on {value.device}, expected a tensor on the CPU: pass {name}.cpu()")
    if value.layout is not torch.strided:
        raise TypeError(f"{op}: {name} is {value.layout}, expected a dense tensor: pass {name}.to_dense()")
    if value.dtype is torch.bfloat16:
        raise TypeError(f"{op}: {name} is torch.bfloat16, which NumPy lacks: pass {name}.to(torch.float32)")
    return view(value)


def constant(op: str, name: str, value: Any) -> None:
    """Raise if ``value`` wants a gradient that the op does not have."""
    if isinstance(value, torch.Tensor) and value.requires_grad:
        raise ValueError(f"{op}: there is no gradient for {name}, which requires grad: pass {name}.detach()")


def new(array: Array) -> Tensor:
    """Return the result of an op as a tensor of the same memory."""
    return torch.from_numpy(array)
