"""`relu-layers train` with its defaults beside models of scikit-learn with theirs, on fifteen tables of PyPI packages.

``python benchmarks/tables.py`` prints a Markdown table: accuracy or R2 of the rows held out (a quarter, of classes in
their proportions), means over three seeds. It needs scikit-learn, pandas, statsmodels, palmerpenguins and
vega_datasets. The tables are for measuring: defaults are chosen on others.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib
import importlib.metadata
import os
import platform
import tempfile
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from click.testing import CliRunner
from sklearn import datasets
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from relu_layers.cli import program

PACKAGES = ("relu_layers", "scikit-learn", "numpy", "statsmodels", "palmerpenguins", "vega_datasets")
MODELS: dict[str, tuple[Callable[[int], Any], Callable[[int], Any]]] = {
    "MLP": (lambda seed: MLPClassifier(random_state=seed), lambda seed: MLPRegressor(random_state=seed)),
    "linear": (lambda seed: LogisticRegression(max_iter=1000), lambda seed: Ridge()),
    "HistGradientBoosting": (
        lambda seed: HistGradientBoostingClassifier(random_state=seed),
        lambda seed: HistGradientBoostingRegressor(random_state=seed),
    ),
    "majority or mean": (lambda seed: DummyClassifier(), lambda seed: DummyRegressor()),
}
OURS = "relu-layers train"


class Entry(NamedTuple):
    """A table: what loads it, its target, and whether that is a class."""

    load: Callable[[], pd.DataFrame]
    target: str
    classes: bool


def of_sklearn(name: str) -> Callable[[], pd.DataFrame]:
    """Return the loader of a data set of scikit-learn."""
    return lambda: getattr(datasets, f"load_{name}")(as_frame=True).frame


def of_statsmodels(name: str) -> pd.DataFrame:
    """Return a data set of statsmodels."""
    module = importlib.import_module(f"statsmodels.datasets.{name}")
    frame: pd.DataFrame = module.load_pandas().data
    return frame


def penguins() -> pd.DataFrame:
    """Return the penguins of Palmer station."""
    from palmerpenguins import load_penguins

    return load_penguins()


def fair() -> pd.DataFrame:
    """Return Fair's survey, with the question whether there was any affair."""
    frame = of_statsmodels("fair")
    frame["affair"] = np.where(frame["affairs"] > 0, "yes", "no")
    return frame.drop(columns="affairs")


def weather() -> pd.DataFrame:
    """Return the weather of Seattle by day, without the date."""
    from vega_datasets import data

    return data.seattle_weather().drop(columns="date")


def cars() -> pd.DataFrame:
    """Return the cars of which all is known, the year as a number."""
    from vega_datasets import data

    frame = data.cars().drop(columns="Name").dropna()
    return frame.assign(Year=pd.to_datetime(frame["Year"]).dt.year)


def barley() -> pd.DataFrame:
    """Return the yields of barley."""
    from vega_datasets import data

    return data.barley()


TABLES = {
    "penguins": Entry(penguins, "species", True),
    "wine": Entry(of_sklearn("wine"), "target", True),
    "breast_cancer": Entry(of_sklearn("breast_cancer"), "target", True),
    "digits": Entry(of_sklearn("digits"), "target", True),
    "fair": Entry(fair, "affair", True),
    "anes96": Entry(lambda: of_statsmodels("anes96"), "vote", True),
    "modechoice": Entry(lambda: of_statsmodels("modechoice"), "mode", True),
    "spector": Entry(lambda: of_statsmodels("spector"), "GRADE", True),
    "weather": Entry(weather, "weather", True),
    "diabetes": Entry(of_sklearn("diabetes"), "target", False),
    "linnerud": Entry(lambda: of_sklearn("linnerud")().drop(columns=["Waist", "Pulse"]), "Weight", False),
    "cars": Entry(cars, "Miles_per_Gallon", False),
    "randhie": Entry(lambda: of_statsmodels("randhie").sample(5000, random_state=0), "mdvis", False),
    "barley": Entry(barley, "yield", False),
    "ccard": Entry(lambda: of_statsmodels("ccard"), "AVGEXP", False),
}


