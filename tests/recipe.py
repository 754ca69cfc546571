"""Follows CONTRIBUTING's "Add an activation" in a copy of the project, and runs the tests it names: ``nox -s recipe``.

The activation is made up: Square, ``y = x * x``, whose backward works from x. Every edit is one that the recipe asks
for, in its order; what the recipe forgot would end in a red test.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

NEW_FILES = {
    "cpp/src/kernels/square.cpp": """\
// Square:
//   forward   y = x * x;  backward  dx = dy * 2 * x, from the input
// y may not be x, dx may be dy. No kink; y is +inf at both infinities; NaN passes through.
#define RELU_LAYERS_KERNELS "table/activations.def"
#include "kernels/kernel.h"

namespace relu_layers::RELU_LAYERS_NAMESPACE {

void square_forward(const T* x, T* y, index_t n, bool streaming) {
    map_vectors(x, y, n, streaming, [](V v) { return v * v; });
}

void square_backward(const T* x, const T* dy, T* dx, index_t n, bool streaming) {
    map_vectors(x, dy, dx, n, streaming, [](V v, V g) { return g * (v + v); });
}

}  // namespace relu_layers::RELU_LAYERS_NAMESPACE
""",
    "python/relu_layers/layers/square.py": '''\
"""Square: x * x, elementwise."""

from __future__ import annotations

from relu_layers._support.configured import Array
from relu_layers.layers.base import Layer


class Square(Layer):
    """Square: ``y = x * x``. Backward: ``dx = dy * 2 * x``."""

    def forward(self, x: Array, training: bool = False, *, out: Array | None = None) -> Array:
        """Return y of the shape of x."""
        y: Array = self.ops.square_forward(x, out=out)
        self._saved = x if training else None
        return y

    def backward(self, dy: Array, *, out: Array | None = None) -> Array:
        """Return dx of the shape of dy."""
        dx: Array = self.ops.square_backward(self._kept(), dy, out=out)
        self._saved = None
        return dx
''',
}

REFERENCE = '''\
@_quiet
def square_forward(x: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Square ``y = x * x``. `out` may not overlap x."""
    x = float_array("square_forward", "x", x)
    out = output("square_forward", out, x.shape, x.dtype, reads=[x])
    out[...] = x * x
    return out


