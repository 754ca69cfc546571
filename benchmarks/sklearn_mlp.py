"""`relu_layers.sklearn` beside scikit-learn's multi-layer perceptrons: scores, time of ``fit``, grid searches.

``python benchmarks/sklearn_mlp.py`` prints Markdown tables. Both estimators get the same settings and seeds and
take turns in one process, the order changing every time, so that other load on the machine meets both.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import joblib
import numpy as np
import sklearn
import sklearn.neural_network as theirs
from joblib.externals.loky import get_reusable_executor
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import relu_layers as rl
import relu_layers.sklearn as ours

Data = tuple[Any, Any]


class Task(NamedTuple):
    """A data set, the name of the estimator for it, and settings other than the defaults."""

    name: str
    data: Callable[[], Data]
    estimator: str
    settings: dict[str, Any]


def digits() -> Data:
    """Return scikit-learn's digits in [0, 1]."""
    x, y = datasets.load_digits(return_X_y=True)
    return x / 16, y


def standardized(load: Callable[..., Data]) -> Callable[[], Data]:
    """Return a loader whose columns have mean 0 and variance 1."""

    def data() -> Data:
        x, y = load(return_X_y=True)
        return StandardScaler().fit_transform(x), y

    return data


def diabetes() -> Data:
    """Return scikit-learn's diabetes, columns and target with mean 0 and variance 1."""
    x, y = standardized(datasets.load_diabetes)()
    return x, (y - y.mean()) / y.std()


def classes_20k() -> Data:
    """Return 20,000 rows of 8 features in 4 classes."""
    x, y = datasets.make_classification(
        20_000, 8, n_informative=6, n_redundant=2, n_classes=4, class_sep=1.5, random_state=0
    )
    return x, y


def numbers_20k() -> Data:
    """Return 20,000 rows of 8 features and a target that is not linear in them (Friedman 1991)."""
    x, y = datasets.make_friedman1(20_000, n_features=8, noise=1.0, random_state=0)
    return x, (y - y.mean()) / y.std()


TASKS = (
    Task("digits, 1,797 x 64", digits, "MLPClassifier", {}),
    Task("wine, 178 x 13", standardized(datasets.load_wine), "MLPClassifier", {}),
    Task("breast_cancer, 569 x 30", standardized(datasets.load_breast_cancer), "MLPClassifier", {}),
    Task("diabetes, 442 x 10", diabetes, "MLPRegressor", {"alpha": 1.0, "early_stopping": True}),
    Task("synthetic classes, 20,000 x 8", classes_20k, "MLPClassifier", {}),
    Task("synthetic numbers, 20,000 x 8", numbers_20k, "MLPRegressor", {}),
)


def timed(function: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def pair(task: Task, seed: int, train: Data, ours_first: bool) -> tuple[list[Any], list[float]]:
    """Return both estimators fitted, ours first, and the seconds that ``fit`` took."""
    estimators = [
        getattr(module, task.estimator)(random_state=seed, **task.settings) for module in (ours, theirs)
    ]
    seconds = [0.0, 0.0]
    for which in (0, 1) if ours_first else (1, 0):
        seconds[which] = timed(estimators[which].fit, *train)
    return estimators, seconds


def scores(seeds: int) -> Iterator[str]:
    """Yield the table of scores on held-out rows and of the time that ``fit`` takes."""
    yield "| data | score | ours | scikit-learn | largest difference at one seed | fit ours | scikit-learn | ratio |"
    yield "|---|---|---|---|---|---|---|---|"
    for task in TASKS:
        x, y = task.data()
        found: list[list[float]] = []
        took: list[list[float]] = []
        for seed in range(seeds):
            x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=seed)
            estimators, seconds = pair(task, seed, (x_train, y_train), seed % 2 == 0)
            found.append([estimator.score(x_test, y_test) for estimator in estimators])
            took.append(seconds)
        means, spread = np.mean(found, axis=0), np.std(found, axis=0)
        difference = max(abs(a - b) for a, b in found)
        fit = np.median(took, axis=0)
        ratio = statistics.median(b / a for a, b in took)
        kind = "accuracy" if task.estimator == "MLPClassifier" else "R2"
        yield (
            f"| {task.name} | {kind} | {means[0]:.4f} ± {spread[0]:.4f} | {means[1]:.4f} ± {spread[1]:.4f} "
            f"| {difference:.4f} | {fit[0]:.2f} s | {fit[1]:.2f} s | {ratio:.1f} |"
        )


