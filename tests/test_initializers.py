"""Initial values: scale, fans, dtype, names."""

from __future__ import annotations

import numpy as np
import pytest

from relu_layers import initializers

FAN_IN, FAN_OUT = 300, 100
# Standard deviations written out from the papers.
DEVIATION = {
    "he_normal": np.sqrt(2 / 300),
    "he_uniform": np.sqrt(2 / 300),
    "glorot_normal": np.sqrt(2 / 400),
    "glorot_uniform": np.sqrt(2 / 400),
    "lecun_normal": np.sqrt(1 / 300),
    "lecun_uniform": np.sqrt(1 / 300),
}


def draw(name, dtype=np.float64, seed=0):
    return initializers.get(name)((FAN_IN, FAN_OUT), FAN_IN, FAN_OUT, np.random.default_rng(seed), dtype)


@pytest.mark.parametrize("name", DEVIATION)
def test_mean_and_deviation(name):
    values = draw(name)
    n = values.size
    assert abs(values.mean()) < 5 * DEVIATION[name] / np.sqrt(n)
    # the standard error of a deviation is at most sigma / sqrt(2 n), for the normal distribution
    assert abs(values.std() - DEVIATION[name]) < 5 * DEVIATION[name] / np.sqrt(2 * n)
    if name.endswith("uniform"):
        limit = np.sqrt(3) * DEVIATION[name]
        assert 0.99 * limit < np.abs(values).max() <= limit
    else:
        assert np.abs(values).max() > 3 * DEVIATION[name]


@pytest.mark.parametrize("name", initializers.BUILT_IN)
def test_float32_is_the_rounded_float64_draw(name):
    single, double = draw(name, np.float32), draw(name, np.float64)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, double.astype(np.float32))


def test_constants():
    assert (draw("zeros") == 0).all()
    assert (draw(0.25, np.float32) == np.float32(0.25)).all()
    assert initializers.get(1) == initializers.Constant(1.0)


def test_callables_pass_as_they_are():
    def own(shape, fan_in, fan_out, rng, dtype):
        return np.ones(shape, dtype)

    assert initializers.get(own) is own
    assert initializers.describe(own) == "zeros"


@pytest.mark.parametrize("spec", [*initializers.BUILT_IN, 0.5, -3.0])
def test_descriptions_rebuild(spec):
    initializer = initializers.get(spec)
    assert initializers.describe(initializer) == spec
    assert initializers.get(initializers.describe(initializer)) == initializer


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("glorot", ValueError, "expected one of he_normal"),
        ("he_norml", ValueError, "did you mean 'he_normal'"),
        (None, TypeError, "expected a number"),
        (float("nan"), ValueError, "nan"),
    ],
)
def test_bad_specifications(spec, error, words):
    with pytest.raises(error, match=words):
        initializers.get(spec)
