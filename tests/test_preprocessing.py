"""Preprocessing: what it learns, what it refuses, and that it survives JSON unchanged."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from relu_layers.preprocessing import ClassTarget, NumberTarget, Preprocessing, find_task


def people() -> dict[str, Any]:
    return {
        "age": np.array([20.0, 30.0, 40.0, 50.0]),
        "city": np.array(["Rome", "Oslo", "Rome", "Bern"]),
        "floor": np.array([1, 2, 3, 4]),
    }


def test_numbers_get_mean_zero_and_deviation_one() -> None:
    x = np.random.default_rng(0).normal(7.0, 3.0, (500, 4))
    z = Preprocessing().fit(x).transform(x, dtype=np.float64)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-13)
    np.testing.assert_allclose(z.std(axis=0), 1.0, rtol=1e-13)


def test_table_scale_keeps_the_ratio_of_columns() -> None:
    x = np.random.default_rng(1).normal(3.0, 1.0, (200, 3)) * [1.0, 10.0, 0.0]
    z = Preprocessing(standardize="table").fit(x).transform(x, dtype=np.float64)
    np.testing.assert_allclose(z, (x - x.mean()) / x.std(), rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 7, 500, 8192, 20_001])
def test_columns_beside_each_other_are_learned_and_scaled_as_each_alone(rows: int) -> None:
    """To the last bit: how many columns are summed or written at once is no matter of the numbers."""
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, 40)) * 10.0 ** rng.integers(-20, 20, 40) + rng.integers(-3, 4, 40)
    x[:, 3] *= 1e-300
    x[:, 4] = np.linspace(-1.0, 1.0, rows) * 1e308
    x[:, 5] = 0.0
    table = {
        f"c{place}": column.astype(np.int64) if place == 6 else column for place, column in enumerate(x.T)
    }
    together = Preprocessing().fit(table)
    z = together.transform(table, dtype=np.float64)
    for place, (name, values) in enumerate(table.items()):
        alone = Preprocessing().fit({name: values})
        assert alone.columns == together.columns[place : place + 1]
        assert alone.transform({name: values}, dtype=np.float64)[:, 0].tobytes() == z[:, place].tobytes()


def test_labels_of_numbers_are_found_whatever_their_kind_and_order() -> None:
    for classes, values in (
        ((1, 2, 5), np.array([5, 1, 2, 5])),
        ((1, 2, 5), np.array([5.0, 1.0, 2.0])),
        ((5, 1, 2), np.array([5, 1, 2, 1])),
        ((0.5, 1.5), np.array([1.5, 0.5])),
        ((1, 2.5), np.array([2.5, 1.0])),
        ((1.0, 2.0), np.array([2, 1])),
        ((2**60, 2**60 + 1), np.array([2**60 + 1, 2**60])),
    ):
        expected = [classes.index(value) for value in values.tolist()]
        assert ClassTarget("t", classes).encode(values, np.float32).tolist() == expected
        with pytest.raises(ValueError, match=r"target 't' holds .* in row 2"):
            ClassTarget("t", classes).encode(np.array([values[0], 3]), np.float32)
    with pytest.raises(ValueError, match="holds 9007199254740993 in row 1"):
        ClassTarget("t", (2**53, 7)).encode(np.array([2**53 + 1]), np.float32)


def test_constant_huge_and_unscaled_columns() -> None:
    x = np.array([[0.1, 1e308, 5.0], [0.1, -1e308, 6.0], [0.1, 1e308, 9.0]])
    z = Preprocessing().fit(x).transform(x, dtype=np.float64)
    assert np.isfinite(z).all()
    assert z[:, 0].tolist() == [0.0, 0.0, 0.0]
    plain = Preprocessing(standardize="none").fit(x)
    assert np.array_equal(plain.transform(x, dtype=np.float64), x)
    with pytest.raises(ValueError, match="'x1' has values too large for float32"):
        plain.transform(x)


def test_text_becomes_one_feature_per_category() -> None:
    preprocessing = Preprocessing(standardize="none").fit(people())
    assert preprocessing.feature_names == ["age", "city=Bern", "city=Oslo", "city=Rome", "floor"]
    x = preprocessing.transform(people())
    assert x.dtype == np.float32
    assert x[:, 1:4].tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert x[:, 4].tolist() == [1, 2, 3, 4]


def test_columns_are_found_by_name_in_any_order() -> None:
    preprocessing = Preprocessing().fit(people())
    shuffled = {"extra": np.zeros(4), **dict(reversed(people().items()))}
    assert np.array_equal(preprocessing.transform(shuffled), preprocessing.transform(people()))


def test_missing_column_is_named_with_the_nearest() -> None:
    table = people()
    table["aeg"] = table.pop("age")
    with pytest.raises(ValueError, match=r"'age' is missing \(did you mean 'aeg'\?\)"):
        Preprocessing().fit(people()).transform(table)


def test_unknown_category_is_refused_or_all_zero() -> None:
    preprocessing = Preprocessing().fit(people())
    table = people() | {"city": np.array(["Rome", "Oslow", "Rome", "Bern"])}
    with pytest.raises(ValueError, match=r"'city' holds 'Oslow' in row 2 .*did you mean 'Oslo'"):
        preprocessing.transform(table)
    assert preprocessing.transform(table, unknown="zero")[1, 1:4].tolist() == [0, 0, 0]


def test_text_where_numbers_were_is_named() -> None:
    table = people() | {"age": np.array(["20", "", "old", "1"])}
    with pytest.raises(ValueError, match=r"'age' is text \('20' in row 1"):
        Preprocessing().fit(people()).transform(table)


def test_number_coded_categories_match_their_text() -> None:
    preprocessing = Preprocessing().fit({"code": np.array(["1", "2", "a"])})
    assert preprocessing.transform({"code": np.array([2.0, 1.0])}).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("gap", [{"age": [20.0, np.nan, 40.0, 50.0]}, {"city": ["Rome", "", "Rome", "Bern"]}])
def test_missing_values_are_refused_by_name_and_row(gap: dict[str, Any]) -> None:
    table = people() | {name: np.array(values) for name, values in gap.items()}
    name = next(iter(gap))
    for missing in ("error", "drop"):
        with pytest.raises(ValueError, match=rf"'{name}' has 1 missing values, the first in row 2"):
            Preprocessing(missing=missing).fit(table)
    assert Preprocessing().missing_rows(table).tolist() == [False, True, False, False]


def test_missing_values_become_mean_and_most_frequent() -> None:
    table = {"n": np.array([1.0, np.nan, 3.0, 8.0]), "t": np.array(["a", "b", "b", ""])}
    preprocessing = Preprocessing(missing="mean", standardize="none").fit(table)
    x = preprocessing.transform(table, dtype=np.float64)
    assert x[:, 0].tolist() == [1.0, 4.0, 3.0, 8.0]
    assert x[3].tolist() == [8.0, 0.0, 1.0]
    later = preprocessing.transform({"n": np.array([np.nan]), "t": np.array([""])}, dtype=np.float64)
    assert later.tolist() == [[4.0, 0.0, 1.0]]
    all_missing_text = {"n": np.array(["", ""]), "t": np.array(["a", "b"])}
    assert preprocessing.transform(all_missing_text)[:, 0].tolist() == [4.0, 4.0]


def test_object_columns_of_frames_are_numbers_or_text() -> None:
    table = {"n": np.array([1, None, 3], dtype=object), "t": np.array(["a", None, "b"], dtype=object)}
    preprocessing = Preprocessing(missing="mean").fit(table)
    assert preprocessing.feature_names == ["n", "t=a", "t=b"]
    with pytest.raises(ValueError, match="mixes values of type int, str"):
        Preprocessing().fit({"m": np.array([1, "a"], dtype=object)})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "no columns"),
        ({"a": np.array([])}, "no rows"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "different numbers of rows: 2, 3"),
        ({"a": np.array([1.0, np.inf])}, "'a' holds inf in row 2"),
        ({"a": np.array([1j])}, "dtype complex128"),
        ({"a": np.zeros((2, 2))}, r"shape \(2, 2\)"),
        ({"a": np.array([str(i) for i in range(101)])}, "101 different values"),
        (np.zeros(3), r"shape \(3,\)"),
    ],
)
def test_unusable_tables_are_refused(table: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing().fit(table)


def test_column_without_any_value_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' has no value in any row"):
        Preprocessing(missing="mean").fit({"a": np.array([np.nan, np.nan])})


@pytest.mark.parametrize(
    ("column", "task"),
    [
        (np.array(["a", "b"]).astype(np.dtypes.StringDType()), "classification"),
        (np.array([0, 1, 1, 0]), "classification"),
        (np.array([0.0, 1.0, 1.0, np.nan]), "classification"),
        (np.array([0, 1, 2, 3]), "regression"),
        (np.array([0.5, 1.5, 0.5, 1.5]), "regression"),
        (np.arange(42) % 21, "regression"),
        (np.arange(40) % 20, "classification"),
    ],
)
def test_task_is_found_from_the_column(column: Any, task: str) -> None:
    assert find_task(column) == task


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (np.array([3, 1, 3, 1]), (1, 3)),
        (np.array([3.0, 1.0, 3.0, 1.0]), (1, 3)),
        (np.array([True, False, True, False]), (0, 1)),
        (np.array(["no", "yes", "no"]), ("no", "yes")),
    ],
)
def test_classes_become_labels_and_back(values: Any, classes: tuple[Any, ...]) -> None:
    preprocessing = Preprocessing().fit_target(values, name="t")
    assert preprocessing.target == ClassTarget("t", classes)
    labels = preprocessing.encode_target(values)
    assert labels.dtype == np.int64
    assert [classes[label] for label in labels] == values.tolist()
    assert preprocessing.decode_target(labels).tolist() == values.tolist()
    with pytest.raises(ValueError, match="target 't' holds"):
        preprocessing.encode_target(np.array(["other"]))


def test_numeric_target_is_standardised_and_back() -> None:
    values = np.array([10.0, 20.0, 60.0])
    preprocessing = Preprocessing().fit_target(values, name="price")
    y = preprocessing.encode_target(values, dtype=np.float64)
    assert y.shape == (3, 1)
    np.testing.assert_allclose([y.mean(), y.std()], [0.0, 1.0], atol=1e-15)
    np.testing.assert_allclose(preprocessing.decode_target(y).ravel(), values, rtol=1e-15)


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a", "a"], None, "'a' in every row"),
        ([1.5, 1.5], "regression", "1.5 in every row"),
        (["a", "b"], "regression", "is text"),
        ([1.0, np.nan], None, "1 missing values, the first in row 2"),
        ([1.0, np.inf], None, "holds inf in row 2"),
        ([], None, "no rows"),
        ([1, 2], "clustering", "expected one of classification, regression"),
    ],
)
def test_unusable_targets_are_refused(values: list[Any], task: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing().fit_target(np.array(values), task=task)


def fitted() -> Preprocessing:
    return Preprocessing(missing="mean").fit(people()).fit_target(np.array(["x", "y", "x", "y"]), name="kind")


@pytest.mark.parametrize("target", [["x", "y", "x", "y"], [0, 1, 0, 1], [0.5, 1.5, 0.5, 2.5]])
def test_json_round_trip_is_exact(target: list[Any]) -> None:
    before = Preprocessing().fit(people()).fit_target(np.array(target))
    after = Preprocessing.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after.to_dict() == before.to_dict()
    assert np.array_equal(after.transform(people()), before.transform(people()))
    assert np.array_equal(after.encode_target(np.array(target)), before.encode_target(np.array(target)))


def _changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    entries: Any = copy.deepcopy(fitted().to_dict())
    inner = entries
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    result: dict[str, Any] = entries
    return result


BAD_VALUES: list[Any] = [None, [], {}, "", -1, True, float("nan"), 10**400, [[]], {"kind": "number"}]
PATHS: list[tuple[Any, ...]] = [
    ("format",),
    ("standardize",),
    ("max_categories",),
    ("columns",),
    ("columns", 0),
    ("columns", 0, "kind"),
    ("columns", 0, "scale"),
    ("columns", 1, "categories"),
    ("columns", 1, "categories", 0),
    ("columns", 1, "fill"),
    ("target", "task"),
    ("target", "classes"),
    ("target", "classes", 0),
]


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
def test_untrusted_entries_give_value_errors_only(path: tuple[Any, ...], value: Any) -> None:
    harmless = (path == ("columns",) and value == []) or (path == ("max_categories",) and value == 10**400)
    if path[:2] == ("target", "classes") and len(path) == 3:
        harmless = value == ""
    if harmless:
        Preprocessing.from_dict(_changed(path, value))
    else:
        with pytest.raises(ValueError):
            Preprocessing.from_dict(_changed(path, value))


@pytest.mark.parametrize("entries", [None, [], "x", {}])
def test_what_is_no_preprocessing_is_a_value_error(entries: Any) -> None:
    with pytest.raises(ValueError, match="preprocessing:"):
        Preprocessing.from_dict(entries)


def test_use_before_fit_says_so() -> None:
    with pytest.raises(ValueError, match="call fit first"):
        Preprocessing().transform(np.zeros((1, 1)))
    with pytest.raises(ValueError, match="call fit_target first"):
        Preprocessing().encode_target([1])
    assert isinstance(Preprocessing().fit_target([0.1, 0.2]).target, NumberTarget)