def defaults(rounds: int) -> Iterator[str]:
    """Yield the time of ``fit`` at its defaults on all digits, float64 and float32."""
    yield f"| digits, all rows, defaults, {rounds} rounds | ours | scikit-learn | ratio, median | least | most |"
    yield "|---|---|---|---|---|---|"
    x, y = digits()
    for dtype in (np.float64, np.float32):
        data = x.astype(dtype), y
        took = [pair(TASKS[0], i, data, i % 2 == 0)[1] for i in range(rounds)]
        ratios = sorted(b / a for a, b in took)
        fit = np.median(took, axis=0)
        yield (
            f"| {np.dtype(dtype)} | {fit[0]:.3f} s | {fit[1]:.3f} s | {statistics.median(ratios):.1f} "
            f"| {ratios[0]:.1f} | {ratios[-1]:.1f} |"
        )


def search(n_jobs: int) -> float:
    """Return the seconds of a grid search of 12 fits on the digits."""
    grid = {"alpha": [1e-4, 1e-2], "negative_slope": [0.0, 0.1]}
    estimator = ours.MLPClassifier((200,), random_state=0)
    return timed(GridSearchCV(estimator, grid, cv=3, n_jobs=n_jobs, refit=False).fit, *digits())


def searches(rounds: int) -> Iterator[str]:
    """Yield the times of grid searches with one job and with two, and what they leave behind."""
    yield f"| grid search, 12 fits, {rounds} rounds | n_jobs=1 | n_jobs=2 | ratio | threads left | processes left |"
    yield "|---|---|---|---|---|---|"
    search(1)
    for backend in ("loky", "threading"):
        threads = threading.active_count()
        with joblib.parallel_config(backend=backend):
            first = search(2)
            took = [(search(1), search(2)) if i % 2 else (search(2), search(1))[::-1] for i in range(rounds)]
        get_reusable_executor().shutdown(wait=True)
        one, two = np.median(took, axis=0)
        ratio = statistics.median(a / b for a, b in took)
        left = threading.active_count() - threads, len(multiprocessing.active_children())
        start = f", with the start of its processes {first:.2f} s" if backend == "loky" else ""
        yield f"| {backend} | {one:.2f} s | {two:.2f} s{start} | {ratio:.2f} | {left[0]} | {left[1]} |"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings that 200 epochs were not enough to one line, here and in joblib's processes."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="splits and seeds per data set")
    parser.add_argument("--rounds", type=int, default=7, help="repetitions of the timed fits and searches")
    parser.add_argument("tables", nargs="*", metavar="table", help="scores, defaults, searches; default: all")
    parser.add_argument("--threads", type=int, help="threads of ours and of BLAS; default: as each decides")
    given = parser.parse_args()
    tables: dict[str, Callable[[], Iterator[str]]] = {
        "defaults": lambda: defaults(given.rounds),
        "scores": lambda: scores(given.seeds),
        "searches": lambda: searches(given.rounds),
    }
    for name in given.tables:
        if name not in tables:
            parser.error(f"no table {name!r}: choose from {', '.join(tables)}")
    if given.threads:
        rl.set_num_threads(given.threads)
    print(
        f"relu_layers {rl.__version__} ({rl.get_num_threads()} threads), scikit-learn {sklearn.__version__}, "
        f"NumPy {np.__version__}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}\n"
    )
    with quiet(), threadpool_limits(given.threads):
        for name in given.tables or tables:
            for line in tables[name]():
                print(line, flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
