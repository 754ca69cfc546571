"""Every message that prints code to write: that code is run, and the call that failed succeeds."""

from __future__ import annotations

import ast
import copy
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers._files.parameter_names import fitted

PACKAGE = Path(rl.__file__).parent
X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])
Z = np.eye(3, dtype=np.float32)


def classes() -> rl.Trainer:
    return rl.Trainer(rl.mlp([4, 3], rng=0), rl.SoftmaxCrossEntropy(), rl.SGD(0.1))


def numbers() -> rl.Trainer:
    return rl.Trainer(rl.mlp([4, 1], rng=0), rl.SquaredError(), rl.SGD(0.1))


def logged(trainer: Any, record: Any) -> None:
    """Do nothing."""


def filled(model: rl.Sequential, name: str, value: Any) -> None:
    model.params[name] = value


class Frame:
    """A frame of any library."""

    def to_numpy(self) -> Any:
        return X


BOUND = rl.mlp([4, 3], rng=0)
USED = rl.Dense(3, 2)
OWNER = rl.Sequential(USED, rng=0)
# The name of the value, a wrong one, and the call: what follows "pass" is the right value.
VALUES: list[tuple[str, Any, Callable[[Any], Any]]] = [
    ("x", [[1.0, 2.0]], rl.ops.reference.relu_forward),
    ("x", [[1.0, 2.0]], rl.ops.relu_forward),
    ("x", np.arange(3), rl.ops.relu_forward),
    ("x", np.ma.masked_array(X, X > 1), lambda x: BOUND.predict(x)),
    ("x", X.view(type("matrix", (np.ndarray,), {})), BOUND.predict),
    ("x", Frame(), BOUND.predict),
    ("x", X[:, 0], lambda x: rl.Trainer(rl.mlp([1, 3]), rl.SoftmaxCrossEntropy(), rl.SGD(0.1)).fit(x, LABELS)),
    ("labels", [0.0, 1.0, 2.0], lambda labels: rl.ops.softmax_cross_entropy(Z, labels)),
    ("labels", np.arange(3.0), lambda labels: rl.ops.reference.softmax_cross_entropy(Z, labels)),
    ("columns", np.zeros(6), lambda columns: rl.ops.reference.squared_error(X, X[:, 0], columns=columns)),
    ("columns", np.zeros(6), lambda columns: rl.ops.huber(X, X[:, 0], columns=columns)),
    ("x", X[:, ::2], rl.ops.reference.sum_of_squares),
    ("x", X.astype(">f4"), rl.ops.reference.relu_forward),
    ("weight", np.zeros((4, 3)), lambda weight: rl.ops.reference.dense_forward(X, weight)),
    ("out", np.zeros((6, 4)), lambda out: rl.ops.reference.relu_forward(X, out=out)),
    ("out", np.zeros((6, 8), np.float32)[:, ::2], lambda out: rl.ops.reference.relu_forward(X, out=out)),
    ("x", X.astype(float), BOUND),
    ("x", X.tolist(), BOUND),
    ("value", np.zeros((4, 3)), lambda value: filled(BOUND, "0.weight", value)),
    ("y", np.eye(3, dtype=int)[LABELS], lambda y: classes().fit(X, y)),
    ("y", LABELS.astype(np.float32), lambda y: classes().fit(X, y)),
    ("y", LABELS[:, None], lambda y: classes().fit(X, y)),
    ("y", X[:, 0], lambda y: numbers().fit(X, y)),
    ("y", np.zeros((6, 2, 1), int), lambda y: rl.SoftmaxCrossEntropy().check_shape("loss", (6, 2, 3), y)),
    ("loss", "mse", lambda loss: rl.Trainer(rl.mlp([4, 1]), loss, rl.SGD(0.1))),
    ("loss", rl.SquaredError, lambda loss: rl.Trainer(rl.mlp([4, 1]), loss, rl.SGD(0.1))),
    ("callbacks", rl.EarlyStopping,
     lambda callbacks: classes().fit(X, LABELS, validation=(X, LABELS), callbacks=callbacks)),
    ("layer", rl.ReLU, lambda layer: rl.Sequential(rl.Dense(4, 3), layer)),
    ("layer", USED, lambda layer: rl.Sequential(layer)),
    ("model", rl.ReLU, lambda model: rl.gradcheck(model, X.astype(float), X, rl.SquaredError())),
]  # fmt: skip


def advised(error: BaseException) -> str:
    """Return the code that a message says to pass or write, dots for arguments left out."""
    text = re.search(r"(?:pass|write) (?:its layers: )?(.*)", str(error), re.S)
    assert text is not None, error
    code = re.split(r", with masks|, x\[None| for one feature|, to fill| \(was", text[1])[0]
    return code.replace("(...)", "()").replace("(value)", "(0)")


@pytest.mark.parametrize(
    ("name", "value", "call"), VALUES, ids=[f"{i} {one[0]}" for i, one in enumerate(VALUES)]
)
def test_the_value_that_is_printed_is_taken(name: str, value: Any, call: Callable[[Any], Any]) -> None:
    known = {"np": np, "rl": rl, "copy": copy, **vars(rl)}
    for _ in range(3):
        with pytest.raises((TypeError, ValueError)) as caught:
            call(value)
        value = eval(advised(caught.value), known | {name: value})
        try:
            call(value)
        except (TypeError, ValueError):
            continue
        return
    pytest.fail(f"{caught.value}: its advice leads nowhere")


