"""Networks as C99 headers: compiled with warnings as errors, and compared with the model they were written from."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relu_layers as rl
from relu_layers.formats.c_header_values import text
from relu_layers.preprocessing import Preprocessing

Array = np.ndarray[Any, np.dtype[Any]]

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
LANGUAGES = {
    "gcc": ["-std=c99"],
    "clang": ["-std=c99"],
    "g++": ["-std=c++17", "-x", "c++"],
    "clang++": ["-std=c++17", "-x", "c++"],
}
COMPILERS = [
    pytest.param(one, marks=pytest.mark.skipif(shutil.which(one) is None, reason=f"needs {one}"))
    for one in LANGUAGES
]
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

# Reads rows of numbers from a file for each network and writes what it makes of them.
MAIN = """
#include <stdio.h>
static int run_NAME(const char *from, const char *to)
{
    static REAL x[ROWS * UPPER_INPUTS], y[ROWS * UPPER_OUTPUTS], row[UPPER_OUTPUTS];
    static REAL work[UPPER_WORK];
    FILE *file = fopen(from, "rb");
    long i, j;
    if (!file || fread(x, sizeof(REAL), ROWS * UPPER_INPUTS, file) != ROWS * UPPER_INPUTS) return 1;
    fclose(file);
    for (i = 0; i < UPPER_WORK; ++i) work[i] = 7;
    NAME_forward_batch(x, ROWS, y);
    for (i = 0; i < ROWS; ++i) {
        NAME_forward_in(x + i * UPPER_INPUTS, row, work);
        for (j = 0; j < UPPER_OUTPUTS; ++j)
            if (!(row[j] <= y[i * UPPER_OUTPUTS + j] && row[j] >= y[i * UPPER_OUTPUTS + j]) && !isnan(row[j])) return 2;
    }
    file = fopen(to, "wb");
    if (!file || fwrite(y, sizeof(REAL), ROWS * UPPER_OUTPUTS, file) != ROWS * UPPER_OUTPUTS) return 3;
    PREDICT
    return fclose(file);
}
"""
PREDICT = """
    for (i = 0; i < ROWS; ++i) {
        const int label = NAME_predict(x + i * UPPER_INPUTS);
        fwrite(&label, sizeof label, 1, file);
    }