@_quiet
def square_backward(x: FloatArray, dy: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Gradient of `square_forward`: ``dx = dy * 2 * x``. ``out=dy`` is allowed."""
    x = float_array("square_backward", "x", x)
    dy = float_array("square_backward", "dy", dy, like=x, shape=x.shape)
    out = output("square_backward", out, x.shape, x.dtype, reads=[x], may_alias=[dy])
    out[...] = dy * (x + x)
    return out


'''

EDGES = '''\
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_square_at_its_edges(ops: Any, dtype: Any) -> None:
    """Cell by cell: x, y, dy/dx."""
    cells = np.array([(0, 0, 0), (-0.0, 0, -0.0), (3, 9, 6), (-2, 4, -4), (-np.inf, np.inf, -np.inf)])
    x, y, slope = (cells[:, i].astype(dtype) for i in range(3))
    np.testing.assert_array_equal(ops.square_forward(x), y)
    np.testing.assert_array_equal(ops.square_backward(x, np.full(5, 2, dtype)), 2 * slope)
    with pytest.raises(ValueError, match="out"):
        ops.square_forward(x, out=x)


'''

FORMULA = """\
[Square]
plain = "{y} = {x}^2"
derivative = "2 * {x}"
latex = "{y} = {x}^2"
latex_derivative = "2\\\\,{x}"
numpy = "{x} * {x}"
numpy_derivative = "2 * {x}"
torch = "torch.square({x})"
c = "const REAL y = x * x;"

"""

# The numbers are the recipe's. An edit: file, the line that what is added stands before, and what is added.
EDITS: tuple[tuple[str, str, str], ...] = (
    # 1
    (
        "python/relu_layers/ops/reference/activations.py",
        '    "tanh_forward",',
        '    "square_forward",\n    "square_backward",\n',
    ),
    ("python/relu_layers/ops/reference/activations.py", "@_quiet\ndef tanh_forward(", REFERENCE),
    # 2
    (
        "cpp/src/table/activations.def",
        "// cpp/src/kernels/tanh.cpp",
        "// cpp/src/kernels/square.cpp\n"
        "RELU_LAYERS_KERNEL(void, square_forward, (const T* x, T* y, index_t n, bool streaming))\n"
        "RELU_LAYERS_KERNEL(void, square_backward, (const T* x, const T* dy, T* dx, index_t n, bool streaming))\n\n",
    ),
    # 3
    (
        "cpp/include/relu_layers/ops.h",
        "// y = tanh(x); dx",
        "// y = x * x; dx = dy * 2 * x.\n"
        "template <class T>\nvoid square_forward(Rows<const T> x, T* y);\n"
        "template <class T>\nvoid square_backward(Rows<const T> x, Rows<const T> dy, T* dx);\n",
    ),
    (
        "cpp/src/ops/activations.cpp",
        "RELU_LAYERS_FORWARD(tanh_forward",
        "RELU_LAYERS_FORWARD(square_forward, (Rows<const T> x, T* y), 0.1)\n"
        "RELU_LAYERS_BACKWARD(square_backward, (Rows<const T> state, Rows<const T> dy, T* dx), 0.15)\n",
    ),
    # 4
    (
        "cpp/src/bindings/elementwise.cpp",
        "    unary<RELU_LAYERS_OP(tanh_forward)",
        '    unary<RELU_LAYERS_OP(square_forward), no, 1>(m, "square_forward(x, *, out=None)");\n'
        '    gradient<RELU_LAYERS_OP(square_backward)>(m, "square_backward(x, dy, *, out=None)");\n',
    ),
    # 5
    (
        "python/relu_layers/layers/built_in.py",
        "    from relu_layers.layers.tanh",
        "    from relu_layers.layers.square import Square\n",
    ),
    ("python/relu_layers/layers/built_in.py", '    "Tanh",', '    "Square",\n'),
    # 6
    ("python/relu_layers/_files/formulas.toml", "[Softplus]", FORMULA),
    # 7
    (
        "tests/ops/test_agreement.py",
        '    "tanh_forward":',
        '    "square_forward": lambda o, x: o.square_forward(x),\n',
    ),
    (
        "tests/ops/test_agreement.py",
        '    "tanh_backward":',
        '    "square_backward": lambda o, x, d: o.square_backward(x, d),\n',
    ),
    (
        "tests/ops/test_gradients.py",
        '    "gelu": (',
        '    "square": (\n'
        "        lambda o, x, out=None: o.square_forward(x, out=out),\n"
        "        lambda o, s, d, out=None: o.square_backward(s, d, out=out),\n"
        "        False,\n        0.0,\n    ),\n",
    ),
    (
        "tests/ops/test_same_bits.py",
        "            results += [rl.ops.selu_forward(y)",
        "            results += [rl.ops.square_forward(y), rl.ops.square_backward(y, dy)]\n",
    ),
    (
        "tests/ops/test_dtypes.py",
        '    "selu_backward": {',
        '    "square_backward": {"x": MATRIX, "dy": MATRIX, "out": MATRIX},\n'
        '    "square_forward": {"x": MATRIX, "out": MATRIX},\n',
    ),
    ("tests/ops/test_dtypes.py", '    "Tanh": rl.Tanh,', '    "Square": rl.Square,\n'),
    (
        "tests/ops/test_streaming.py",
        '    "selu_forward":',
        '    "square_forward": lambda x, dy, out: rl.ops.square_forward(x, out=out),\n'
        '    "square_backward": lambda x, dy, out: rl.ops.square_backward(x, dy, out=out),\n',
    ),
    (
        "tests/ops/test_definitions.py",
        '    "selu_forward":',
        '    "square_forward": lambda ops, x, dy: ops.square_forward(x),\n'
        '    "square_backward": lambda ops, x, dy: ops.square_backward(x, dy),\n',
    ),
    ("tests/ops/test_definitions.py", "def gelu(x: float, form: str)", EDGES),
    ("tests/layers/test_layer_gradients.py", '    "tanh": lambda', '    "square": lambda: rl.Square(),\n'),
    ("tests/layers/test_layer_protocol.py", "        (rl.GELU(), ", '        (rl.Square(), "Square()"),\n'),
    ("tests/test_capture.py", "        rl.SELU(),", "        rl.Square(),\n        rl.Dense(4, 4),\n"),
    ("tests/test_capture.py", '                "SELU",', '                "Square",\n'),
    ("tests/test_gradcheck.py", '    "selu": lambda', '    "square": lambda: rl.Square(),\n'),
    (
        "tests/formats/test_c_header.py",
        "            lambda: rl.SELU(),",
        "            lambda: rl.Square(),\n",
    ),
    # 8
    (
        "docs/api/ops.md",
        ".. autofunction:: relu_layers.ops.tanh_forward",
        ".. autofunction:: relu_layers.ops.square_forward\n\n.. autofunction:: relu_layers.ops.square_backward\n\n",
    ),
    ("docs/api/model.md", ".. autoclass:: relu_layers.Tanh", ".. autoclass:: relu_layers.Square\n\n"),
    ("docs/caffe.md", "| `Threshold(threshold, value)` |", "| `Square()` | none in Caffe 1.0 |\n"),
    ("docs/onnx.md", "| `Threshold` | LessOrEqual, Where |", "| `Square` | Mul | yes |\n"),
)
TESTS = (
    "tests/ops", "tests/layers", "tests/test_capture.py", "tests/test_gradcheck.py", "tests/formats", "tests/interop",
    "tests/explain", "tests/test_architecture.py", "tests/test_reference_pages.py", "tests/test_stubs.py",
)  # fmt: skip


def copy(place: Path) -> None:
    """Copy what git knows of the project, as it is in the working tree."""
    shutil.rmtree(place, ignore_errors=True)
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, known.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)


def edit(place: Path) -> None:
    """Follow the recipe."""
    for name, text in NEW_FILES.items():
        (place / name).write_text(text, encoding="utf-8")
    for name, before, added in EDITS:
        text = (place / name).read_text(encoding="utf-8")
        if before not in text:
            sys.exit(
                f"{name} has no line {before!r} any more: correct tests/recipe.py, and the recipe if it says so"
            )
        (place / name).write_text(text.replace(before, added + before, 1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="a folder for the copy, which is made new")
    parser.add_argument("--edit-only", action="store_true", help="stop before the build")
    parser.add_argument("tests", nargs="*", default=TESTS, help="other tests than all that the recipe names")
    asked = parser.parse_args()
    place = asked.work.resolve() / "copy"
    copy(place)
    edit(place)
    if asked.edit_only:
        return
    python = sys.executable
    for command in (
        [python, "docs/write_cpp_page.py"],
        [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "-Ccmake.define.RELU_LAYERS_WARNINGS_AS_ERRORS=ON",
            f"{place}[test]",
        ],
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *asked.tests],
    ):
        subprocess.run(command, cwd=place, check=True)


if __name__ == "__main__":
    main()
