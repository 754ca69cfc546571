"""scikit-learn's checks of any estimator: none fails, and no more are skipped than for its own."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import sklearn.neural_network
from sklearn.utils.estimator_checks import check_estimator

import relu_layers.sklearn


def statuses(estimator: Any) -> list[tuple[str, str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_skip=None, on_fail=None)
    return [(one["status"], one["check_name"], str(one["exception"])) for one in results]


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_no_check_fails_and_no_more_are_skipped(name: str) -> None:
    ours = statuses(getattr(relu_layers.sklearn, name)())
    theirs = statuses(getattr(sklearn.neural_network, name)())
    assert [one for one in ours if one[0] not in ("passed", "skipped")] == []
    assert {check for status, check, _ in ours if status == "skipped"} <= {
        check for status, check, _ in theirs if status == "skipped"
    }
    assert Counter(one[0] for one in ours)["passed"] >= Counter(one[0] for one in theirs)["passed"]
