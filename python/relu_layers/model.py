"""Sequential: layers in a row on one set of contiguous arrays; `mlp`, the usual network in one call; `freeze`."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Self, overload

import numpy as np

from relu_layers import ops as native_ops
from relu_layers._core import UsageGuard
from relu_layers._engine import flat_arrays
from relu_layers._engine.alive import Pass, Runner, apart
from relu_layers._engine.captures import InferenceCaptures
from relu_layers._engine.frozen import FrozenModel as FrozenModel
from relu_layers._engine.inference import Inference
from relu_layers._engine.loop_captures import LoopCaptures
from relu_layers._engine.passes import Passes
from relu_layers._support.arguments import (
    choice,
    integer,
    named_arguments,
    real,
    strict_array,
)
from relu_layers._support.attributes import Fixed, assigned
from relu_layers._support.configured import Array, Ops
from relu_layers._support.generators import renew_after_fork
from relu_layers._support.spelling import ACTIVATION_NAMES, ACTIVATIONS, plain_name
from relu_layers._support.usage import alone, still
from relu_layers.layers import Dense, Dropout, Layer, ReLU, built_in
from relu_layers.layers.mapping import ArrayMapping, checked_value, in_order, unknown_key

if TYPE_CHECKING:
    from relu_layers._support.files import AnyPath


class Sequential(Inference, Fixed):
    """Layers in a row.

    Parameters
    ----------
    *layers
        Built-in layers or a user's own objects with the plain layer protocol (``forward(x, training=False)``,
        ``backward(dy)``, ``params``, ``grads``). An object serves one place in one model. A user's layer
        keeps its arrays in dicts ``params`` and ``grads`` and reads them from there: the model replaces the
        entries by views of its own. Built-in layers that it is made of it names in ``layers``, a tuple; they are bound
        with it (keys ``"1.0.weight"``: layer 1, its first part), and its forward and backward call theirs.
    dtype : np.float32 or np.float64, keyword
        Of inputs, parameters and results.
    rng : np.random.Generator, int or None, keyword
        Draws the initial values of layers that have none yet, then Dropout's keys. None is fresh entropy.
    ops : namespace or None, keyword
        What computes: None is `relu_layers.ops`; `relu_layers.ops.reference` is plain NumPy.

    Attributes
    ----------
    params, grads : mapping
        ``"0.weight"`` -> view of ``flat_params`` / ``flat_grads``. Assigning copies after checking shape and
        dtype.
    flat_params, flat_grads : ndarray, 1-D contiguous
        All parameters, all gradients.
    preprocessing : object or None
        What the data went through before training; travels with the model's file.
    predicts : {"numbers", "classes"} or None
        What `predict` returns, as the loss of the last trainer had it; None leaves that to the last layer.
    card : dict or None
        What the model was trained on and how well, of text, numbers, lists and dicts: travels with the model's file.
        `relu-layers train` writes one; of your own it may hold anything. Further training leaves it as it is.

    Notes
    -----
    ``len(model)``, ``model[i]``, ``model[i:j]`` (a tuple) and iteration are those of its layers, ``model.layers``.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> model = rl.Sequential(rl.Dense(784, 128), rl.ReLU(0.01), rl.Dense(128, 10), rng=0)
    >>> images = np.zeros((3, 784), dtype=np.float32)
    >>> model(images).shape, model.predict_proba(images)[0, 0]
    ((3, 10), np.float32(0.1))
    >>> sorted(model.params)
    ['0.bias', '0.weight', '2.bias', '2.weight']
    """

    card: dict[str, Any] | None
    _FIXED: ClassVar[Mapping[str, str]] = {
        "layers": "make a new Sequential of the layers wanted; layers keep their values",
        "params": "model.params[name] = array, or model.load_params(mapping)",
        "grads": "model.grads[name] = array",
        "flat_params": "model.flat_params[:] = values",
        "flat_grads": "model.flat_grads[:] = values",
        "dtype": "model.astype(dtype) returns a copy in another",
    }  # fmt: skip

    def __init__(
        self,
        *layers: Any,
        dtype: Any = np.float32,
        rng: np.random.Generator | int | None = None,
        ops: Ops | None = None,
    ) -> None:
        flat_arrays.check_layers(layers)
        kind = _float_dtype(dtype)
        ops = native_ops if ops is None else ops
        self.rng = np.random.default_rng(rng)
        self.preprocessing = None
        self.predicts = None
        self.card = None
        self._assemble(layers, kind, ops)
        for layer in layers:
            if isinstance(layer, Dropout):
                layer.load_state_dict({"key": int(self.rng.integers(0, 2**63)), "counter": 0})

    def _assemble(
        self, layers: tuple[Any, ...], dtype: np.dtype[Any], ops: Ops, may_round: bool = False
    ) -> None:
        """Bind ``layers`` to new flat arrays of ``dtype``, values kept, or rounded if that is allowed."""
        flat_arrays.claim(layers, self)
        renew_after_fork(self)
        self._made = False
        self.layers = layers
        self.dtype = dtype
        self.ops = ops
        self._wire(UsageGuard(), *flat_arrays.bind(layers, dtype, self.rng, may_round))

    def _wire(
        self,
        guard: UsageGuard,
        flat_params: Array,
        flat_grads: Array,
        params: dict[str, Array],
        grads: dict[str, Array],
    ) -> None:
        """Make what runs the layers, whose arrays are these."""
        layers, dtype = self.layers, self.dtype
        self.flat_params, self.flat_grads = flat_params, flat_grads
        self.params = ArrayMapping("params", params)
        self.grads = ArrayMapping("grads", grads)
        self._shapes = {key: array.shape for key, array in params.items()}
        views = [flat_arrays.views_of(i, layer, params, grads) for i, layer in enumerate(layers)]
        self._passes = Passes(layers, views, dtype)
        self._guard = guard
        self._runner = Runner(self._passes, self._guard)
        self._loop = LoopCaptures(self._runner, self.ops, flat_grads)
        self._captures = InferenceCaptures(self._passes, layers, self.ops, guard, self.flat_params)
        self._made = True

    @assigned
    def ops(self, namespace: Ops) -> Ops:
        """The namespace that computes; one that is assigned computes in all built-in layers from then on."""
        for layer in flat_arrays.parts_of(self.layers):
            if isinstance(layer, Layer):
                layer.ops = namespace
        return namespace

    @assigned
    def predicts(self, value: str | None) -> str | None:
        """What `predict` returns, as the loss of the last trainer had it; None leaves that to the last layer."""
        return None if value is None else choice("Sequential", "predicts", value, ("numbers", "classes"))

    @assigned
    def rng(self, value: np.random.Generator | int | None) -> np.random.Generator:
        """Source of initial values, masks and a trainer's shuffling; the seed of one may be assigned."""
        return np.random.default_rng(value)

    # --- the layers as a sequence ---

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...

    def __getitem__(self, index: int | slice) -> Any:
        """Return a layer, or a tuple of layers for a slice."""
        return self.layers[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    # --- training pass ---

    def forward(self, x: Array, training: bool = False) -> Array:
        """Return y, a new array; with ``training=True`` the layers keep what `backward` needs.

        The first layer keeps x itself, so leave x unchanged until backward.
        """
        if not training:
            return self(x)
        y = self._loop.forward(x)
        if y is None:
            latest = self._loop.run(strict_array("Sequential", "x", x, self.dtype), whole=False)
            y = latest.y
        return y

    def backward(self, dy: Array, *, need_dx: bool = True, accumulate: bool = False) -> Any:
        """Fill ``grads`` and return dx, a new array: `Pass.backward` of the latest pass.

        Follows a ``forward(x, training=True)`` or a ``run(x)``, one backward for each, without an update in between;
        else it is a RuntimeError. Inference in between changes nothing.

        Parameters
        ----------
        dy : ndarray
            Of the shape of the outputs and the model's dtype.
        need_dx : bool, keyword
            False returns None and saves the product for the gradient of x.
        accumulate : bool, keyword
            Whether gradients are added to those that ``grads`` holds.
        """
        return self._loop.backward(dy, need_dx, accumulate)

    def run(self, x: Array) -> Pass:
        """Return a training forward of its own, of which any number may be alive: see `Pass`.

        Parameters
        ----------
        x : ndarray (batch, features), of the model's dtype
            Kept, not copied: leave it unchanged until the pass's backward.
        """
        x = strict_array("Sequential", "x", x, self.dtype)
        return self._loop.run(x, whole=True)

    def input_gradient(self, x: Array, dy: Array) -> Array:
        """Return the gradient of x where dy is that of ``model(x)``: inference, so Dropout does nothing.

        ``grads``, and a pass that waits for its backward, stay as they are. Callable from many threads at once, but for
        a model with layers of a user's own.

        Parameters
        ----------
        x, dy : ndarray
            Of the shapes of the model's inputs and outputs, and of its dtype.
        """
        x = strict_array("Sequential", "x", x, self.dtype)
        return self._runner.input_gradient(x, strict_array("Sequential", "dy", dy, self.dtype))

    def training_pass(self, x: Array) -> Pass:
        """Return what `forward` runs: a `Pass` whose ``inputs`` and ``dys`` may be gone, quicker than `run`."""
        return self._runner.run(x, whole=False)

    def exclusive(self) -> UsageGuard:
        """Return the context in which this thread alone uses the model; a clash is a RuntimeError."""
        return self._guard

    # --- parameters, files, copies ---

    def load_params(
        self, mapping: Mapping[str, Array] | list[Array] | tuple[Array, ...], strict: bool = True
    ) -> None:
        """Copy arrays into the parameters: all of them, or none if one does not fit.

        Parameters
        ----------
        mapping : mapping of str to ndarray, or list of ndarray
            Such as another model's ``params``; shapes and dtype must match. A list has all of them in order, as Keras's
            ``get_weights()`` of the same layers.
        strict : bool
            Whether a name that is missing or unknown is a KeyError; False copies what both sides have, and is a
            KeyError only where they have nothing in common.

        Raises
        ------
        RuntimeError
            Another thread uses the model.
        """
        known = self.params
        if isinstance(mapping, (list, tuple)):
            mapping = in_order("load_params", mapping, list(known))
        missing = [key for key in known if key not in mapping]
        unknown = [key for key in mapping if key not in known]
        if strict and (missing or unknown):
            if unknown:
                raise KeyError(unknown_key("load_params", unknown[0], dict(known)))
            raise KeyError(f"load_params: {', '.join(missing)} missing; strict=False leaves them as they are")
        if known and mapping and len(unknown) == len(mapping):
            raise KeyError(f"{unknown_key('load_params', unknown[0], dict(known))}; no name fits")
        values = {
            key: checked_value("load_params", key, mapping[key], target)
            for key, target in known.items()
            if key in mapping
        }
        # Arrays that look into this model would change under the loop below.
        values = {k: v.copy() if np.may_share_memory(v, self.flat_params) else v for k, v in values.items()}
        with alone(self, "filling"):
            for key, value in values.items():
                np.copyto(known[key], value)
            self._guard.parameters_changed()

    def copy(self) -> Self:
        """Return an independent copy: its own arrays, no pass that waits for its backward."""
        return copy.deepcopy(self)

    def blend(self, other: Sequential, share: float) -> None:
        """Move the parameters towards those of ``other``: ``(1 - share) * own + share * other``'s.

        Parameters
        ----------
        other : Sequential
            With parameters of the same names, shapes and dtype; such as the network that a target network follows.
        share : float
            From 0, which changes nothing, to 1, which copies.
        """
        share = real("blend", "share", share, minimum=0.0)
        if share > 1.0:
            raise ValueError(f"blend: share is {share}, expected at most 1")
        if not isinstance(other, Sequential):
            raise TypeError(f"blend: other is {other!r}, expected a Sequential")
        if self._shapes != other._shapes or self.dtype != other.dtype:
            raise ValueError("blend: other has parameters of other names, shapes or dtype")
        with alone(self, "filling"):
            if share == 1.0:
                np.copyto(self.flat_params, other.flat_params)
            else:
                step = other.flat_params - self.flat_params
                step *= step.dtype.type(share)
                self.flat_params += step
            self._guard.parameters_changed()

    def part(self, first: int, last: int) -> Self:
        """Return layers ``first`` to ``last``, the latter not included, as a model that shares the arrays.

        Training either trains both; keys of the part begin with 0. A layer's settings are those of this moment. Layers
        of a user's own are the same objects, so that only the latest pass of both goes backward.

        Parameters
        ----------
        first, last : int
            As in ``model[first:last]``; negative numbers count from the end.
        """
        chosen = range(len(self.layers))[first:last]
        if not chosen:
            raise ValueError(f"part: no layers from {first} to {last} among {len(self.layers)}")
        views = [
            {
                f"{i - chosen[0]}.{key.partition('.')[2]}": array
                for key, array in arrays.items()
                if (i := int(key.partition(".")[0])) in chosen
            }
            for arrays in (dict(self.params), dict(self.grads))
        ]
        before = sum(a.size for key, a in self.params.items() if int(key.partition(".")[0]) < chosen[0])
        place = slice(before, before + sum(array.size for array in views[0].values()))
        result = type(self).__new__(type(self))
        result.rng = self.rng
        result.preprocessing = result.predicts = result.card = None
        result.layers, result.dtype, result.ops = tuple(apart(self.layers[first:last])), self.dtype, self.ops
        renew_after_fork(result)
        result._wire(self._guard, self.flat_params[place], self.flat_grads[place], *views)
        return result

    def summary(self) -> str:
        """Return a table of layers, shapes, parameter counts and bytes."""
        from relu_layers._engine.summary import summary

        return summary(self)

    def save(self, path: AnyPath, **options: Any) -> None:
        """Write the model to ``path``; the suffix decides the format (``.npz`` needs no extra).

        Options are those of the format, see `relu_layers.checkpoint.save`. While another thread trains the model it
        is a RuntimeError, as is copying and pickling it.

        Examples
        --------
        >>> import tempfile
        >>> import relu_layers as rl
        >>> model = rl.mlp([2, 8, 3])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.npz")
        ...     rl.load(f"{folder}/model.npz")
        Sequential(Dense(2, 8), ReLU(), Dense(8, 3), dtype=np.float32)
        """
        from relu_layers._files.formats import save_model

        save_model(self, path, **options)

    def astype(self, dtype: Any) -> Self:
        """Return an independent copy of the model in ``dtype``, values rounded where they must be."""
        result = copy.deepcopy(self)
        result._assemble(result.layers, _float_dtype(dtype), result.ops, may_round=True)
        return result

    def __getstate__(self) -> dict[str, Any]:
        # A pickler writes what it gets here later, when another thread may train: so it gets copies, made at once.
        # The generator alone stays, which others in the pickle may share.
        with still(self, "pickling"):
            return copy.deepcopy(self._state(), {id(self.rng): self.rng})

    def _state(self) -> dict[str, Any]:
        ops = self.ops.__name__ if isinstance(self.ops, ModuleType) else self.ops
        names = ("layers", "dtype", "rng", "preprocessing", "predicts", "card")
        return {name: getattr(self, name) for name in names} | {"ops": ops}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        result = type(self).__new__(type(self))
        memo[id(self)] = result
        with still(self, "copying"):
            state = copy.deepcopy(self._state(), memo)
        result.__setstate__(state)
        return result

    def __setstate__(self, state: dict[str, Any]) -> None:
        ops = state["ops"]
        self.rng, self.preprocessing = state["rng"], state["preprocessing"]
        self.predicts, self.card = state.get("predicts"), state.get("card")
        self._assemble(
            tuple(state["layers"]),
            state["dtype"],
            importlib.import_module(ops) if isinstance(ops, str) else ops,
        )

    def __copy__(self) -> Self:
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Sequential({layers}, dtype=np.{self.dtype})"


def _float_dtype(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` as np.dtype if a model can have it."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if dtype is None or kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"Sequential: dtype is {dtype!r}, expected np.float32 or np.float64")
    return kind


def freeze(model: Sequential) -> FrozenModel:
    """Return a model for inference alone, quicker than the model where its weights are large.

    What becomes of the model later changes nothing in it.

    Parameters
    ----------
    model : Sequential
        Of the layers of this package, on its own ops.

    Raises
    ------
    TypeError
        A layer is of a class of the user's own, or its methods have been replaced: what it keeps from call to call
        would be shared by threads.
    ValueError
        The model does not run on ``relu_layers.ops``.
    RuntimeError
        Another thread trains the model.

    Examples
    --------
    >>> import numpy as np
    >>> import relu_layers as rl
    >>> model = rl.mlp([784, 512, 10], rng=0)
    >>> frozen = rl.freeze(model)
    >>> x = np.ones((8, 784), dtype=np.float32)
    >>> np.array_equal(frozen(x), model(x)), frozen.predict(x).shape
    (True, (8,))
    """
    given: Any = model
    if isinstance(given, FrozenModel):
        raise TypeError("freeze: the model is frozen already")
    if not isinstance(given, Sequential):
        raise TypeError(f"freeze: model is {given!r}, expected a Sequential")
    if type(model).__call__ is not Sequential.__call__:
        raise TypeError(f"freeze: {type(model).__name__} has a __call__ of its own: call the model itself")
    return FrozenModel(model)


@named_arguments
def mlp(
    sizes: Sequence[int],
    *,
    activation: str | Callable[[], Any] = "relu",
    negative_slope: float = 0.0,
    dtype: Any = np.float32,
    rng: np.random.Generator | int | None = None,
    ops: Ops | None = None,
) -> Sequential:
    """Return Dense layers of the given sizes with an activation between each two: ``mlp([784, 128, 10])``.

    Parameters
    ----------
    sizes : sequence of int
        Input features, hidden sizes, outputs; at least two numbers.
    activation : str or callable, keyword
        What stands between: "relu", "leaky_relu" (slope 0.01), "relu6", "hard_tanh", "elu", "selu", "gelu", "sigmoid",
        "silu", "softplus" or "tanh"; a callable such as ``lambda: rl.ELU(0.5)`` returns a new layer for each place.
    negative_slope : float, keyword
        Of every ReLU.
    dtype, rng, ops
        As for `Sequential`.

    Examples
    --------
    >>> import relu_layers as rl
    >>> rl.mlp([2, 8, 3], negative_slope=0.01)
    Sequential(Dense(2, 8), ReLU(0.01), Dense(8, 3), dtype=np.float32)
    >>> rl.mlp([2, 8, 1], activation="tanh").layers[1]
    Tanh()
    """
    widths = [integer("mlp", f"sizes[{i}]", size, minimum=1) for i, size in enumerate(sizes)]
    if len(widths) < 2:
        raise ValueError(f"mlp: sizes is {list(sizes)}, expected at least two: inputs and outputs")
    make = _activation(activation, negative_slope)
    layers: list[Any] = [Dense(widths[0], widths[1])]
    for inputs, outputs in pairwise(widths[1:]):
        layers += [make(), Dense(inputs, outputs)]
    return Sequential(*layers, dtype=dtype, rng=rng, ops=ops)


def _activation(given: Any, negative_slope: float) -> Callable[[], Any]:
    """Return what makes the activations of `mlp`."""
    kind: str = ""
    arguments: tuple[float, ...] = ()
    if isinstance(given, str):
        name = plain_name(given)
        kind, arguments = ACTIVATIONS[
            name if name in ACTIVATIONS else choice("mlp", "activation", given, ACTIVATION_NAMES)
        ]
    if kind == "ReLU" or given is ReLU:
        return lambda: ReLU(negative_slope or (arguments[0] if arguments else 0.0))
    if negative_slope:
        raise ValueError(
            f"mlp: negative_slope is {negative_slope}, but activation is {given!r}: a ReLU has one"
        )
    if kind:
        return lambda: getattr(built_in, kind)(*arguments)
    if not callable(given) or isinstance(given, Layer):
        raise TypeError(
            f"mlp: activation is {given!r}, expected a name such as 'tanh', or what makes a new layer"
        )
    made: Callable[[], Any] = given
    return made
