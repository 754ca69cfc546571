"""ONNX's own tests of the supported operators: on the backend, and with constant weights through the reader."""

from __future__ import annotations

import importlib.util
import re
import unittest
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relu_layers as rl

onnx = pytest.importorskip("onnx", reason="needs onnx")
onnx_tests = pytest.importorskip("onnx.backend.test", reason="needs onnx")
loader = pytest.importorskip("onnx.backend.test.loader", reason="needs onnx")
NEWEST = pytest.importorskip("relu_layers.formats.onnx._graph").NEWEST
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper


def backend() -> Any:
    """Return the class in the module beside this file."""
    spec = importlib.util.spec_from_file_location("onnx_backend", Path(__file__).with_name("onnx_backend.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Backend


Backend = backend()

FLOATS = "(FLOAT_to_DOUBLE|DOUBLE_to_FLOAT)"
# Names of ONNX's tests by operator; every test that consists of supported operators is here or below.
RUN = {
    "Add": r"test_add(_bcast|_u?int\d+)?_cpu|test_operator_(add_\w+|addconstant)_cpu",
    "BatchNormalization": r"test_batchnorm_(epsilon|example)_cpu|test_BatchNorm[123]d_\w+_cpu",
    "Cast": rf"test_(cast_{FLOATS}|castlike_{FLOATS}_expanded)_cpu",
    "Clip": r"test_(clip(_example|_\w*bounds|_min_greater_than_max|_default_\w+)?|operator_clip)(?<!_expanded)_cpu",
    "Constant": r"test_constant_cpu",
    "Div": r"test_div(_bcast|_example|_u?int\d+|_int\d+_trunc)?_cpu",
    "Dropout": r"test_dropout_\w+_cpu|test_training_dropout_zero_ratio(_mask)?_cpu",
    "Elu": r"test_(elu(_default|_example)?|ELU)_cpu",
    "Flatten": r"test_flatten_\w+_cpu|test_operator_(flatten|view)_cpu",
    "Gelu": r"test_gelu_(default|tanh)_\d_cpu",
    "Gemm": r"test_gemm_\w+_cpu|test_Linear_cpu|test_operator_(addmm|mm)_cpu",
    "Greater": r"test_greater(_bcast|_u?int\d+)?_cpu",
    "Identity": r"test_(identity|clip_default_(int8_)?inbounds_expanded)_cpu",
    "LeakyRelu": r"test_(leakyrelu(_default|_example)?|LeakyReLU(_with_negval)?)_cpu",
    "LessOrEqual": r"test_less_equal(_bcast|_u?int\d+)?_cpu",
    "LogSoftmax": r"test_(logsoftmax_(?!.*expanded)\w+|LogSoftmax|log_softmax_\w+)_cpu",
    "MatMul": r"test_matmul_\w+_cpu",
    "Max": r"test_max_(example|(one|two)_inputs?|u?int\d+|float\d+)_cpu|test_operator_max_cpu",
    "Min": r"test_min_(example|(one|two)_inputs?|u?int\d+|float\d+)_cpu|test_operator_min_cpu",
    "Mul": r"test_mul(_bcast|_example|_u?int\d+)?_cpu",
    "PRelu": r"test_(prelu_(example|broadcast)|PReLU_\w+)_cpu",
    "Relu": r"test_(relu|ReLU|single_relu_model)_cpu",
    "Reshape": r"test_reshape_(?!.*string)\w+_cpu",
    "Selu": r"test_(selu(_default|_example)?|SELU|operator_selu)_cpu",
    "Sigmoid": r"test_(sigmoid(_example)?|Sigmoid)_cpu",
    "Softmax": r"test_(softmax_(?!.*expanded)\w+|Softmax)_cpu",
    "Softplus": r"test_(softplus(_example)?|Softplus|mish_expanded)_cpu",
    "Sub": r"test_sub(_bcast|_example|_u?int\d+)?_cpu",
    "Tanh": r"test_(tanh(_example)?|Tanh)_cpu",
    "ThresholdedRelu": r"test_thresholdedrelu(_default|_example)?_cpu",
    "Transpose": r"test_transpose_\w+_cpu|test_operator_(transpose|permute2)_cpu",
    "Where": r"test_where(_long)?_example_cpu",
    "several": r"test_(Linear_no_bias|PixelShuffle|operator_non_float_params)_cpu",
}
# Tests that consist of supported operators in older releases of onnx, with what newer ones have in them.
OLDER = {"test_celu_expanded": "CastLike"}
LEFT_OUT = {
    r"test_batchnorm_(example|epsilon)_training_mode_cpu": "what is read and run here is inference",
    r"test_training_dropout(_default)?(_mask)?_cpu": "its masks come from NumPy's old generator, ours from Philox",
    r"test_identity_(sequence|opt)_cpu": "sequences and optionals are no tensors",
    rf"test_cast_(?!{FLOATS}_cpu)\w+_cpu|test_castlike_(?!{FLOATS}_)\w+_expanded_cpu": "no model here has these types",
    r"\w+_cuda": "the CPU alone is supported",
}


def quiet() -> Any:
    """Return a context without warnings: some of ONNX's reference results overflow on purpose."""
    return warnings.catch_warnings(action="ignore")


@pytest.fixture(scope="module")
def official() -> dict[str, unittest.TestCase]:
    """ONNX's backend tests by name, for our backend; those of category Real would download their files."""
    with quiet():
        cases = onnx_tests.BackendTest(Backend, __name__).test_cases
    return {
        name: case(name)
        for category, case in cases.items()
        if "Real" not in category
        for name in dir(case)
        if name.startswith("test_")
    }


@pytest.fixture(scope="module")
def published() -> list[Any]:
    """ONNX's test cases with their models."""
    kinds = ("node", "simple", "pytorch-converted", "pytorch-operator")
    with quiet():
        return [case for kind in kinds for case in loader.load_model_tests(kind=kind)]


def model_of(case: Any) -> Any:
    """Return the model of a test case, None where it would be downloaded."""
    if case.model is None and case.model_dir is not None:
        return onnx.load(Path(case.model_dir) / "model.onnx")
    return case.model


@pytest.mark.parametrize("op_type", RUN)
def test_onnx_own_tests_pass(op_type: str, official: dict[str, unittest.TestCase]) -> None:
    names = [name for name in official if re.fullmatch(RUN[op_type], name)]
    assert names, "onnx has no test of this name any more"
    for name in names:
        official[name].debug()


@pytest.mark.parametrize("name", OLDER)
def test_tests_of_older_releases_pass(
    name: str, official: dict[str, unittest.TestCase], published: list[Any]
) -> None:
    (model,) = [model_of(case) for case in published if case.name == name]
    if OLDER[name] in {node.op_type for node in model.graph.node}:
        pytest.skip(f"this onnx has {OLDER[name]} in {name}")
    official[f"{name}_cpu"].debug()


def test_no_test_of_supported_operators_is_passed_over(published: list[Any]) -> None:
    known = re.compile("|".join([*RUN.values(), *LEFT_OUT, *(f"{name}_cpu" for name in OLDER)]))
    for case in published:
        model = model_of(case)
        if model is None or not {node.op_type for node in model.graph.node} <= set(NEWEST):
            continue
        assert known.fullmatch(f"{case.name}_cpu"), f"{case.name} neither runs nor has a reason why not"


@pytest.mark.parametrize("pattern", LEFT_OUT)
def test_what_is_left_out_is_there_and_refused(pattern: str, official: dict[str, unittest.TestCase]) -> None:
    refused = 0
    for name in official:
        if re.fullmatch(pattern, name):
            try:
                official[name].debug()
            except (ValueError, unittest.SkipTest):
                refused += 1
    assert refused


def constant_weights(model: Any, arrays: list[Any]) -> Any:
    """Return the model with all inputs but the first as initializers."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    graph.initializer.extend(
        numpy_helper.from_array(array, value.name) for value, array in zip(graph.input, arrays, strict=True)
    )
    del graph.initializer[0]
    del graph.input[1:]
    return model


# Operators whose tests must come through the reader, with how many at least.
READ = {"Gemm": 8, "MatMul": 1, "PRelu": 1, "Softmax": 5, "LogSoftmax": 5, "Elu": 3, "LeakyRelu": 3, "Relu": 1,
        "Sigmoid": 2, "Tanh": 2, "ThresholdedRelu": 3, "Dropout": 3}  # fmt: skip


def test_the_reader_agrees_with_the_tests_it_can_read(published: list[Any], tmp_path: Path) -> None:
    count = dict.fromkeys(READ, 0)
    for case, model, arrays, expected in readable(published):
        onnx.save(constant_weights(model, arrays), tmp_path / "model.onnx")
        try:
            loaded = rl.load(tmp_path / "model.onnx")
        except ValueError:
            continue
        x = arrays[0]
        flat = x.reshape(len(x), -1) if model.graph.node[0].op_type == "Flatten" else x
        np.testing.assert_allclose(loaded(flat), expected, rtol=case.rtol, atol=case.atol, err_msg=case.name)
        count[model.graph.node[0].op_type] += 1
    assert all(count[op_type] >= least for op_type, least in READ.items()), count


def readable(cases: list[Any]) -> Iterator[tuple[Any, Any, list[Any], Any]]:
    """Yield the cases of one node of `READ` on float32, with the inputs and the first output of each data set."""
    for case in cases:
        model = model_of(case)
        if case.kind != "node" or [node.op_type in READ for node in model.graph.node] != [True]:
            continue
        for arrays, results in data_sets_of(case):
            if arrays and arrays[0].dtype == np.float32 and len(results) == 1:
                yield case, model, arrays, results[0]


def data_sets_of(case: Any) -> list[tuple[list[Any], list[Any]]]:
    """Return inputs and outputs of a case, which older versions of onnx keep in files."""
    if case.data_sets is not None:
        return list(case.data_sets)
    return [
        tuple(
            [numpy_helper.to_array(onnx.load_tensor(path)) for path in sorted(folder.glob(f"{which}_*.pb"))]
            for which in ("input", "output")
        )
        for folder in Path(case.model_dir).glob("test_data_set_*")
    ]


def test_models_that_pytorch_wrote_at_opset_6_are_read(published: list[Any], tmp_path: Path) -> None:
    """The reader against the backend, which the same models' tests have checked."""
    rng = np.random.default_rng(0)
    read = set()
    for case in published:
        model = model_of(case)
        if case.kind != "pytorch-converted" or model is None:
            continue
        if not {node.op_type for node in model.graph.node} <= set(NEWEST) - {"Reshape", "Transpose"}:
            continue
        onnx.save(model, tmp_path / "model.onnx")
        try:
            loaded = rl.load(tmp_path / "model.onnx")
        except ValueError as error:
            read.add(f"not {case.name}: {str(error).partition(': ')[2]}")
            continue
        x = rng.standard_normal([dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim])
        x = x.astype(np.float32)
        np.testing.assert_allclose(loaded(x), Backend.run_model(model, [x])[0], rtol=1e-5, atol=1e-6)
        read.add(case.name)
    assert {name for name in read if name.startswith("test_")} >= {
        "test_ELU", "test_LeakyReLU", "test_LeakyReLU_with_negval", "test_Linear", "test_LogSoftmax", "test_PReLU_1d",
        "test_PReLU_2d", "test_PReLU_3d", "test_ReLU", "test_Sigmoid", "test_Softmax", "test_Tanh",
        "test_log_softmax_lastdim", "test_softmax_lastdim",
    }, read  # fmt: skip


# --- the interface itself ---


def two_inputs() -> Any:
    """Return a model with a branch: relu(a) + b, and a alone."""
    a, b, y, z = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in "abyz")
    nodes = [
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Add", ["r", "b"], ["y"]),
        helper.make_node("Identity", ["a"], ["z"]),
    ]
    graph = helper.make_graph(nodes, "g", [a, b], [y, z])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def nameless() -> Any:
    """Return a model that runs, but that ONNX's checker does not let pass."""
    model = two_inputs()
    model.graph.name = ""
    return model


def test_a_model_with_branches_and_two_outputs_runs() -> None:
    a = np.array([[-1, 2, 3]], np.float32)
    b = np.ones((1, 3), np.float32)
    prepared = Backend.prepare(two_inputs())
    for inputs in ([a, b], {"b": b, "a": a}):
        outputs = prepared.run(inputs)
        np.testing.assert_array_equal(outputs.y, [[1, 3, 4]])
        np.testing.assert_array_equal(outputs[1], a)
    np.testing.assert_array_equal(Backend.run_model(two_inputs(), [a, b])[0], [[1, 3, 4]])
    assert Backend.is_compatible(two_inputs())
    assert Backend.supports_device("CPU:0")
    assert not Backend.supports_device("CUDA")


@pytest.mark.parametrize(
    ("op_type", "shape", "opset", "expected"),
    [
        ("Softmax", (2, 3, 4), 13, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        ("Softmax", (2, 3, 4), 11, lambda x: np.exp(x) / np.exp(x).sum((1, 2), keepdims=True)),
        ("Relu", (), 13, lambda x: np.maximum(x, 0)),
        ("Tanh", (0, 5), 13, np.tanh),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_node_on_any_rank_at_any_opset(op_type, shape, opset, expected, dtype) -> None:
    x = np.asarray(np.random.default_rng(0).standard_normal(shape), dtype)
    node = helper.make_node(op_type, ["x"], ["y"])
    (y,) = Backend.run_node(node, [x], opset_version=opset)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Backend.prepare(two_inputs(), "CUDA"), "device is 'CUDA', expected 'CPU'"),
        (lambda: Backend.run_model(two_inputs(), [np.ones((1, 3), np.float32)]), "got 1 inputs, expected a, b"),
        (lambda: Backend.prepare(nameless()), "the model is not valid: .*name"),
        (lambda: Backend.run_model(two_inputs(), {"a": 1, "c": 2}), "got 2 inputs, expected a, b"),
        (lambda: Backend.run_node(helper.make_node("Relu6", ["x"], ["y"]), [1.0]), "did you mean 'Relu'"),
        (lambda: Backend.run_node(helper.make_node("Relu", ["x"], ["y"]), []), "got 0 inputs, expected 1"),
        (lambda: Backend.run_node(helper.make_node("Relu", ["x"], ["y"]), [np.arange(3)]), "node 0 .Relu.: .*int64"),
        (
            lambda: Backend.run_node(
                helper.make_node("MatMul", ["a", "b"], ["y"]), [np.ones((2, 3)), np.ones((2, 3))]
            ),
            "node 0 .MatMul.: ",
        ),
        (lambda: Backend.run_node(helper.make_node("Where", ["a", "b", "c"], ["y"]), [1, 2, 3], opset_version=8),
         "there is no Where in opset 8"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
    assert not Backend.is_compatible(
        helper.make_model(
            helper.make_graph(
                [helper.make_node("Conv", ["x", "w"], ["y"])], "g", [], [two_inputs().graph.output[0]]
            )
        )
    )
