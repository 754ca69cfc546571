"""The record of one training step as plain data, the only input of the renderers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from relu_layers._support.configured import Array


@dataclass(frozen=True)
class Counts:
    """How many inputs of an activation, over the batch, lie where; and how many units are dead.

    ``dead`` counts units whose derivative is 0 in every row, so that no gradient passes them at all.
    """

    active: int
    negative: int
    zero: int
    dead: int


@dataclass(frozen=True)
class LayerTrace:
    """One layer in the step.

    Attributes
    ----------
    role : {"dense", "elementwise", "other"}
        How forward and backward can be written out.
    source, symbol : str
        How x and y are called in formulas: ``"x"``, ``"z1"``, ``"a1"``.
    number : int
        Which Dense layer this is or follows, counted from 1: that of ``W1``.
    x, y, dy, dx : ndarray
        Input, output, dLoss/dy and dLoss/dx; dx is None where the step does not need it.
    params, grads : dict of str to ndarray
        By the layer's own names (``"weight"``); values before the update.
    derivative : ndarray or None
        dy/dx of every element, for an elementwise layer: what the gradient is multiplied by.
    counts : Counts or None
        For elementwise layers with a corner.
    config : dict
        The constructor's arguments.
    keys : dict of str to str
        For a user's own layer that is written out as Dense: ``"weight"`` and ``"bias"`` -> its own names.
    """

    index: int
    kind: str
    name: str
    role: str
    source: str
    symbol: str
    number: int
    x: Array
    y: Array
    dy: Array
    dx: Array | None
    params: dict[str, Array]
    grads: dict[str, Array]
    derivative: Array | None
    counts: Counts | None
    config: dict[str, Any]
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, name: str) -> str:
        """Return the model's name of a parameter of this layer, such as ``"0.weight"``."""
        return f"{self.index}.{self.keys.get(name, name)}"

    @property
    def weight_symbol(self) -> str:
        """``"W1"``."""
        return f"W{self.number}"

    @property
    def bias_symbol(self) -> str:
        """``"b1"``."""
        return f"b{self.number}"


@dataclass(frozen=True)
class LossTrace:
    """The loss.

    Attributes
    ----------
    value, after : float
        Before the step, and of the same rows after it.
    target, output, gradient : ndarray
        What was wanted, what the network gave, dLoss/doutput.
    count : float
        What the sum over the rows is divided by.
    shifted, exponentials, sums, probabilities, wanted, rows : ndarray or None
        For SoftmaxCrossEntropy: logits minus the row's maximum, their exponentials, the sum of these per row,
        the quotients, the target as probabilities, and the loss of every row.
    plain : bool
        Whether no weights, smoothing or ignored rows enter, so that the gradient is (p - wanted) / count.
    scale, delta : float or None
        Of SquaredError and Huber.
    """

    kind: str
    name: str
    value: float
    after: float
    output: Array
    target: Array
    gradient: Array
    count: float
    plain: bool
    scale: float | None = None
    delta: float | None = None
    shifted: Array | None = None
    exponentials: Array | None = None
    sums: Array | None = None
    probabilities: Array | None = None
    wanted: Array | None = None
    rows: Array | None = None


@dataclass(frozen=True)
class Update:
    """The update of one parameter array; ``ratio`` is |step| / |value before|, by norms."""

    name: str
    symbol: str
    before: Array
    gradient: Array
    after: Array
    gradient_norm: float
    ratio: float


@dataclass(frozen=True)
class Check:
    """The verdict of the gradient check on one entry: see `relu_layers.gradcheck`."""

    analytic: float
    numeric: float
    verdict: str
    kink: tuple[int, Any, int, float] | None = None


@dataclass(frozen=True)
class Variant:
    """The same step with another activation."""

    label: str
    loss: float
    after: float
    norms: dict[str, float]
    dead: int


@dataclass(frozen=True)
class Mistake:
    """The same step with a classic mistake: ``error`` is the largest difference of any gradient.

    ``relative`` is that difference by the largest right gradient; ``failure`` the message where it cannot even
    be computed. ``where`` names the entry that is farthest off, ``right`` and ``wrong`` its values.
    """

    key: str
    error: float
    relative: float
    where: str = ""
    right: float = 0.0
    wrong: float = 0.0
    failure: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """The same step as a short program.

    ``difference`` is the largest of its loss and of any gradient from the recorded ones, None where it was not run.
    """

    name: str
    package: str
    text: str
    difference: float | None = None


@dataclass(frozen=True)
class Frame:
    """One moment of a training: fold lines are end points (x, y, x, y) per unit, NaN where none is in view."""

    step: int
    loss: float
    surface: Array
    folds: Array
    dead: Array


@dataclass(frozen=True)
class Training:
    """A training that was recorded for a network of two inputs; losses are of every step."""

    losses: list[float]
    frames: list[Frame]
    bounds: tuple[float, float, float, float]
    points: Array
    classes: Array


@dataclass(frozen=True)
class Trace:
    """One training step of one network, with all numbers of its explanation.

    Attributes
    ----------
    checks : dict
        ``(name, index)`` -> Check, for the entries that were checked.
    checked : float
        Which part of all entries that is.
    feature_names, class_names : tuple of str
        Of the inputs and of the outputs; empty where they have none.
    """

    version: str
    target: str
    dtype: str
    seed: int | None
    title: str
    layers: list[LayerTrace]
    loss: LossTrace
    optimizer: str
    optimizer_kind: str
    learning_rate: float
    optimizer_config: dict[str, Any]
    updates: list[Update]
    dropped: str
    checks: dict[tuple[str, tuple[int, ...]], Check] = field(default_factory=dict)
    checked: float = 0.0
    variants: list[Variant] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)
    training: Training | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @property
    def batch(self) -> int:
        """Rows of the batch."""
        return len(self.layers[0].x)