"""


def compiled(folder: Path, source: str, compiler: str = "gcc", *flags: str) -> Path:
    """Compile a program with warnings as errors."""
    (folder / "main.c").write_text(source)
    program = folder / "program"
    command = [compiler, *LANGUAGES[compiler], *STRICT, *flags, "main.c", "-o", str(program), "-lm"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return program


def outputs_in_c(
    folder: Path, models: list[rl.Sequential], inputs: list[Array], compiler: str = "gcc", *flags: str
) -> list[tuple[Array, Array | None]]:
    """Write all models as headers into one program; return outputs and predictions of each for its rows."""
    source, calls = "", ""
    predicting = []
    for i, (model, x) in enumerate(zip(models, inputs, strict=True)):
        name = f"net{i}"
        model.save(folder / f"{name}.h")
        assert np.array_equal(x.dtype, model.dtype)
        x.tofile(folder / f"{name}.in")
        predicting.append(f"int {name}_predict(" in (folder / f"{name}.h").read_text())
        text = MAIN.replace("PREDICT", PREDICT if predicting[-1] else "").replace("ROWS", str(len(x)))
        real = "float" if model.dtype == np.float32 else "double"
        text = text.replace("NAME", name).replace("UPPER", name.upper()).replace("REAL", real)
        source += f'#include "{name}.h"\n{text}'
        calls += f'    if (run_{name}("{name}.in", "{name}.out")) return {i % 200 + 1};\n'
    program = compiled(folder, f"{source}\nint main(void)\n{{\n{calls}    return 0;\n}}\n", compiler, *flags)
    subprocess.run([str(program)], cwd=folder, check=True, timeout=120)
    results: list[tuple[Array, Array | None]] = []
    for i, (model, x) in enumerate(zip(models, inputs, strict=True)):
        content = (folder / f"net{i}.out").read_bytes()
        expected = model(x)
        y = np.frombuffer(content, model.dtype, expected.size).reshape(expected.shape)
        labels = np.frombuffer(content, np.intc, offset=y.nbytes) if predicting[i] else None
        results.append((y, labels))
    return results


def random_model(rng: np.random.Generator, dtype: Any) -> rl.Sequential:
    """A network of random layers and sizes; weights of the usual scale."""
    sizes = [int(rng.integers(1, 40)) for _ in range(int(rng.integers(2, 5)))]
    if rng.random() < 0.15:
        sizes[int(rng.integers(0, len(sizes) - 1))] = int(rng.integers(513, 1200))
    # A threshold jumps, so it stands where its input is exact.
    layers: list[Any] = [rl.Threshold(float(rng.normal()), float(rng.normal()))] if rng.random() < 0.2 else []

    def activation(features: int) -> None:
        choices = [
            lambda: rl.ReLU(),
            lambda: rl.ReLU(float(rng.choice([0.01, 0.3, -0.2, 1e-30]))),
            lambda: rl.PReLU(features),
            lambda: rl.PReLU(1),
            lambda: rl.ELU(float(rng.uniform(0, 2))),
            lambda: rl.Sigmoid(),
            lambda: rl.SiLU(),
            lambda: rl.GELU(),
            lambda: rl.GELU("tanh"),
            lambda: rl.SELU(),
            lambda: rl.Softplus(),
            lambda: rl.Clip(-0.4, 0.7),
            lambda: rl.Tanh(),
            lambda: rl.Softmax(),
            lambda: rl.Dropout(0.5),
        ]
        layers.extend(choices[int(rng.integers(len(choices)))]() for _ in range(int(rng.integers(0, 3))))

    activation(sizes[0])
    for a, b in itertools.pairwise(sizes):
        layers.append(rl.Dense(a, b, bias=bool(rng.random() < 0.8), bias_init="lecun_normal"))
        activation(b)
    return rl.Sequential(*layers, dtype=dtype, rng=rng)


def allowed(model: rl.Sequential, x: Array) -> float:
    """How far two ways of rounding may lie apart: eps for every sum or function, carried on by the layers after."""
    eps = float(np.finfo(model.dtype).eps)
    bound, y = 0.0, x
    for layer in model.layers:
        size = float(np.abs(y).max())
        if isinstance(layer, rl.Dense):
            gain = float(np.abs(layer.params["weight"]).sum(axis=0).max())
            bound = gain * (bound + eps * np.sqrt(layer.in_features) * size) + eps
        else:
            # No layer here is steeper than 2; a function of libm or ours is within 4 units of the last place.
            bound = 2 * bound + 4 * eps * max(size, 1.0)
        y = layer.forward(y)
    return bound


def check(folder: Path, rng: np.random.Generator, count: int, compiler: str, *flags: str) -> None:
    """Compare ``count`` random networks of each dtype with what they are in C."""
    for dtype, close in ((np.float32, 1e-6), (np.float64, 1e-14)):
        models = [random_model(rng, dtype) for _ in range(count)]
        inputs = [rng.standard_normal((7, inputs_of(model))).astype(dtype) for model in models]
        for model, x, (y, labels) in zip(
            models, inputs, outputs_in_c(folder, models, inputs, compiler, *flags), strict=True
        ):
            expected = model(x)
            error = float(np.abs(y - expected).max())
            # Without fused multiply-add the rounding of long sums differs a little more.
            longest = max(layer.in_features for layer in model.layers if isinstance(layer, rl.Dense))
            assert error <= close * max(1.0, longest / 512) * max(1.0, float(np.abs(expected).max())), model
            assert error <= allowed(model, x), model
            if labels is not None:
                sigmoid = expected.shape[1] == 1
                assert np.array_equal(labels, y[:, 0] > 0.5 if sigmoid else y.argmax(axis=1)), model


def inputs_of(model: rl.Sequential) -> int:
    return next(layer.in_features for layer in model.layers if getattr(layer, "in_features", None))


def with_values(model: rl.Sequential, **values: Array) -> rl.Sequential:
    for key, value in values.items():
        layer, name = key.split("_")
        model.params[f"{layer[1:]}.{name}"] = value.astype(model.dtype)
    return model


@pytest.mark.parametrize("compiler", COMPILERS)
def test_random_networks_give_what_the_model_gives(compiler: str, tmp_path: Path) -> None:
    check(tmp_path, np.random.default_rng(0), 12, compiler)


def test_a_batch_by_fours_needs_little_memory(tmp_path: Path) -> None:
    for width, by_four in ((2048, True), (5000, False)):
        rl.mlp([2, width, 3], rng=0).save(tmp_path / "net.h")
        assert ("net_forward_4(" in (tmp_path / "net.h").read_text()) is by_four


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_random_networks(seed: int, tmp_path: Path) -> None:
    check(tmp_path, np.random.default_rng(seed), 60, "gcc", *(["-O2"] if seed % 2 else []))


def processor_has_fma() -> bool:
    cpu = Path("/proc/cpuinfo")
    return rl.target() != "baseline" and cpu.exists() and " fma " in cpu.read_text()


@needs_gcc
@pytest.mark.skipif(not processor_has_fma(), reason="needs a processor with fused multiply-add")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_fused_multiply_add_the_bits_are_the_same(dtype: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    models = [
        rl.Sequential(
            rl.ReLU(0.2), rl.Dense(n, 37, bias_init="lecun_normal"), rl.PReLU(37), rl.Dense(37, 16), rl.ReLU(),
            rl.Dense(16, 5, bias=False), rl.Threshold(0.1, -1.0), dtype=dtype, rng=rng,
        )
        for n in (1, 19, 512, 513, 1537)
    ]  # fmt: skip
    inputs = [rng.standard_normal((50, inputs_of(model))).astype(dtype) for model in models]
    for model, x, (y, _) in zip(
        models, inputs, outputs_in_c(tmp_path, models, inputs, "gcc", "-O2", "-mfma"), strict=True
    ):
        assert y.tobytes() == model(x).tobytes(), model


WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 70)


@needs_gcc
@pytest.mark.parametrize(
    "flags",
    [
        ["-O3"],
        ["-O3", "-mavx"],
        pytest.param(
            ["-O3", "-mavx2", "-mfma"],
            marks=pytest.mark.skipif(
                not processor_has_fma(), reason="needs a processor with fused multiply-add"
            ),
        ),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_of_every_width_in_vectors(dtype: Any, flags: list[str], tmp_path: Path) -> None:
    """Full vectors, their overlapping last one, fewer columns than lanes, with and without bias; no warning."""
    if "-mavx" in flags and " avx " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("needs a processor with AVX")
    rng = np.random.default_rng(5)
    models = [
        rl.Sequential(
            rl.Dense((3, 515)[i % 2], width, bias=i % 3 > 0, bias_init="lecun_normal"), dtype=dtype, rng=rng
        )
        for i, width in enumerate(WIDTHS)
    ]
    inputs = [rng.standard_normal((50, inputs_of(model))).astype(dtype) for model in models]
    exact = "-mfma" in flags
    tolerance = {np.float32: 4e-6, np.float64: 1e-14}[dtype]
    for model, x, (y, _) in zip(
        models, inputs, outputs_in_c(tmp_path, models, inputs, "gcc", *flags), strict=True
    ):
        expected = model(x)
        if exact:
            assert y.tobytes() == expected.tobytes(), model
        assert np.abs(y - expected).max() <= tolerance * max(1.0, np.abs(expected).max()), model


@needs_gcc
@pytest.mark.parametrize("flags", [["-O2"], ["-O3", "-mavx512f"], ["-Os", "-mavx2", "-mfma"]], ids=" ".join)
def test_flags_that_this_processor_may_not_have_compile_without_a_warning(
    flags: list[str], tmp_path: Path
) -> None:
    if "x86_64" not in os.uname().machine:
        pytest.skip("x86-64 flags")
    for dtype in (np.float32, np.float64):
        rl.mlp([20, 70, 3], dtype=dtype).save(tmp_path / f"net{np.dtype(dtype).itemsize}.h")
    use = "int use(const float *a, float *b, const double *c, double *d)"
    body = "{ net4_forward(a, b); net8_forward(c, d); return 0; }"
    (tmp_path / "use.c").write_text(f'#include "net4.h"\n#include "net8.h"\n{use};\n{use}\n{body}\n')
    warned = [one for one in STRICT if one != "-pedantic"]
    for name in ("gcc", "g++"):
        language = [name, *LANGUAGES[name]]
        subprocess.run(
            [*language, *warned, *flags, "-Wno-unused-function", "-c", "use.c"], cwd=tmp_path, check=True
        )


@needs_gcc
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_activation_at_its_edges(dtype: Any, tmp_path: Path) -> None:
    """The cells of the ReLU table, and values at which exponentials overflow."""
    info = np.finfo(dtype)
    edges = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, info.max, info.min, info.tiny, -info.smallest_subnormal,
             100.0, -100.0, 800.0, -800.0, 20.0, -20.0]  # fmt: skip
    x = np.array(edges, dtype).reshape(-1, 1)
    exact = [rl.ReLU(), rl.ReLU(0.5), rl.ReLU(-0.5), rl.ReLU(1e-60), rl.PReLU(1), rl.Threshold(0.0, 0.25),
             rl.Threshold(-np.inf, np.inf), rl.Threshold(np.inf, -np.inf),
             rl.Clip(), rl.Clip(-np.inf, 0.5), rl.Clip(-0.5, np.inf)]  # fmt: skip
    rounded = [
        rl.ELU(),
        rl.ELU(0.0),
        rl.GELU(),
        rl.GELU("tanh"),
        rl.SELU(),
        rl.Softplus(),
        rl.Sigmoid(),
        rl.SiLU(),
        rl.Tanh(),
        rl.Softmax(),
    ]
    models = [
        rl.Sequential(layer, rl.Dense(1, 1, bias=False, weight_init=1.0), dtype=dtype)
        for layer in exact + rounded
    ]
    results = outputs_in_c(tmp_path, models, [x] * len(models))
    for model, (y, _) in zip(models, results, strict=True):
        expected = model(x)
        assert np.array_equal(np.isnan(y), np.isnan(expected)), model
        if type(model.layers[0]) in {rl.ReLU, rl.PReLU, rl.Threshold}:
            assert np.array_equal(y, expected, equal_nan=True), model
        finite = np.isfinite(expected)
        assert np.array_equal(y[~finite & ~np.isnan(y)], expected[~finite & ~np.isnan(y)]), model
        np.testing.assert_allclose(
            y[finite], expected[finite], rtol=8 * info.eps, atol=info.smallest_subnormal
        )


@needs_gcc
def test_softmax_rows_that_have_none_are_nan(tmp_path: Path) -> None:
    x = np.array(
        [
            [1e38, -1e38, 3e38],
            [np.inf, 0, 0],
            [0, np.nan, 0],
            [-np.inf] * 3,
            [-np.inf, 0, 0],
            [-200, -201, -202],
        ],
        np.float32,
    )
    model = rl.Sequential(rl.Softmax(), rl.Dense(3, 3, bias=False), rl.Softmax())
    with_values(model, l1_weight=np.eye(3))
    [(y, labels)] = outputs_in_c(tmp_path, [model], [x])
    np.testing.assert_allclose(y, model(x), rtol=1e-6)
    assert np.isnan(y).any(axis=1).tolist() == [False, True, True, True, False, False]
    assert labels is not None
    assert labels.tolist() == model.predict(x).tolist()


@needs_gcc
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_finite_weight_keeps_its_bits(dtype: Any, tmp_path: Path) -> None:
    """Random bit patterns: subnormal, huge, negative zero; compiled back to the same bytes."""
    rng = np.random.default_rng(5)
    unsigned = np.uint32 if dtype == np.float32 else np.uint64
    bits = rng.integers(0, np.iinfo(unsigned).max, 4000, unsigned, endpoint=True)
    bits[:200] &= unsigned(np.finfo(dtype).smallest_normal.view(unsigned) - unsigned(1))  # subnormal
    values = bits.view(dtype)
    info = np.finfo(dtype)
    values[-6:] = [0.0, -0.0, info.max, info.min, info.smallest_subnormal, -info.smallest_subnormal]
    values[~np.isfinite(values)] = 1
    model = with_values(rl.Sequential(rl.Dense(40, 100), dtype=dtype), l0_weight=values.reshape(40, 100))
    model.save(tmp_path / "net.h")
    program = compiled(
        tmp_path,
        '#include "net.h"\n#include <stdio.h>\n'
        "int main(void)\n{\n    return fwrite(net_weight0, sizeof net_weight0, 1, stdout) != 1;\n}\n",
    )
    assert subprocess.run([str(program)], capture_output=True, check=True).stdout == values.tobytes()


@needs_gcc
@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_the_code_needs_nothing_but_mathematics(tmp_path: Path) -> None:
    layers = [
        rl.Dense(4, 9),
        rl.ELU(),
        rl.Dense(9, 9),
        rl.Sigmoid(),
        rl.SiLU(),
        rl.GELU(),
        rl.GELU("tanh"),
        rl.SELU(),
        rl.Softplus(),
        rl.Clip(-0.5, 0.5),
        rl.Tanh(),
        rl.Dense(9, 3),
        rl.Softmax(),
    ]
    rl.Sequential(*layers).save(tmp_path / "net.h")
    (tmp_path / "use.c").write_text(
        '#include "net.h"\nint use(const float *x);\nint use(const float *x) { return net_predict(x); }\n'
    )
    subprocess.run(["gcc", "-std=c99", *STRICT, "-O1", "-c", "use.c"], cwd=tmp_path, check=True)
    listing = subprocess.run(["nm", "-u", "use.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
    wanted = {line.split()[-1] for line in listing.stdout.splitlines()}
    assert {"expf", "expm1f", "erfcf", "tanhf"} <= wanted
    assert wanted <= {
        "expf",
        "expm1f",
        "erfcf",
        "fmaf",
        "log1pf",
        "tanhf",
        "_GLOBAL_OFFSET_TABLE_",
        "__stack_chk_fail",
    }
    data = subprocess.run(["nm", "use.o"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert not re.findall(r" [bBdDC] ", data), "no variables that could be shared between threads"


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_several_sources_of_a_program_may_include_it(tmp_path: Path) -> None:
    rl.Sequential(rl.Dense(2, 2), rng=0).save(tmp_path / "net.h")
    for name in ("a.cpp", "b.cpp"):
        text = f"int in_{name[0]}() {{ float x[2] = {{1, 2}}; return net_predict(x); }}\n"
        text = '#include "net.h"\n#include "net.h"\n' + text
        (tmp_path / name).write_text(text)
    (tmp_path / "c.cpp").write_text("int in_a(); int in_b(); int main() { return in_a() != in_b(); }\n")
    subprocess.run(["g++", *STRICT, "a.cpp", "b.cpp", "c.cpp", "-o", "c"], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "c")], check=True)


HOSTILE = [
    "*/ int x = (",
    '"',
    "\\",
    "line\nbreak\r\t",
    "??/ ??= ??'",
    "é ß 日本 🙂",
    "%s%n",
    "\x7f\x01",
    "//",
    "#include",
    "a" * 300,
    "12",
    " ",
]

TABLE_MAIN = """
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **words)
{
    double row[NET_COLUMNS];
    REAL x[NET_INPUTS], y[NET_OUTPUTS];
    int i, wrong;
    if (count == 1) {
        for (i = -1; i <= NET_COLUMNS; ++i) fwrite(net_column_name(i), 1, 1000, stdout);
        return 0;
    }
    for (i = 0; i < NET_COLUMNS; ++i)
        row[i] = words[i + 1][0] == '=' ? net_category(i, words[i + 1] + 1) : atof(words[i + 1]);
    wrong = net_features(row, x);
    printf("%d", wrong);
    for (i = 0; i < NET_INPUTS && !wrong; ++i) printf(" %.17g", (double)x[i]);
    net_forward(x, y);
    RESULT
    return 0;
}
"""


def table_program(folder: Path, model: rl.Sequential, result: str) -> Path:
    model.save(folder / "net.h")
    real = "float" if model.dtype == np.float32 else "double"
    source = (
        TABLE_MAIN.replace("REAL", real)
        .replace("RESULT", result)
        .replace("1000", "strlen(net_column_name(i)) + 1")
    )
    return compiled(folder, "#include <string.h>\n" + source)


def row_in_c(program: Path, *words: str) -> list[str]:
    command = [str(program), *words]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode().split(" ", 40)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_any_text_stays_inside_its_string(value: str) -> None:
    """A literal is printable ASCII without quotes, backslashes but for octal codes, or trigraphs."""
    literal = text("class", value)
    assert literal.isascii()
    assert literal.isprintable()
    assert re.fullmatch(r'"(?:[^"\\?]|\\[0-7]{3})*"', literal)
    octal = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), literal[1:-1])
    assert octal.encode("latin-1").decode() == value


@needs_gcc
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_of_a_table_becomes_the_same_inputs(dtype: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    table = {
        "size": rng.normal(3, 1e3, 26),
        "kind": np.array(HOSTILE * 2),
        "count": rng.integers(0, 1000, 26),
        "*/ ??/\n": np.array(["yes", "no"] * 13),
    }
    preprocessing = Preprocessing(missing="mean").fit(table).fit_target(HOSTILE * 2)
    model = rl.Sequential(rl.Dense(preprocessing.n_features, len(HOSTILE)), dtype=dtype, rng=0)
    model.preprocessing = preprocessing
    program = table_program(tmp_path, model, 'printf(" %s", net_class_name(net_predict(x)));')

    names = subprocess.run([str(program)], capture_output=True, check=True).stdout.decode().split("\0")
    assert names == ["", *table, "", ""]
    x = preprocessing.transform(table, dtype=dtype)
    expected = preprocessing.decode_target(model.predict(x))
    for i in range(26):
        words = [
            repr(float(table["size"][i])),
            f"={table['kind'][i]}",
            str(table["count"][i]),
            f"={table['*/ ??/' + chr(10)][i]}",
        ]
        wrong, *found = row_in_c(program, *words)
        assert wrong == "0"
        features = np.array(found[: x.shape[1]], np.float64)
        assert np.array_equal(features, x[i].astype(np.float64))
        assert " ".join(found[x.shape[1] :]) == expected[i]
    # What is missing is filled as in training; what was not there in training is refused by column.
    gaps = {"size": [np.nan], "kind": [None], "count": [np.nan], "*/ ??/\n": [""]}
    wrong, *found = row_in_c(program, "nan", "=", "nan", "nan")
    assert wrong == "0"
    assert np.array_equal(
        np.array(found[: x.shape[1]], np.float64), preprocessing.transform(gaps, dtype=dtype)[0].astype(float)
    )
    for column, word in (
        (1, "inf"),
        (1, "-inf"),
        (2, "=new"),
        (2, "13"),
        (2, "-1"),
        (2, "0.5"),
        (2, "inf"),
        (4, "2"),
    ):
        words = ["1", "=12", "3", "=no"]
        words[column - 1] = word
        assert row_in_c(program, *words)[0] == str(column), word


@needs_gcc
def test_missing_values_are_refused_where_training_refused_them(tmp_path: Path) -> None:
    preprocessing = (
        Preprocessing().fit({"a": [1.0, 2.0, 4.0], "b": ["x", "y", "y"]}).fit_target([1.5, 2.5, 9.25])
    )
    model = rl.Sequential(rl.Dense(3, 1), dtype=np.float64, rng=1)
    model.preprocessing = preprocessing
    program = table_program(tmp_path, model, 'printf(" %.17g", net_value(y[0]));')
    assert row_in_c(program, "nan", "=x")[0] == "1"
    assert row_in_c(program, "1", "=")[0] == "2"
    assert row_in_c(program, "1", "nan")[0] == "2"
    x = preprocessing.transform({"a": [4.0], "b": ["y"]}, dtype=np.float64)
    [value] = preprocessing.decode_target(model(x))[0]
    assert float(row_in_c(program, "4", "=y")[-1]) == pytest.approx(value, rel=1e-14)
    assert float(row_in_c(program, "1e308", "=y")[0]) == 0


def text_of(path: Path, model: rl.Sequential, **options: Any) -> str:
    model.save(path, **options)
    return path.read_text(encoding="ascii")


def small(*layers: Any) -> rl.Sequential:
    return rl.Sequential(*layers or [rl.Dense(3, 2)], rng=0)


class Own:
    """A layer of the plain protocol."""

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array, training: bool = False) -> Array:
        return x

    def backward(self, dy: Array) -> Array:
        return dy


class OwnReLU(rl.ReLU):
    """May do anything."""


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            small(rl.Dense(2, 2), Own()),
            r"layer 1, Own, cannot be written to a C header, expected one of Clip, Dense, Dropout",
        ),
        (small(rl.Dense(2, 2), OwnReLU()), r"layer 1, OwnReLU, .*did you mean 'ReLU'\?"),
        (small(rl.Dense(2, 2), rl.Softmax(0)), r"layer 1, Softmax\(0\), .*expected axis=-1"),
        (small(rl.ReLU(), rl.Dropout(0.1)), r"no layer knows the number of inputs"),
    ],
)
def test_what_cannot_be_written_names_itself(model: rl.Sequential, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        model.save(tmp_path / "net.h")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(bad: float, tmp_path: Path) -> None:
    model = small(rl.Dense(3, 2), rl.PReLU(2))
    (tmp_path / "net.h").write_text("before")
    model.params["0.weight"][2, 1] = bad
    with pytest.raises(ValueError, match=rf"0\.weight\[2, 1\] is {bad}"):
        model.save(tmp_path / "net.h")
    assert (tmp_path / "net.h").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("file", "proposed"),
    [
        ("my net.h", "my_net"),
        ("3d.h", "net_3d"),
        ("_a.h", "a"),
        ("é.h", "net"),
        ("a-b.c.h", "a_b_c"),
        ("x" * 41 + ".h", "x" * 40),
    ],
)
def test_a_name_that_is_none_in_c(file: str, proposed: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"pass name='{proposed}'$"):
        small().save(tmp_path / file)
    assert f"void {proposed}_forward(" in text_of(tmp_path / file, small(), name=proposed)


def test_names_given_are_checked_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name 'a\*/b' cannot start the names"):
        small().save(tmp_path / "net.h", name="a*/b")
    with pytest.raises(TypeError, match="name is a int, expected a string"):
        small().save(tmp_path / "net.h", name=3)
    with pytest.raises(TypeError, match=r"no option 'nmae', expected name \(did you mean 'name'\?\)"):
        small().save(tmp_path / "net.h", nmae="x")


def test_the_header_tells_sizes_and_layers(tmp_path: Path) -> None:
    init: Any = lambda shape, fan_in, fan_out, rng, dtype: np.zeros(shape, dtype)  # noqa: E731
    model = small(
        rl.Dense(3, 50, weight_init=init),
        rl.ReLU(),
        rl.Dense(50, 40, bias=False),
        rl.Dropout(0.5),
        rl.Dense(40, 2),
    )
    text = text_of(tmp_path / "net.h", model)
    assert "#define NET_INPUTS 3\n#define NET_OUTPUTS 2\n#define NET_WORK 90 /* numbers: 360 bytes */" in text
    assert f"{model.flat_params.size:,} parameters, {model.flat_params.nbytes:,} bytes" in text
    assert "     2: Dense(50, 40, bias=False)\n     3: Dropout(0.5)\n" in text
    assert "lambda" not in text


def test_there_is_no_predict_where_it_would_mislead(tmp_path: Path) -> None:
    for layers in ([rl.Dense(3, 1)], [rl.Dense(3, 2), rl.Sigmoid()]):
        assert "_predict" not in text_of(tmp_path / "net.h", small(*layers))
    for layers in (
        [rl.Dense(3, 1), rl.Sigmoid()],
        [rl.Dense(3, 2)],
        [rl.Dense(3, 2), rl.Softmax(), rl.Dropout(0.1)],
    ):
        assert "int net_predict(" in text_of(tmp_path / "net.h", small(*layers))


@pytest.mark.parametrize(
    ("features", "outputs", "target", "message"),
    [
        (3, 2, ["a", "b"] * 2, "takes 3 features but its preprocessing gives 2"),
        (2, 2, ["a", "b", "c", "c"], "has 2 outputs but its target has 3 classes"),
        (2, 2, [1.0, 2.5, 3.0, 7.0], "has 2 outputs but its target is one number"),
        (2, 2, ["a", "b\0"] * 2, "has a character 0"),
        (2, 2, ["a", "b" * 4001] * 2, "has 4,001 bytes"),
        (2, 2, ["a", "b\ud800"] * 2, "not valid Unicode"),
    ],
)
def test_a_preprocessing_that_does_not_fit(
    features: int, outputs: int, target: list[Any], message: str, tmp_path: Path
) -> None:
    model = small(rl.Dense(features, outputs))
    fitted = Preprocessing().fit({"a": [1.0, 2.0, 3.0, 4.0], "b": [1, 2, 3, 5]})
    # As it could come from a file: NumPy's own text would not keep some of these.
    document = fitted.fit_target(target if isinstance(target[0], float) else ["a", "c"] * 2).to_dict()
    if isinstance(target[0], str):
        document["target"]["classes"] = sorted(set(target))
    model.preprocessing = Preprocessing.from_dict(document)
    with pytest.raises(ValueError, match=message):
        model.save(tmp_path / "net.h")
    model.preprocessing = "own"
    with pytest.raises(ValueError, match=r"model\.preprocessing is a str"):
        model.save(tmp_path / "net.h")


def test_a_header_cannot_be_loaded(tmp_path: Path) -> None:
    small().save(tmp_path / "net.h")
    with pytest.raises(ValueError, match="cannot be read"):
        rl.load(tmp_path / "net.h")