def run_update() -> None:
    rl.SGD(0.1).update()


def bind(code: str) -> None:
    model, optimizer = rl.mlp([4, 3], rng=0), rl.SGD(0.1)
    eval(f"optimizer.{code}", {"optimizer": optimizer, "model": model})
    optimizer.update()


def no_rows() -> None:
    rl.ops.reference.squared_error(X[:0], X[:0])


def no_rows_summed(code: str) -> None:
    eval(f"f(x, x, {code})", {"f": rl.ops.reference.squared_error, "x": X[:0]})


def set_params() -> None:
    rl.Dense(4, 3).params = {}  # type: ignore[misc,assignment]


def set_weight() -> None:
    rl.Dense(4, 3).weight = X  # type: ignore[attr-defined]


def on_layer(code: str) -> None:
    model = rl.mlp([4, 3], rng=0)
    exec(code, {"layer": model[0], "array": np.ones((4, 3), np.float32), "key": "weight"})
    assert (model.params["0.weight"] == 1).all()


def on_items(code: str) -> None:
    on_layer(f"layer.{code}")


def fill_scalar() -> None:
    BOUND.params["0.weight"] = 1.0


def on_value(code: str) -> None:
    exec(code, {"params": BOUND.params, "value": 1.0})
    assert (BOUND.params["0.weight"] == 1).all()


def listed() -> None:
    rl.Sequential([rl.Dense(4, 3)])  # type: ignore[arg-type]


def nested() -> None:
    rl.Sequential(rl.mlp([4, 3]), rl.ReLU())


def of_layers(code: str) -> None:
    known = {**vars(rl), "copy": copy, "layers": [rl.Dense(4, 3)], "model": rl.mlp([4, 3])}
    eval(code if code.startswith("Sequential") else f"Sequential({code}, ReLU())", known)


class Doubled:
    """A layer of one's own in float64."""

    def __init__(self) -> None:
        self.params, self.grads = {"w": np.ones(1)}, {"w": np.ones(1)}

    def forward(self, x: Any, training: bool = False) -> Any:
        return x

    def backward(self, dy: Any) -> Any:
        return dy


def two_dtypes() -> None:
    rl.Sequential(Doubled())


def of_dtype(code: str) -> None:
    eval(f"Sequential(layer, {code})", {"Sequential": rl.Sequential, "layer": Doubled(), "np": np})


def wide_parameter(dtype: Any = np.float32) -> None:
    given = {name: array.astype(np.float64) + 1e-12 for name, array in BOUND.params.items()}
    fitted(rl.mlp([4, 3], dtype=dtype), given, "relu_layers")


def in_dtype(code: str) -> None:
    wide_parameter(eval(code, {"np": np}))


def stopped_by_nothing() -> None:
    classes().fit(X, LABELS, epochs=1, callbacks=rl.EarlyStopping())


def with_validation(code: str) -> None:
    eval(f"fit(x, y, epochs=1, callbacks=stopping, {code})",
         {"fit": classes().fit, "x": X, "y": LABELS, "stopping": rl.EarlyStopping()})  # fmt: skip


class OwnSGD(rl.SGD):
    """An optimizer of one's own."""


class OwnLoss(rl.SquaredError):
    """A loss of one's own."""


class OwnCallback(rl.Callback):
    """A callback of one's own."""


