"""The layer protocol and the two base classes of the built-in layers.

Plain protocol, all that a user's own layer needs: ``forward(x, training=False) -> y``, ``backward(dy) -> dx``
and the mappings ``params`` and ``grads`` (name -> array, empty if there is nothing to learn).

Built-in layers add the keyword ``out=`` (a model hands them its workspace, then nothing is allocated),
``output_shape(input_shape)``, ``config()`` for files, and ``ops``, the namespace that computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from relu_layers._support.configured import Array, Configured
from relu_layers.initializers import Initializer
from relu_layers.layers.mapping import ArrayMapping

_PLACE = "relu_layers.layers."
# Forward and backward of the package's layers, as their files define them: of those that have been imported.
METHODS: dict[type, tuple[Callable[..., Array], Callable[..., Array]]] = {}


class LayerLike(Protocol):
    """The plain layer protocol."""

    params: Any
    grads: Any

    def forward(self, x: Array, training: bool = False) -> Array: ...

    def backward(self, dy: Array) -> Array: ...


class Layer(Configured):
    """Base of the built-in layers; as it stands, an elementwise layer without parameters.

    Attributes
    ----------
    ops : namespace
        The functions that compute, `relu_layers.ops` unless set; a model sets its own.
    in_features, out_features : int or None
        Last axis of input and output; None where any size is taken, or where the input's size is kept.
    identity_at_inference : bool
        True if the layer does nothing outside training, so that a model's inference may leave it out.
    """

    in_features: int | None = None
    out_features: int | None = None
    identity_at_inference: bool = False
    _FIXED = dict.fromkeys(
        ("in_features", "out_features", "features", "bias"), "the parameters have that size; make a new layer"
    )
    # Whether `forward` and `backward` can do the work of a ReLU beside the layer: they take `negative_slope`.
    fuses_relu: bool = False
    _saved: Any = None

    def __init_subclass__(cls, **settings: Any) -> None:
        """Note what a layer of the package computes with, to see whether something is put in its place."""
        super().__init_subclass__(**settings)
        if cls.__module__.startswith(_PLACE) and cls.__module__ != __name__:
            METHODS[cls] = cls.forward, cls.backward

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y; what `backward` needs is kept with ``training=True`` only."""
        raise NotImplementedError

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx for the last training forward; anything else before it is a RuntimeError."""
        raise NotImplementedError

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of y for an x of ``input_shape``, a ValueError if the layer cannot take it."""
        return input_shape

    @property
    def params(self) -> ArrayMapping:
        """Parameters by name."""
        return ArrayMapping("params", {})

    @property
    def grads(self) -> ArrayMapping:
        """Gradients by name, of the parameters' shapes; overwritten by every backward."""
        return ArrayMapping("grads", {})

    def _kept(self) -> Any:
        """Return what the last training forward kept for backward."""
        if self._saved is None:
            raise self._not_after_forward()
        return self._saved

    def _not_after_forward(self) -> RuntimeError:
        return RuntimeError(
            f"{self!r}: backward must follow forward(x, training=True), one backward for each; "
            "the last call on this layer was something else"
        )

    def __getstate__(self) -> dict[str, Any]:
        # A copied or pickled layer starts unbound: no ops (a module), no activations of a pass under way.
        return {name: value for name, value in self.__dict__.items() if name not in ("ops", "_saved")}


class Parameter(NamedTuple):
    """How one parameter starts."""

    shape: tuple[int, ...]
    initializer: Initializer
    fan_in: int
    fan_out: int


class ParameterLayer(Layer):
    """Base of layers with parameters; a subclass lists them in `parameters`.

    Notes
    -----
    A stand-alone layer draws its values when they are first needed: float32 on reading ``params``, the dtype
    of x on the first forward, or as asked by `initialize`. A model draws the values of layers that have none
    yet from its own generator, keeps the values of the others, and moves all of them into its contiguous
    arrays (`bind`).
    """

    def __init__(self) -> None:
        self._values: dict[str, Array] = {}
        self._gradients: dict[str, Array] = {}

    def parameters(self) -> dict[str, Parameter]:
        """Return name -> shape, initializer and fans, in the order in which they are drawn."""
        raise NotImplementedError

    @property
    def initialized(self) -> bool:
        """Whether the parameters have values yet."""
        return bool(self._values)

    def initialize(self, rng: np.random.Generator | int | None = None, dtype: Any = None) -> None:
        """Draw new values for all parameters, in place where the layer has them already.

        Parameters
        ----------
        rng : np.random.Generator, int or None
            Source of the values; None is fresh entropy.
        dtype : np.float32, np.float64 or None
            None keeps the dtype there is, else float32. A layer of a model cannot change its dtype
            (TypeError).
        """
        generator = np.random.default_rng(rng)
        have = next(iter(self._values.values()), None)
        wanted = (
            np.dtype(dtype) if dtype is not None else np.dtype(np.float32) if have is None else have.dtype
        )
        in_place = have is not None and have.dtype == wanted
        if have is not None and not in_place and not have.flags.owndata:
            raise TypeError(
                f"{self!r}: belongs to a {have.dtype} model and cannot become {wanted}; use model.astype"
            )
        drawn = {name: self._draw(name, generator, wanted) for name in self.parameters()}
        for name, value in drawn.items():
            if in_place:
                np.copyto(self._values[name], value)
            else:
                self._values[name] = np.array(value, dtype=wanted, order="C")
                self._gradients[name] = np.zeros(value.shape, dtype=wanted)

    def _draw(self, name: str, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        """Return initial values of one parameter, their shape checked."""
        spec = self.parameters()[name]
        value = spec.initializer(spec.shape, spec.fan_in, spec.fan_out, rng, dtype)
        if not isinstance(value, np.ndarray) or value.shape != spec.shape:
            raise ValueError(
                f"{self!r}: the initializer of {name} gave {getattr(value, 'shape', type(value).__name__)}, "
                f"expected an array of shape {spec.shape}"
            )
        return value

    def bind(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Copy values and gradients into the given arrays and use those from now on."""
        if not self._values:
            self.initialize(dtype=next(iter(params.values())).dtype)
        for name, value in self._values.items():
            np.copyto(params[name], value)
            np.copyto(grads[name], self._gradients[name])
        self._values.update(params)
        self._gradients.update(grads)

    @property
    def params(self) -> ArrayMapping:
        """Parameters by name."""
        if not self._values:
            self.initialize()
        return ArrayMapping("params", self._values)

    @property
    def grads(self) -> ArrayMapping:
        """Gradients by name, of the parameters' shapes; overwritten by every backward."""
        if not self._values:
            self.initialize()
        return ArrayMapping("grads", self._gradients)

    def _values_for(self, x: Array) -> dict[str, Array]:
        """Return the raw dict of parameters, drawn in the dtype of ``x`` if there are none yet."""
        if not self._values:
            self.initialize(dtype=x.dtype if x.dtype.kind == "f" else None)
        return self._values

    def __getstate__(self) -> dict[str, Any]:
        # Copies of the views, or a copied layer would share (and a pickled one carry) the model's whole flat
        # array.
        state = super().__getstate__()
        for key in ("_values", "_gradients"):
            state[key] = {name: array.copy() for name, array in state[key].items()}
        return state