def prepared() -> Any:
    """Return the preprocessing of a table for scikit-learn: numbers scaled, text one-hot, gaps filled."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (texts, make_column_selector(dtype_exclude="number")),
    )


def by_command(train: pd.DataFrame, test: pd.DataFrame, entry: Entry, seed: int) -> tuple[Any, str]:
    """Return the predictions of `relu-layers train` and `predict`, and what was trained."""
    task = "classification" if entry.classes else "regression"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        train.to_csv("a.csv", index=False)
        test.drop(columns=entry.target).to_csv("b.csv", index=False)
        done("train", "a.csv", "--target", entry.target, "--test", "0", "--seed", seed, "--missing", "mean",
             "--task", task, "--output", "m")  # fmt: skip
        done("predict", "m/model.npz", "b.csv", "--output", "p.csv")
        with open("p.csv", newline="") as file:
            found = [row["prediction"] for row in csv.DictReader(file)]
        trained = (
            "linear" if len(done("inspect", "m/model.npz", "--json").split('"layer"')) == 2 else "network"
        )
        os.chdir("/")
    return (found if entry.classes else [float(value) for value in found]), trained


def done(*arguments: object) -> str:
    """Run the program and return what it printed."""
    result = CliRunner().invoke(program, [str(one) for one in arguments], catch_exceptions=False)
    if result.exit_code:
        raise RuntimeError(result.output)
    return result.stdout


def scores(entry: Entry, seed: int) -> tuple[dict[str, float], str]:
    """Return the score of each model on the rows held out, and what ours trained."""
    frame = entry.load().reset_index(drop=True)
    y = frame[entry.target]
    y = y.astype(str) if entry.classes else y
    train, test = train_test_split(
        frame, test_size=0.25, random_state=seed, stratify=y if entry.classes else None
    )
    measure: Callable[[Any, Any], float] = accuracy_score if entry.classes else r2_score
    predicted, trained = by_command(train, test, entry, seed)
    truth = [_label(value) for value in test[entry.target]] if entry.classes else y[test.index]
    predicted = [_label(value) for value in predicted] if entry.classes else predicted
    found = {OURS: measure(truth, predicted)}
    for name, kinds in MODELS.items():
        model = make_pipeline(prepared(), kinds[0 if entry.classes else 1](seed))
        model.fit(train.drop(columns=entry.target), y[train.index])
        found[name] = measure(y[test.index], model.predict(test.drop(columns=entry.target)))
    return found, trained


def _label(value: Any) -> str:
    """Return a class as text, the same for 1 and 1.0."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return str(value)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("tables", nargs="*", help=f"Of {', '.join(TABLES)}.")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    names = [OURS, *MODELS]
    print(f"| table (rows) | target | trained | {' | '.join(names)} |")
    print("|---|---|---|" + "---|" * len(names), flush=True)
    rows = []
    for name in options.tables or TABLES:
        entry = TABLES[name]
        runs = [scores(entry, seed) for seed in range(options.seeds)]
        means = {one: float(np.mean([run[0][one] for run in runs])) for one in names}
        rows.append(means)
        kinds = [run[1] for run in runs]
        trained = kinds[0] if len(set(kinds)) == 1 else f"{kinds.count('linear')} of {len(kinds)} linear"
        shown = " | ".join(f"{means[one]:.3f}" for one in names)
        print(f"| {name} ({len(entry.load()):,}) | {entry.target} | {trained} | {shown} |", flush=True)
    shown = " | ".join(f"{np.mean([row[one] for row in rows]):.3f}" for one in names)
    print(f"| **mean** | | | {shown} |")
    best = np.mean([max(row["MLP"], row["linear"]) for row in rows])
    print(f"\nMean of the better of MLP and linear on each table: {best:.3f}")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    print(f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, {versions}")


if __name__ == "__main__":
    main()