def restored(**parts: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        own = {"optimizer": OwnSGD(0.1), "loss": OwnLoss(), "callbacks": [OwnCallback()]}
        own |= {"optimizer": rl.SGD(0.1)} if parts.pop("optimizer_here", False) else {}
        own |= {"loss": rl.SquaredError()} if parts.pop("loss_here", False) else {}
        rl.Trainer(rl.mlp([4, 1]), own["loss"], own["optimizer"], callbacks=own["callbacks"]).save_checkpoint(
            f"{folder}/t.npz"
        )
        rl.Trainer.restore(f"{folder}/t.npz", **parts)


def with_parts(code: str) -> None:
    restored(**{"loss": OwnLoss(), "optimizer": OwnSGD(0.1), "callbacks": [OwnCallback()]} | {code[:-1]: {
        "loss=": OwnLoss(), "optimizer=": OwnSGD(0.1), "callbacks=": [OwnCallback()]}[code]})  # fmt: skip


def set_slots() -> None:
    classes().optimizer.slots = {}


def of_state(code: str) -> None:
    optimizer = classes().optimizer
    values = np.ones(15, np.float32)
    known = {"optimizer": optimizer, "name": "velocity", "values": values, "state": optimizer.state_dict()}
    filling, loading = code.split(", or ")
    exec(filling, known)
    assert (optimizer.slots["velocity"] == 1).all()
    exec(loading, known)


def frozen_on_other_ops() -> None:
    rl.freeze(rl.Sequential(rl.Dense(4, 3), rng=0, ops=rl.ops.reference))


def on_own_ops(code: str) -> None:
    model = rl.Sequential(rl.Dense(4, 3), rng=0, ops=rl.ops.reference)
    exec(code, {"model": model, "rl": rl})
    assert rl.freeze(model)(X).shape == (6, 3)


class OwnReLU(rl.ReLU):
    """A layer of one's own."""


def frozen_with_a_layer_of_ones_own() -> None:
    rl.freeze(rl.Sequential(rl.Dense(4, 3), OwnReLU(), rng=0))


def called_itself(code: str) -> None:
    model = rl.Sequential(rl.Dense(4, 3), OwnReLU(), rng=0)
    assert np.array_equal(eval(code, {"model": model, "copy": copy})(X), model(X))


# What raises, the part of the message that is code, and what runs it.
PROGRAMS: dict[str, tuple[Callable[[], Any], str, Callable[[str], Any]]] = {
    "an update of nothing": (run_update, r"call (bind\(model\)) first", bind),
    "a mean of no rows": (no_rows, r"or (normalization='none')", no_rows_summed),
    "params of a layer": (set_params, r"write (params\[key\] = array)", on_items),
    "a weight": (set_weight, r"write (layer\.params\['weight'\] = array)", on_layer),
    "a number as a parameter": (fill_scalar, r"write (params\['0.weight'\]\[\.\.\.\] = value)", on_value),
    "layers of two dtypes": (two_dtypes, r"pass (dtype=np\.float64), or", of_dtype),
    "parameters of another dtype": (wide_parameter, r"with dtype=(np\.float64)", in_dtype),
    "a column that is not recorded": (
        stopped_by_nothing,
        r"pass (validation=\(x, y\)) to fit",
        with_validation,
    ),
    "a loss of one's own": (
        lambda: restored(optimizer_here=True),
        r"pass (loss=) to Trainer.restore",
        with_parts,
    ),
    "an optimizer of one's own": (
        lambda: restored(loss_here=True),
        r"pass (optimizer=) to Trainer.restore",
        with_parts,
    ),
    "a callback of one's own": (
        lambda: restored(loss_here=True, optimizer_here=True),
        r"pass it in (callbacks=) to Trainer",
        with_parts,
    ),
    "the state of an optimizer": (set_slots, r"write (optimizer\.slots.*)", of_state),
    "a frozen model on other ops": (frozen_on_other_ops, r"write (model\.ops = rl\.ops) before", on_own_ops),
    "a frozen layer of one's own": (
        frozen_with_a_layer_of_ones_own,
        r"for each thread: (copy\.deepcopy\(model\))",
        called_itself,
    ),
    "no layers": (rl.Sequential, r"such as (Dense\(784, 10\))", of_layers),
    "a list of layers": (listed, r"one by one: (Sequential\(\*layers\))", of_layers),
    "a model in a model": (nested, r"pass its layers: (\*copy\.deepcopy\(model\)\.layers)", of_layers),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_code_that_is_printed_runs(name: str) -> None:
    call, code, run = PROGRAMS[name]
    with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError)) as caught:
        call()
    found = re.search(code, str(caught.value))
    assert found is not None, caught.value
    run(found[1])


# Tested where their files and programs are: Caffe's solvers and limits, names in C headers, names of other libraries,
# dtypes and devices of PyTorch, tables of the command line; and what is said of separate memory, which is no code.
ELSEWHERE = ("interop/", "formats/", "cli/", "bench/", "_support/spelling.py", "explanation/", "distributed/")
PROSE = ("separate", "another out", "write it without", "the optimizer that uses it", "could not be read",
         "requires grad", "rows of equal length", "cannot be saved", "write a list", "fit first", "fit_target",
         ".toarray()", "a module", "write to another")  # fmt: skip


def printed_code() -> list[tuple[str, str]]:
    """Return file and pattern of every text of the package that says to pass, write or call code."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(ELSEWHERE):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inside = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            if id(node) in documented | inside or not isinstance(node, (ast.JoinedStr, ast.Constant)):
                continue
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            if not all(text is None or isinstance(text, str) for text in texts):
                continue
            whole = "".join("{}" if text is None else str(text) for text in texts)
            advice = re.search(r"(?:^|[:;,] |\bfill it )(?:pass|write|call) (.*)", whole, re.S)
            if advice and re.search(r"[(\[{*=]", advice[1]) and not any(word in whole for word in PROSE):
                found.append(
                    (name, "".join(".+?" if text is None else re.escape(str(text)) for text in texts))
                )
    return found


def test_every_printed_code_is_among_them() -> None:
    """Runs the cases above for their messages: one that no case prints is named."""
    messages = []
    for _, value, call in VALUES:
        with pytest.raises((TypeError, ValueError)) as caught:
            call(value)
        messages.append(str(caught.value))
    for call_, _, _ in PROGRAMS.values():
        with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError)) as caught_:
            call_()
        messages.append(str(caught_.value))
    codes = printed_code()
    assert len(codes) > 15
    missing = [code for code in codes if not any(re.search(code[1], text, re.S) for text in messages)]
    assert missing == []
