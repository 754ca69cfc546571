"""What help() shows: every example in a docstring runs as it stands, in an empty namespace, and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterator

import pytest

import relu_layers as rl

# The names that people use most have an example of their own.
NAMES = [
    "mlp", "Sequential", "Sequential.predict", "Sequential.save", "load", "Dense", "ReLU", "SoftmaxCrossEntropy",
    "SigmoidCrossEntropy", "SquaredError", "SGD", "Adam", "AdamW", "EarlyStopping", "Trainer", "Trainer.step",
    "Trainer.fit", "Trainer.evaluate", "explain", "gradcheck", "sanity_check", "ops.relu_forward",
    "ops.relu_backward", "ops.dense_forward", "ops.softmax_cross_entropy",
]  # fmt: skip
OF_SKLEARN = ["sklearn.MLPClassifier", "sklearn.MLPRegressor"]
MODULES = [
    "",
    "data",
    "callbacks",
    "initializers",
    "layers",
    "losses",
    "optimizers",
    "ops",
    "schedules",
    "sources",
]


def found(name: str) -> object:
    """Return what a dotted name of the package stands for."""
    here: object = rl
    for part in name.split("."):
        here = getattr(here, part)
    return here


def others() -> Iterator[str]:
    """Yield the other public names, with the methods of classes, whose docstrings have an example."""
    for module in MODULES:
        place = importlib.import_module(f"relu_layers.{module}".rstrip("."))
        for name in getattr(place, "__all__", dir(place)):
            each = getattr(place, name)
            if not getattr(each, "__module__", "").startswith("relu_layers"):
                continue
            members = {name: each}
            if inspect.isclass(each):
                members |= {
                    f"{name}.{method}": found for method, found in vars(each).items() if callable(found)
                }
            for full, member in members.items():
                if ">>>" in (getattr(member, "__doc__", None) or "") and not full.startswith("_"):
                    dotted = f"{module}.{full}".lstrip(".")
                    if dotted not in NAMES and full not in NAMES:
                        yield dotted


def failures(name: str) -> str:
    """Run the example of a name; return what is wrong with it, or nothing."""
    text = inspect.getdoc(found(name)) or ""
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert example.examples, f"{name} has no example"
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    return "".join(report)


@pytest.mark.parametrize("name", NAMES)
def test_the_most_used_names_have_an_example_that_runs(name: str) -> None:
    assert failures(name) == ""


@pytest.mark.parametrize("name", OF_SKLEARN)
def test_the_estimators_have_an_example_that_runs(name: str) -> None:
    pytest.importorskip("sklearn")
    assert failures(name) == ""


@pytest.mark.parametrize("name", sorted(set(others())))
def test_every_other_example_runs(name: str) -> None:
    assert failures(name) == ""
