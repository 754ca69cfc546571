"""Searches over settings on a Dask cluster of processes, and training on a Dask array."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

for name in ("joblib", "sklearn", "dask", "distributed"):
    pytest.importorskip(name)

ROOT = Path(__file__).resolve().parent.parent.parent

# The cluster's processes import the program that started them, so each test is a program of its own.
BEGIN = """
    import json
    import os
    import signal
    from concurrent.futures import CancelledError

    import joblib
    import numpy as np
    from dask.distributed import Client, LocalCluster
    from sklearn.model_selection import GridSearchCV

    from relu_layers.sklearn import MLPClassifier

    rng = np.random.default_rng(0)
    x = rng.standard_normal((90, 5)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    grid = {"alpha": [1e-4, 1e-2]}
    estimator = MLPClassifier((8,), max_iter=4, random_state=0, tol=0.0)
    folder = os.environ["DASK_TEMPORARY_DIRECTORY"]

    class Killed(MLPClassifier):
        # Its first fit of all ends the process that it runs in, as a machine that fails does.

        def fit(self, x, y):
            try:
                os.close(os.open(folder + "-killed", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return super().fit(x, y)
            os.kill(os.getpid(), signal.SIGKILL)

    def search(estimator=estimator, **options):
        return GridSearchCV(estimator, grid, cv=2, refit=False, error_score="raise", **options)

    def cluster():
        return LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder, silence_logs=60
        )
"""


def run_program(folder: Path, body: str) -> str:
    """Run a program whose ``main`` is ``body``; return what it printed."""
    program = folder / "program.py"
    main = textwrap.indent(textwrap.dedent(body), "    ")
    program.write_text(
        f'{textwrap.dedent(BEGIN)}\n\ndef main():\n{main}\n\nif __name__ == "__main__":\n    main()\n'
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["DASK_TEMPORARY_DIRECTORY"] = str(folder / "dask")
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_search_on_a_cluster_has_the_scores_of_one_process_and_leaves_nothing(tmp_path: Path) -> None:
    """The second search loses a worker: its fits are repeated."""
    printed = run_program(
        tmp_path,
        """
        alone = search(n_jobs=1).fit(x, y)
        with cluster() as processes, Client(processes) as client:
            threads = client.run(lambda: __import__("relu_layers").get_num_threads())
            with joblib.parallel_config(backend="dask", scatter=[x, y]):
                shared = search().fit(x, y)
                killed = search(Killed((8,), max_iter=4, random_state=0, tol=0.0))
                try:
                    repeated = killed.fit(x, y)
                except CancelledError:  # of Dask, on a busy machine: arrays that only the lost worker had yet
                    repeated = killed.fit(x, y)
            assert os.path.exists(folder + "-killed")
        names = [name for name in alone.cv_results_ if "time" not in name and name != "params"]
        for name in names:
            for other in (shared, repeated):
                np.testing.assert_array_equal(other.cv_results_[name], alone.cv_results_[name], err_msg=name)
        print(json.dumps([os.getpid(), list(threads.values()), len(names)]))
        """,
    )
    group, threads, names = json.loads(printed)
    assert threads == [1, 1], "each worker computes with one thread: two would share a processor"
    assert names >= 5
    end = time.monotonic() + 20.0
    while time.monotonic() < end and exists(group):
        time.sleep(0.05)
    assert not exists(group), "a process of the cluster is left"
    left = [path for path in (tmp_path / "dask").rglob("*") if path.is_file() and path.stat().st_size > 0]
    assert not [path for path in left if "worker" in path.name]


def exists(group: int) -> bool:
    """Whether some process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
