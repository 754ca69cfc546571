"""Arrays of other libraries come in through DLPack, and ours go out the same way, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relu_layers as rl

LIBRARIES = ("torch", "jax")


class Foreign:
    """One array library: how its arrays are made, and how it reads DLPack."""

    def __init__(self, name: str) -> None:
        module = pytest.importorskip(name, reason=f"{name}, another array library, is not installed")
        if name == "torch":
            self.array: Any = lambda a: module.tensor(np.asarray(a))
            self.bfloat16: Any = lambda a: self.array(a).to(module.bfloat16)
            self.read: Any = module.from_dlpack
            self.address: Any = lambda a: a.data_ptr()
        else:
            from jax import numpy as jnp

            self.array = jnp.asarray
            self.bfloat16 = lambda a: jnp.asarray(a, jnp.bfloat16)
            self.read = jnp.from_dlpack
            self.address = lambda a: a.unsafe_buffer_pointer()


@pytest.fixture(params=LIBRARIES)
def foreign(request: pytest.FixtureRequest) -> Foreign:
    return Foreign(request.param)


class Exporter:
    """An object that has nothing but the DLPack protocol, as any library's array may."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


class OnADevice(Exporter):
    """An array in the memory of a CUDA device (2 in DLPack's list), which no CPU library can export."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("Cannot export a CUDA array to the CPU")


RNG = np.random.default_rng(2)
X = RNG.standard_normal((6, 4)).astype(np.float32)
DY = RNG.standard_normal((6, 4)).astype(np.float32)
WEIGHT = RNG.standard_normal((4, 3)).astype(np.float32)
BIAS = RNG.standard_normal(3).astype(np.float32)
SLOPE = RNG.uniform(0.1, 0.4, 4).astype(np.float32)
LABELS = np.array([0, 3, 1, 2, 0, 1])
CALLS: dict[str, tuple[Any, ...]] = {
    "relu_forward": (X,),
    "relu_backward": (X, DY),
    "prelu_forward": (X, SLOPE),
    "prelu_backward": (X, SLOPE, DY),
    "elu_forward": (X,),
    "elu_backward": (X, DY),
    "sigmoid_forward": (X,),
    "silu_forward": (X,),
    "silu_backward": (X, DY),
    "gelu_forward": (X,),
    "gelu_backward": (X, DY),
    "selu_forward": (X,),
    "selu_backward": (X, DY),
    "softplus_forward": (X,),
    "softplus_backward": (X, DY),
    "clip_forward": (X,),
    "clip_backward": (X, DY),
    "tanh_backward": (X, DY),
    "threshold_forward": (X, 0.1, -1.0),
    "dense_forward": (X, WEIGHT, BIAS),
    "dense_backward": (X, WEIGHT, X @ WEIGHT),
    "matmul": (X, WEIGHT),
    "softmax_forward": (X,),
    "log_softmax_backward": (X, DY),
    "softmax_cross_entropy": (X, LABELS),
    "sigmoid_cross_entropy": (X, (DY > 0).astype(np.float32)),
    "squared_error": (X, DY),
    "huber": (X, DY),
}


def same(a: Any, b: Any) -> None:
    """Assert that two results of an op, arrays or tuples of them, hold the same bits."""
    for left, right in zip(
        a if isinstance(a, tuple) else (a,), b if isinstance(b, tuple) else (b,), strict=True
    ):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", CALLS)
def test_ops_take_arrays_of_other_libraries(foreign: Foreign, name: str) -> None:
    given = CALLS[name]
    op = getattr(rl.ops, name)
    imported = [foreign.array(a) if isinstance(a, np.ndarray) else a for a in given]
    same(op(*imported), op(*given))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("namespace", [rl.ops, rl.ops.reference], ids=["native", "reference"])
def test_ops_need_the_protocol_alone(namespace: Any, name: str) -> None:
    given = CALLS[name]
    op = getattr(namespace, name)
    same(op(*(Exporter(a) if isinstance(a, np.ndarray) else a for a in given)), op(*given))


def test_what_comes_in_is_read_where_it_is() -> None:
    """Reading through DLPack must see later changes of the same memory: there is no hidden copy."""
    array = np.array([1.0, -1.0])
    exporter = Exporter(array)
    np.testing.assert_array_equal(rl.ops.relu_forward(exporter), [1.0, 0.0])
    array[1] = 5.0
    np.testing.assert_array_equal(rl.ops.relu_forward(exporter), [1.0, 5.0])


def test_results_and_parameters_go_out_without_a_copy(foreign: Foreign) -> None:
    model = rl.mlp([64, 32, 2], rng=0)
    y = model(np.ones((5, 64), np.float32))
    for array in (y, rl.ops.relu_forward(X), *model.params.values(), model.flat_params):
        np.testing.assert_array_equal(np.asarray(foreign.read(array)), array)
        assert np.shares_memory(np.from_dlpack(array), array)
    if hasattr(foreign.array([1.0]), "data_ptr"):
        # JAX copies what is not aligned as it wants; PyTorch never does.
        assert foreign.address(foreign.read(model.flat_params)) == model.flat_params.ctypes.data


def test_read_only_arrays_are_inputs_but_never_out() -> None:
    jnp = pytest.importorskip("jax.numpy", reason="JAX, whose arrays are read-only, is not installed")
    x = jnp.asarray(X)
    assert not np.from_dlpack(x).flags.writeable
    same(rl.ops.relu_forward(x), rl.ops.relu_forward(X))
    with pytest.raises(TypeError, match=r"expected a numpy\.ndarray to write to"):
        rl.ops.relu_forward(X, out=x)
    with pytest.raises(ValueError, match="out is read-only"):
        rl.ops.relu_forward(X, out=np.from_dlpack(x))


@pytest.mark.parametrize("dtype", ["int32", "float16"])
def test_other_dtypes_say_what_to_pass(foreign: Foreign, dtype: str) -> None:
    x = foreign.array(X.astype(dtype))
    with pytest.raises(TypeError, match=f"x has dtype {dtype}, expected float32 or float64"):
        rl.ops.relu_forward(x)
    with pytest.raises(
        TypeError, match=rf"x is {dtype}, expected float32; pass np.asarray\(x, dtype=np.float"
    ):
        rl.mlp([4, 2])(x)


def test_what_numpy_has_no_dtype_for_is_a_type_error(foreign: Foreign) -> None:
    x = foreign.bfloat16(X)
    model = rl.mlp([4, 2])
    for call in (rl.ops.relu_forward, model, model.predict):
        with pytest.raises(TypeError, match="could not be read through DLPack"):
            call(x)


def test_an_array_on_another_device_is_a_type_error() -> None:
    x = OnADevice(X)
    model = rl.mlp([4, 2])
    for call in (rl.ops.relu_forward, model, model.predict):
        with pytest.raises(TypeError, match=r"CUDA.*memory of the CPU"):
            call(x)


def test_a_tensor_that_requires_grad_is_not_read_silently() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = torch.tensor(X, requires_grad=True)
    model = rl.mlp([4, 2])
    for call in (rl.ops.relu_forward, model, model.predict):
        with pytest.raises(TypeError, match=r"pass x\.detach\(\)"):
            call(x)


def trainer(loss: Any = None) -> rl.Trainer:
    model = rl.mlp([4, 5, 4], rng=3)
    return rl.Trainer(model, loss or rl.SoftmaxCrossEntropy(), rl.Adam(0.05), rng=4)


def test_models_and_trainers_take_arrays_of_other_libraries(foreign: Foreign) -> None:
    x, labels, weight = (
        foreign.array(X),
        foreign.array(LABELS),
        foreign.array(np.arange(1, 7, dtype=np.float32)),
    )
    given = X, LABELS, np.arange(1, 7, dtype=np.float32)
    ours, theirs = trainer(), trainer()
    for _ in range(4):
        assert ours.step(*given) == theirs.step(x, labels, weight)
    fits = [
        t.fit(a, b, epochs=20, batch_size=4, validation=(a, b), sample_weight=w)
        for t, (a, b, w) in ((ours, given), (theirs, (x, labels, weight)))
    ]
    for column in ("loss", "accuracy", "validation_loss"):
        np.testing.assert_array_equal(fits[0][column], fits[1][column])
    assert ours.evaluate(X, LABELS) == theirs.evaluate(x, labels)
    model = ours.model
    for call in (model, model.predict, model.predict_proba):
        np.testing.assert_array_equal(call(x), call(X))
    assert rl.gradcheck(model, x, labels, rl.SoftmaxCrossEntropy())


def test_fit_converts_other_dtypes_once(foreign: Foreign) -> None:
    """Integer inputs and float64 targets of another library, as of NumPy."""
    inputs, targets = np.arange(24).reshape(6, 4) % 5, np.float64(np.arange(24).reshape(6, 4) % 3)
    ours, theirs = trainer(rl.SquaredError()), trainer(rl.SquaredError())
    first = ours.fit(inputs, targets, epochs=3, batch_size=2)
    second = theirs.fit(foreign.array(inputs), foreign.array(targets), epochs=3, batch_size=2)
    np.testing.assert_array_equal(first["loss"], second["loss"])


def test_lists_of_labels_still_work() -> None:
    assert trainer().evaluate(X, LABELS.tolist()) == trainer().evaluate(X, LABELS)
