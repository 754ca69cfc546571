"""From the layers of a net, which name the blobs that they take and make, to layers in a row and a loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from relu_layers._support.arguments import nearest
from relu_layers._support.configured import Array
from relu_layers.formats.caffe._layers import BUILDERS, Flow
from relu_layers.formats.caffe._net import CaffeLayer, layers_of, loss_weights
from relu_layers.formats.caffe._schema import Message
from relu_layers.layers import Layer, ParameterLayer, Sigmoid, Softmax
from relu_layers.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError

_SOURCES = ("Input", "Data", "MemoryData", "HDF5Data", "ImageData", "WindowData", "DummyData")
_LOSSES = ("SoftmaxWithLoss", "SigmoidCrossEntropyLoss", "EuclideanLoss")
_IGNORED = ("Accuracy", "Silence", "HDF5Output")
_SUPPORTED = (*BUILDERS, *_LOSSES, "Split", "Flatten", *_IGNORED, *_SOURCES)
# The place of a blob that no layer has taken yet.
_OTHER_SOURCE = -1
_LABEL_ARGUMENTS = 2


class Chain(NamedTuple):
    """A net as layers in a row, each with its parameters from the file, its name and its multipliers."""

    layers: list[Layer]
    params: dict[str, Array]
    multipliers: dict[str, tuple[float, float]]
    loss: Loss | None


def chain_of(
    net: Message,
    layers: list[CaffeLayer],
    blobs: Mapping[str, list[Message]] | None,
    flow: Flow,
    *,
    alone: bool,
) -> Chain:
    """Return the chain that ``layers`` form.

    Parameters
    ----------
    net : Message
        The NetParameter, for its inputs.
    layers : list of CaffeLayer
    blobs : mapping of str to list of Message, or None
        Trained blobs by layer; None leaves the initial values.
    flow : Flow
    alone : bool
        Whether blobs that no layer makes are inputs, as in a caffemodel whose data layers were left out.

    Raises
    ------
    ValueError
        A layer is of another type, or the layers branch.
    """
    # Data layers of another phase or stage make the same blobs.
    walk = _Walk(blobs, flow, alone, frozenset(_source_tops(net)))
    for place, name in enumerate(net["input"]):
        walk.add_source(name, _input_shape(net, place))
    for layer in layers:
        try:
            walk.add(layer)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{layer}: {error}") from None
    return Chain(walk.layers, walk.params, walk.multipliers, walk.checked_loss())


def _source_tops(net: Message) -> Iterator[str]:
    """Yield the blobs that sources make, in any phase."""
    for layer in layers_of(net, None):
        if layer.type in _SOURCES:
            yield from layer.tops


class _Walk:
    """The layers so far, and which of them made each blob that can be taken.

    A blob of place n > 0 is what the n-th layer made, that of place 0 the input.
    """

    def __init__(
        self, blobs: Mapping[str, list[Message]] | None, flow: Flow, alone: bool, elsewhere: frozenset[str]
    ) -> None:
        self.layers: list[Layer] = []
        self.params: dict[str, Array] = {}
        self.multipliers: dict[str, tuple[float, float]] = {}
        self._blobs, self._flow, self._alone = blobs, flow, alone
        self._elsewhere = elsewhere
        self._flattened: dict[str, tuple[int, ...]] = {}
        self._places: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...] | None] = {}
        self._input: str | None = None
        self._loss: tuple[CaffeLayer, Loss, int] | None = None

    def add_source(self, name: str, shape: tuple[int, ...] | None) -> None:
        self._places[name] = _OTHER_SOURCE
        self._shapes[name] = shape

    def add(self, layer: CaffeLayer) -> None:
        """Add one layer."""
        if layer.type in _SOURCES:
            for place, top in enumerate(layer.tops):
                self.add_source(top, _source_shape(layer, place))
        elif layer.type == "Split":
            origin = self._alias(self._one_bottom(layer))
            self._places.update(dict.fromkeys(layer.tops, origin))
            self._shapes.update(dict.fromkeys(layer.tops, self._shapes.get(layer.bottoms[0])))
        elif layer.type in _IGNORED:
            for bottom in layer.bottoms:
                self._alias(bottom)
        elif layer.type in _LOSSES:
            self._add_loss(layer)
        elif layer.type == "Flatten":
            self._flatten(layer)
        elif layer.type in BUILDERS:
            self._extend(layer)
        else:
            raise ValueError(
                f"this type is not supported, expected one of {', '.join(_SUPPORTED)}{nearest(layer.type, _SUPPORTED)}"
            )

    def _one_bottom(self, layer: CaffeLayer) -> str:
        if len(layer.bottoms) != 1:
            raise ValueError(f"it takes {len(layer.bottoms)} blobs, expected 1: layers must be in a row")
        return layer.bottoms[0]

    def _alias(self, bottom: str) -> int:
        """Return where a blob comes from."""
        if bottom not in self._places:
            if not self._alone and bottom not in self._elsewhere:
                raise ValueError(f"no layer before it makes blob {bottom!r}{nearest(bottom, self._places)}")
            self.add_source(bottom, None)
        return self._places[bottom]

    def _flatten(self, layer: CaffeLayer) -> None:
        """Note a second form of a blob, which the next layer or a loss may take."""
        bottom = self._one_bottom(layer)
        place = self._alias(bottom)
        if len(layer.tops) != 1:
            raise ValueError(f"it makes {len(layer.tops)} blobs, expected 1")
        settings, top = layer.message.part("flatten_param"), layer.tops[0]
        shape = self._shapes.get(bottom) if place == _OTHER_SOURCE else self._flow.shape
        last = 1 if shape is None else len(shape)
        if settings["end_axis"] not in (-1, last):
            raise ValueError(f"end_axis is {settings['end_axis']}, expected -1")
        self._flattened[top] = (*self._flattened.get(bottom, ()), settings["axis"])
        self._places[top], self._shapes[top] = place, self._shapes.get(bottom)

    def _extend(self, layer: CaffeLayer) -> None:
        """Add a layer at the end of the row."""
        bottom = self._one_bottom(layer)
        place = self._alias(bottom)
        if len(layer.tops) != 1:
            raise ValueError(f"it makes {len(layer.tops)} blobs, expected 1")
        if place == _OTHER_SOURCE and self._input is None:
            self._input = bottom
            self._flow.shape = self._shapes[bottom] or self._flow.shape
            place = 0
        if place != len(self.layers):
            raise ValueError(
                f"it takes blob {bottom!r}, which is not what the layer before makes: the net branches; "
                "output= chooses the blob that it is read up to"
            )
        for axis in self._flattened.get(bottom, ()):
            self._flow.flatten(axis)
        blobs = None if self._blobs is None else self._blobs.get(layer.name, [])
        built, params = BUILDERS[layer.type](layer, blobs, self._flow)
        index = len(self.layers)
        self.params.update({f"{index}.{name}": value for name, value in params.items()})
        for name, rates in zip(_names(built), layer.multipliers, strict=False):
            self.multipliers[f"{index}.{name}"] = rates
        self.layers.append(built)
        self._flattened.pop(layer.tops[0], None)
        self._places[layer.tops[0]] = len(self.layers)

    def _add_loss(self, layer: CaffeLayer) -> None:
        weights = loss_weights(layer)
        if len(weights) > 1 or len(layer.tops) > 1:
            raise ValueError("it makes more than the loss")
        if len(layer.bottoms) != _LABEL_ARGUMENTS:
            raise ValueError(f"it takes {len(layer.bottoms)} blobs, expected 2: outputs and labels")
        places = [self._alias(bottom) for bottom in layer.bottoms]
        if layer.type == "EuclideanLoss":
            places.sort(reverse=True)
        if places[1] > 0:
            raise ValueError(f"its labels are blob {layer.bottoms[1]!r}, which layers of the net make")
        if weights == [0.0]:
            return
        if self._loss is not None:
            raise ValueError(f"a second loss, after {self._loss[0]}")
        self._loss = layer, _loss(layer, weights[0] if weights else 1.0), places[0]

    def checked_loss(self) -> Loss | None:
        """Return the loss, which must be on the output, or on the input of a last softmax or sigmoid."""
        if not self.layers:
            raise ValueError("the net has no layer that computes")
        if self._loss is None:
            return None
        layer, loss, place = self._loss
        before_last = place == len(self.layers) - 1 and (
            (isinstance(loss, SoftmaxCrossEntropy) and isinstance(self.layers[-1], Softmax))
            or (isinstance(loss, SigmoidCrossEntropy) and isinstance(self.layers[-1], Sigmoid))
        )
        if place != len(self.layers) and not before_last:
            raise ValueError(
                f"{layer}: it takes blob {layer.bottoms[0]!r}, which is not the output: the net branches"
            )
        return loss


def _names(layer: Layer) -> list[str]:
    return list(layer.parameters()) if isinstance(layer, ParameterLayer) else []


def _loss(layer: CaffeLayer, weight: float) -> Loss:
    if layer.type == "EuclideanLoss":
        return SquaredError(0.5 * weight, "batch_size")
    if weight != 1.0:
        raise ValueError(f"loss_weight is {weight}, expected 1; scale the learning rate instead")
    settings = layer.message.part("loss_param")
    # Before `normalization` there was `normalize`; each loss has its own default.
    softmax = layer.type == "SoftmaxWithLoss"
    default = "VALID" if settings["normalize"] or (softmax and "normalize" not in settings) else "BATCH_SIZE"
    options = {
        "ignore_label": settings["ignore_label"],
        "normalization": (settings["normalization"] or default).lower(),
    }
    if not softmax:
        return SigmoidCrossEntropy(**options)
    axis = layer.message.part("softmax_param")["axis"]
    if axis not in (1, -1):
        raise ValueError(f"axis is {axis}, expected 1, the classes of rows with one axis")
    return SoftmaxCrossEntropy(**options)


def _row(dims: list[int]) -> tuple[int, ...] | None:
    """Return the shape of one row of a blob, None if its axes do not give it."""
    if min(dims, default=0) < 0 or len(dims) > 8:
        raise ValueError(f"an input of shape {dims[:9]}, expected at most 8 lengths, none below 0")
    row = tuple(dims[1:])
    return row if row and all(row) else None


def _input_shape(net: Message, place: int) -> tuple[int, ...] | None:
    if place < len(net["input_shape"]):
        return _row(net["input_shape"][place]["dim"])
    return _row(net["input_dim"][4 * place : 4 * place + 4])


def _source_shape(layer: CaffeLayer, place: int) -> tuple[int, ...] | None:
    """Return the shape of the rows of a source, where it is given."""
    settings: Any = None
    if layer.type == "MemoryData":
        settings = layer.message.part("memory_data_param")
        return (
            _row([1, *(settings[name] for name in ("channels", "height", "width"))]) if place == 0 else None
        )
    if layer.type == "Input":
        shapes = layer.message.part("input_param")["shape"] if layer.message.kind == "LayerParameter" else []
    elif layer.type == "DummyData":
        settings = layer.message.part("dummy_data_param")
        shapes = settings["shape"]
        if not shapes:
            names = [settings[name] for name in ("num", "channels", "height", "width")]
            return _row([each[min(place, len(each) - 1)] for each in names]) if all(names) else None
    else:
        shapes = []
    return _row(shapes[min(place, len(shapes) - 1)]["dim"]) if shapes else None
