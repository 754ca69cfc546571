"""The recorded runs of Caffe's solvers, reproduced over 50 iterations.

Caffe keeps every setting as float32, also in a double net, so the settings here are rounded to float32 first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relu_layers import ops as default_ops
from relu_layers import schedules
from relu_layers.layers import Dense, ReLU
from relu_layers.losses import SoftmaxCrossEntropy
from relu_layers.model import Sequential
from relu_layers.optimizers import SGD, AdaDelta, AdaGrad, Adam, Optimizer, RMSProp
from relu_layers.trainer import Trainer

RECORDED = Path(__file__).parent / "data" / "caffe" / "solver_trajectories.npz"
# Caffe's name of a parameter, the key of ours; Caffe's weights are (out, in).
NAMES = {"W1": "0.weight", "b1": "0.bias", "W2": "2.weight", "b2": "2.bias"}


def f(value: float) -> float:
    return float(np.float32(value))


RUNS: dict[str, Callable[[], Optimizer]] = {
    "sgd": lambda: SGD(f(0.1)),
    "sgd_slope0.01": lambda: SGD(f(0.1)),
    "sgd_slope-0.2_outplace": lambda: SGD(f(0.1)),
    "sgd_mom0.9_wd5e-4": lambda: SGD(f(0.05), f(0.9), weight_decay=f(5e-4)),
    "sgd_mom0.9_wdL1_1e-3": lambda: SGD(f(0.05), f(0.9), weight_decay=f(1e-3), regularization="l1"),
    "sgd_mom0.9_clip0.2": lambda: SGD(f(0.05), f(0.9)),
    "nesterov_mom0.9_wd5e-4": lambda: SGD(f(0.05), f(0.9), nesterov=True, weight_decay=f(5e-4)),
    "adagrad_lr0.05": lambda: AdaGrad(f(0.05), f(1e-8)),
    "rmsprop_lr0.01_decay0.98": lambda: RMSProp(f(0.01), f(0.98), f(1e-8)),
    "adadelta_lr1_mom0.95_delta1e-6": lambda: AdaDelta(1.0, f(0.95), f(1e-6)),
    "adam_lr0.01": lambda: Adam(f(0.01), f(0.9), f(0.999), f(1e-8), epsilon_hat=True),
    "sgd_mom0.9_step_g0.5_s20": lambda: SGD(schedules.Step(f(0.05), 0.5, 20), f(0.9)),
    "sgd_mom0.9_exp_g0.97": lambda: SGD(schedules.Exponential(f(0.05), f(0.97)), f(0.9)),
    "sgd_mom0.9_multistep_g0.5_10_30_40": lambda: SGD(
        schedules.MultiStep(f(0.05), 0.5, [10, 30, 40]), f(0.9)
    ),
}
SLOPES = {"sgd_slope0.01": f(0.01), "sgd_slope-0.2_outplace": f(-0.2)}
CLIPS = {"sgd_mom0.9_clip0.2": f(0.2)}


@pytest.fixture(params=["native", "reference"])
def ops(request: pytest.FixtureRequest) -> Any:
    return default_ops if request.param == "native" else default_ops.reference


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    with np.load(RECORDED) as archive:
        return {name.removeprefix("traj__"): archive[name] for name in archive.files}


def test_every_recorded_run_is_tried(recorded: dict[str, Any]) -> None:
    assert {name.split("__")[0] for name in recorded if name.endswith("__loss")} == RUNS.keys()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("run", RUNS)
def test_run_is_reproduced(recorded: dict[str, Any], run: str, dtype: Any, ops: Any) -> None:
    """Losses, rates, weights after 1, 2, 3, 10 and 50 updates, and the solver's own state."""
    layers = Dense(6, 8), ReLU(SLOPES.get(run, 0.0)), Dense(8, 4)
    model = Sequential(*layers, dtype=dtype, ops=ops)
    for caffe, key in NAMES.items():
        model.params[key] = recorded[f"{caffe}_init"].T.astype(dtype)
    optimizer = RUNS[run]()
    trainer = Trainer(model, SoftmaxCrossEntropy(), optimizer, clip_norm=CLIPS.get(run))
    prefix = f"{run}__{'f64' if dtype is np.float64 else 'f32'}"
    # float64: the weights' own 1e-10. float32: 50 steps, each a handful of roundings of numbers of order 1.
    close = {"rtol": 0.0, "atol": 1e-10 if dtype is np.float64 else 50 * 8 * np.finfo(np.float32).eps}

    x, labels = recorded["X"].astype(dtype), recorded["labels"]
    losses, rates = [], []
    for i in range(50):
        losses.append(trainer.step(x[i], labels[i]))
        rates.append(optimizer.last_learning_rate)
        when = "final" if i == 49 else f"iter{i + 1:02d}"
        for caffe, key in NAMES.items():
            if f"{prefix}__{when}__{caffe}" in recorded:
                expected = recorded[f"{prefix}__{when}__{caffe}"].T
                np.testing.assert_allclose(model.params[key], expected, **close, err_msg=f"{when} {key}")
    np.testing.assert_allclose(losses, recorded[f"{prefix}__loss"], **close)
    rounding = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(rates, recorded[f"{prefix}__lr"], rtol=rounding)
    for place, slot in enumerate(optimizer.slots.values()):
        expected = [recorded[f"{prefix}__final__history{4 * place + i}"].T.ravel() for i in range(4)]
        np.testing.assert_allclose(slot, np.concatenate(expected), **close, err_msg=f"slot {place}")
