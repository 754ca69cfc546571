"""Training passes of one's own: any number alive, right gradients or an error, whatever happens in between."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.ops import reference

RNG = np.random.default_rng(3)
X, DY = RNG.normal(size=(6, 5)), RNG.normal(size=(6, 3))


def network(*, ops: Any = None, dropout: bool = True) -> rl.Sequential:
    layers = [rl.Dense(5, 8), rl.ReLU(0.1), rl.Dense(8, 6), rl.PReLU(6), rl.Tanh()]
    layers += [rl.Dropout(0.25)] if dropout else []
    return rl.Sequential(*layers, rl.Dense(6, 3), rl.Softmax(), dtype=np.float64, rng=0, ops=ops)


def gradient(model: rl.Sequential, x: Any, dy: Any) -> tuple[Any, Any]:
    """The pass alone, on a copy: its gradients and dx."""
    twin = copy.deepcopy(model)
    twin.forward(x, training=True)
    dx = twin.backward(dy)
    return twin.flat_grads, dx


@pytest.mark.parametrize("ops", [None, reference])
def test_passes_go_backward_in_any_order(ops: Any) -> None:
    model = network(ops=ops, dropout=False)
    batches = [RNG.normal(size=(rows, 5)) for rows in (6, 2, 6, 6)]
    dys = [RNG.normal(size=(len(batch), 3)) for batch in batches]
    wanted = [gradient(model, *pair) for pair in zip(batches, dys, strict=True)]
    alive = [model.run(batch) for batch in batches]
    for number in (2, 0, 3, 1):
        np.testing.assert_array_equal(alive[number].y, model(batches[number]))
        dx = alive[number].backward(dys[number])
        assert model.flat_grads.tobytes() == wanted[number][0].tobytes()
        assert dx.tobytes() == wanted[number][1].tobytes()


def fails(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        call()


IN_BETWEEN: dict[str, Callable[[rl.Sequential], object]] = {
    "nothing": lambda m: None,
    "inference": lambda m: m(X * 2),
    "inference of another size": lambda m: m(X[:2]),
    "prediction": lambda m: m.predict_proba(X),
    "a layer's training forward": lambda m: m.layers[0].forward(X * 2, training=True),
    "a layer's inference": lambda m: m.layers[2].forward(np.ones((6, 8))),
    "the gradient of another input": lambda m: m.input_gradient(X * 3, DY),
    "another pass and its backward": lambda m: m.run(X * 2).backward(DY),
    "a copy that trains": lambda m: copy.deepcopy(m).forward(X, training=True),
    "garbage collected passes": lambda m: [m.run(X * k) for k in range(3)] and gc.collect() and None,
    "an attribute": lambda m: setattr(m.layers[1], "negative_slope", m.layers[1].negative_slope),
    "a failed forward of a layer": lambda m: fails(lambda: m.layers[0].forward(X[:, :2], True)),
}


@pytest.mark.parametrize("name", IN_BETWEEN)
def test_what_happens_in_between_leaves_a_pass_alone(name: str) -> None:
    model = network()
    model(X), model(X)  # captured
    wanted = gradient(model, X, DY)
    alive = model.run(X)
    IN_BETWEEN[name](model)
    dx = alive.backward(DY)
    assert model.flat_grads.tobytes() == wanted[0].tobytes()
    assert dx.tobytes() == wanted[1].tobytes()


@pytest.mark.parametrize("warm", [0, 2, 4])
@pytest.mark.parametrize("name", [n for n in IN_BETWEEN if not n.startswith(("another", "garbage"))])
def test_backward_is_that_of_the_latest_forward(name: str, warm: int) -> None:
    model = network()
    model(X), model(X)
    for _ in range(warm):  # captured
        model.forward(X * 0.5, training=True)
        model.backward(DY)
    wanted = gradient(model, X, DY)
    model.forward(X, training=True)
    IN_BETWEEN[name](model)
    dx = model.backward(DY)
    assert model.flat_grads.tobytes() == wanted[0].tobytes()
    assert dx.tobytes() == wanted[1].tobytes()


def runs_in_layers(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    called: list[int] = []
    with monkeypatch.context() as patch:
        for name in ("forward", "backward"):
            original = getattr(rl.Dense, name)

            def counting(self: Any, *a: Any, _original: Any = original, **k: Any) -> Any:
                called.append(1)
                return _original(self, *a, **k)

            patch.setattr(rl.Dense, name, counting)
        work()
    return bool(called)


LAST = {
    "softmax": lambda: [rl.Softmax()],
    "relu": lambda: [rl.ReLU()],
    "none": lambda: [],
    "sigmoid": lambda: [rl.Sigmoid()],
}


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("rows", [1, 6, 700])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_loop_of_ones_own_is_replayed_to_the_same_bits(
    last: str, rows: int, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward, backward and update: each without Python layers, with the bits of those."""
    first = [[rl.ReLU(0.2)], [rl.Dropout(0.3)], []][rows % 3]
    layers = [
        *first,
        rl.Dense(5, 8),
        rl.ReLU(),
        rl.Dense(8, 6),
        rl.PReLU(6),
        rl.Dropout(0.25),
        rl.Dense(6, 3),
    ]
    model = rl.Sequential(*layers, *LAST[last](), dtype=dtype, rng=0)
    twin = copy.deepcopy(model)
    pair = [(model, rl.Adam(0.01)), (twin, rl.Adam(0.01))]
    for each, optimizer in pair:
        optimizer.bind(each)
    keywords = [{}, {"need_dx": False}, {"accumulate": True}, {"need_dx": False, "accumulate": True}]

    def loop(of: int, number: int) -> list[Any]:
        each, optimizer = pair[of]
        x = np.random.default_rng(number).normal(size=(rows, 5)).astype(dtype)
        dy = np.random.default_rng(number + 100).normal(size=(rows, 3)).astype(dtype)
        if of:
            alive = each.training_pass(x)  # in the layers
            dx = alive.backward(dy, **keywords[number % 4])
            y = alive.y
        else:
            y = each.forward(x, training=True)
            dx = each.backward(dy, **keywords[number % 4])
        norm = optimizer.update(0.5, clip_norm=[None, 0.1][number // 4 % 2])
        arrays = [y, dx, each.flat_grads, each.flat_params]
        return [None if a is None else a.tobytes() for a in arrays] + [norm]

    for number in range(16):
        assert loop(0, number) == loop(1, number), number
    assert not runs_in_layers(lambda: [loop(0, number) for number in range(16, 24)], monkeypatch)
    for number in range(16, 24):
        after = loop(1, number)
    assert after[3] == model.flat_params.tobytes()
    for change in (
        lambda m, o: setattr(m.layers[len(first) + 1], "negative_slope", 0.3),
        lambda m, o: setattr(o, "beta1", 0.8),
        lambda m, o: setattr(o, "learning_rate", 0.002),
        lambda m, o: setattr(o, "weight_decay", 0.1),
        lambda m, o: setattr(o, "multipliers", {f"{len(first)}.bias": (0.0, 0.0)}),
        lambda m, o: setattr(o, "multipliers", {}),
        lambda m, o: [d.load_state({"key": 5, "counter": 9}) for d in m if isinstance(d, rl.Dropout)],
        lambda m, o: o.load_state_dict(o.state_dict()),
    ):
        for each in pair:
            change(*each)
        for number in range(3):
            assert loop(0, number) == loop(1, number)


def test_replayed_passes_check_what_they_are_given() -> None:
    model = rl.mlp([5, 8, 3], dtype=np.float64, rng=0)
    for _ in range(4):
        y = model.forward(X, training=True)
        dx = model.backward(DY)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()
    model.forward(X, training=True)
    for wrong, error in [(DY[:, :2], ValueError), (DY[:3], ValueError), (DY.astype(np.float32), TypeError)]:
        with pytest.raises(error):
            model.backward(wrong)
    assert model.backward(DY).tobytes() == dx.tobytes()
    with pytest.raises(RuntimeError, match="must follow forward"):
        model.backward(DY)
    with pytest.raises(TypeError):
        model.forward(X.astype(np.float32), training=True)
    with pytest.raises(RuntimeError, match="must follow forward"):
        model.backward(DY)
    strided = np.repeat(DY, 2, axis=1)[:, ::2]
    model.forward(np.asfortranarray(X), training=True)
    assert model.backward(strided).tobytes() == dx.tobytes()
    model.forward(X, training=True)
    assert model.backward(strided).tobytes() == dx.tobytes()
    model.forward(X, training=True)
    kept = model.backward(DY)
    before = kept.copy()
    model.forward(X * 2, training=True)
    model.backward(DY * 2)
    np.testing.assert_array_equal(kept, before)


def trains(model: rl.Sequential) -> None:
    trainer = rl.Trainer(model, rl.SquaredError(), rl.SGD(0.1))
    trainer.step(X, DY)


def updates(model: rl.Sequential) -> None:
    optimizer = rl.SGD(0.1)
    optimizer.bind(model)
    optimizer.update()


@pytest.mark.parametrize("change", [trains, updates, lambda m: m.load_params(network().params)])
@pytest.mark.parametrize("through", ["forward", "run"])
def test_a_pass_is_over_when_the_parameters_are_updated(change: Any, through: str) -> None:
    model = network()
    alive = model.run(X) if through == "run" else None
    if alive is None:
        model.forward(X, training=True)
    change(model)
    with pytest.raises(RuntimeError, match=r"backward must follow.*updated in between"):
        (model if alive is None else alive).backward(DY)
    model.forward(X, training=True)
    model.backward(DY)


def test_captured_steps_end_a_pass_too() -> None:
    model = rl.mlp([5, 8, 3], rng=0)
    trainer = rl.Trainer(model, rl.SoftmaxCrossEntropy(), rl.SGD(0.1))
    x, labels = X.astype(np.float32), np.arange(6) % 3
    for _ in range(4):
        trainer.step(x, labels)
    for train in (lambda: trainer.step(x, labels), lambda: trainer.fit(x, labels, epochs=20, batch_size=6)):
        alive = model.run(x)
        train()
        with pytest.raises(RuntimeError, match="updated in between"):
            alive.backward(DY.astype(np.float32))


def test_each_pass_goes_backward_once() -> None:
    model = network()
    alive = model.run(X)
    with pytest.raises(ValueError, match=r"\(layer 7, Softmax"):
        alive.backward(DY[:, :2])
    with pytest.raises(TypeError, match="astype"):
        alive.backward(DY.astype(np.float32))
    assert alive.backward(DY).shape == X.shape
    for again in (alive.backward, model.backward):
        with pytest.raises(RuntimeError, match="went backward before"):
            again(DY)


@pytest.mark.parametrize("through", ["forward", "run"])
@pytest.mark.parametrize("rows", [1, 6, 1100])
def test_need_dx_and_accumulate(through: str, rows: int) -> None:
    model = network(dropout=False)
    x, dys = RNG.normal(size=(rows, 5)), RNG.normal(size=(2, rows, 3))
    apart = [gradient(model, x, dy) for dy in dys]

    def backward(dy: Any, **keywords: Any) -> Any:
        if through == "run":
            return model.run(x).backward(dy, **keywords)
        model.forward(x, training=True)
        return model.backward(dy, **keywords)

    assert backward(dys[0], need_dx=False) is None
    assert model.flat_grads.tobytes() == apart[0][0].tobytes()
    dx = backward(dys[1], accumulate=True)
    assert dx.tobytes() == apart[1][1].tobytes()
    room = 8 * rows * np.finfo(np.float64).eps * np.abs(apart[0][0]).max()
    np.testing.assert_allclose(model.flat_grads, apart[0][0] + apart[1][0], rtol=0, atol=room)
    backward(dys[1])
    assert model.flat_grads.tobytes() == apart[1][0].tobytes()
    for keyword in ("need_dx", "accumulate"):
        with pytest.raises(TypeError, match=f"{keyword} is 1"):
            backward(dys[0], **{keyword: 1})


def test_a_pass_shows_what_every_layer_got() -> None:
    model = network(dropout=False)
    alive = model.run(X)
    with pytest.raises(RuntimeError, match="after backward"):
        _ = alive.dys
    h = X
    for layer, given in zip(model.layers, alive.inputs, strict=True):
        assert given.tobytes() == h.tobytes()
        h = layer.forward(h)
    alive.backward(DY)
    for index, name in [(0, "0.weight"), (2, "2.weight"), (5, "5.weight")]:
        np.testing.assert_allclose(alive.inputs[index].T @ alive.dys[index], model.grads[name], rtol=1e-13)
    # Norms of the samples' own gradients, from one pass.
    norms = np.sqrt((alive.inputs[5] ** 2).sum(1) * (alive.dys[5] ** 2).sum(1))
    for row, norm in enumerate(norms):
        model.run(X[row : row + 1]).backward(DY[row : row + 1])
        assert norm == pytest.approx(np.linalg.norm(model.grads["5.weight"]), rel=1e-12)
    kept = alive.inputs[5]
    before = kept.copy()
    del alive
    model.run(X * 2)
    np.testing.assert_array_equal(kept, before)


@pytest.mark.parametrize("ops", [None, reference])
def test_the_gradient_of_the_input_is_that_of_inference(ops: Any, numerical_gradient: Any) -> None:
    model = network(ops=ops)
    model.flat_grads[:] = 7.0
    x = X.copy()
    dx = model.input_gradient(x, DY)
    numerical = numerical_gradient(lambda: float(np.sum(DY * model(x))), x)
    assert np.abs(dx - numerical).max() <= 1e-8 * np.abs(numerical).max()
    np.testing.assert_array_equal(model.flat_grads, 7.0)
    first = rl.Sequential(rl.Dropout(0.5), rl.Dense(5, 3), dtype=np.float64)
    np.testing.assert_allclose(first.input_gradient(X, DY), DY @ first.params["1.weight"].T, rtol=1e-13)
    with pytest.raises(ValueError, match=r"\(layer"):
        model.input_gradient(X, DY[:, :2])


def test_gradients_of_inputs_on_many_threads() -> None:
    model = rl.mlp([40, 200, 3], dtype=np.float64, rng=0)
    batches = [RNG.normal(size=(300, 40)) for _ in range(24)]
    dy = RNG.normal(size=(300, 3))
    alone = [model.input_gradient(batch, dy).tobytes() for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: model.input_gradient(batch, dy).tobytes(), batches))
    assert together == alone


class Scale:
    """A user's layer that keeps its input in itself."""

    def __init__(self) -> None:
        self.params, self.grads = {"s": np.array([2.0])}, {"s": np.zeros(1)}

    def forward(self, x: Any, training: bool = False) -> Any:
        self.x = x
        return x * self.params["s"]

    def backward(self, dy: Any) -> Any:
        self.grads["s"][...] = np.sum(dy * self.x)
        return dy * self.params["s"]


@pytest.mark.parametrize("between", [lambda m: m(X), lambda m: m.run(X), lambda m: m.input_gradient(X, DY)])
def test_a_layer_of_ones_own_serves_the_latest_pass_or_says_so(between: Any) -> None:
    model = rl.Sequential(rl.Dense(5, 3), Scale(), dtype=np.float64, rng=0)
    alive = model.run(X)
    alive.backward(DY)
    once = model.flat_grads.copy()
    model.run(X).backward(DY, accumulate=True)
    np.testing.assert_allclose(model.flat_grads, 2 * once, rtol=1e-13)
    alive = model.run(X * 2)
    between(model)
    with pytest.raises(RuntimeError, match="a layer of your own"):
        alive.backward(DY)
    before = model.flat_grads.copy()
    np.testing.assert_allclose(model.input_gradient(X, DY), 2 * DY @ model.params["0.weight"].T)
    np.testing.assert_array_equal(model.flat_grads, before)


def test_layers_skip_what_is_not_asked_for() -> None:
    for layer, x in [(rl.Dense(4, 3), X[:, :4]), (rl.PReLU(5), X)]:
        layer.initialize(0, np.float64)
        y = layer.forward(x, training=True)
        dx = layer.backward(np.ones_like(y))
        grads = {name: value.copy() for name, value in layer.grads.items()}
        layer.forward(x, training=True)
        assert layer.backward(np.ones_like(y), need_gradients=False).tobytes() == dx.tobytes()
        layer.forward(x, training=True)
        assert layer.backward(np.ones_like(y), need_dx=False, accumulate=True) is None
        for name, value in grads.items():
            np.testing.assert_allclose(layer.grads[name], 2 * value, rtol=1e-12)
