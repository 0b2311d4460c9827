"""Tables with named columns: what each kind of column becomes, and what is refused."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.exact import same
from thalweg.errors import DataError, MissingExtraError
from thalweg.tasks import Data
from thalweg.tasks.sources.source import ArraySource

ROWS = 60


def flats(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "area": draw.normal(70, 20, rows),
            "rooms": draw.integers(1, 6, rows),
            "town": draw.choice(["Ulm", "Bonn", "Kiel"], rows),
            "lift": draw.random(rows) > 0.5,
            "rent": draw.normal(900, 200, rows),
        }
    )


def arrays(source: object) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(source, ArraySource)
    return source.inputs.numpy(), source.targets.numpy()


def refused(message: str, frame: Any, target: str = "rent", **options: Any) -> None:
    with pytest.raises(DataError, match=message):
        Data.table(frame, target, **options)


def test_columns_against_scikit_learn() -> None:
    frame = flats()
    data = Data.table(frame, "rent", scale="standard")
    x, y = arrays(data.train)
    theirs = make_column_transformer(
        (StandardScaler(), ["area", "rooms"]),
        (OneHotEncoder(sparse_output=False), ["town"]),
        ("passthrough", ["lift"]),
    ).fit_transform(frame)
    assert data.features == ("area", "rooms", "town=Bonn", "town=Kiel", "town=Ulm", "lift")
    np.testing.assert_allclose(x, theirs.astype(float), rtol=0, atol=1e-12)
    same(y, frame[["rent"]].to_numpy(), because="copies")


def test_categories_and_medians_are_those_of_the_training_rows() -> None:
    frame = flats()
    frame.loc[ROWS - 6 :, "town"] = "Rom"  # in the last rows alone
    frame.loc[[0, ROWS - 1], "area"] = np.nan
    frame.loc[[1, ROWS - 1], "town"] = None
    frame["lift"] = frame["lift"].astype(object)
    frame.loc[ROWS - 1, "lift"] = None
    data = Data.table(frame, "rent", validation=0.1, split="last", missing="fill")
    train = frame[: ROWS - 6]
    assert "town=Rom" not in data.features
    x, _ = arrays(data.validation)
    median, town = train["area"].median(), train["town"].mode()[0]
    assert arrays(data.train)[0][0, 0] == pytest.approx(median, rel=1e-12)
    same(x[:-1, 2:5], np.zeros((5, 3)), because="zeros")
    expected = [float(name == f"town={town}") for name in data.features[2:5]]
    assert x[-1].tolist() == [
        pytest.approx(median, rel=1e-12),
        frame["rooms"].iloc[-1],
        *expected,
        float(train["lift"].astype(bool).mean() > 0.5),
    ]


def test_the_split_is_that_of_arrays() -> None:
    frame = flats()
    table = Data.table(frame, "rent", features=["area"], validation=0.2, test=0.1, seed=3)
    plain = Data.arrays(
        frame[["area"]].to_numpy(), frame[["rent"]].to_numpy(), validation=0.2, test=0.1, seed=3
    )
    for name in ("train", "validation", "test"):
        for ours, theirs in zip(arrays(table.split(name)), arrays(plain.split(name)), strict=True):
            same(ours, theirs, because="copies of the same rows")


@pytest.mark.parametrize(
    ("values", "classes", "numbers"),
    [
        (["no", "yes", "no"], ("no", "yes"), [0, 1, 0]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        ([0, 2, 1], ("0", "1", "2"), [0, 2, 1]),
        ([3, 5, 4], (), [[3.0], [5.0], [4.0]]),
        ([0.0, 1.0, 0.5], (), [[0.0], [1.0], [0.5]]),
    ],
)
def test_targets(values: list[Any], classes: tuple[str, ...], numbers: list[Any]) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": values})
    data = Data.table(frame, "y")
    assert data.classes == classes
    assert arrays(data.train)[1].tolist() == numbers
    if not classes:
        given = Data.table(frame, "y", target_kind="class")
        assert sorted(arrays(given.train)[1].tolist()) == [0, 1, 2]


def test_class_numbers_follow_the_numbers() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [10, 9, 100]})
    data = Data.table(frame, "y", target_kind="class")
    assert data.classes == ("9", "10", "100")
    assert arrays(Data.table(frame, "y", target_kind="number").train)[1].shape == (3, 1)
    refused("'auto', 'class' or 'number'", frame, "y", target_kind="odd")


def test_a_table_of_its_own_for_validation(tmp_path: Path) -> None:
    frame, other = flats(), flats(20, seed=1)
    other["town"] = "Rom"
    other[["rent", "lift", "town", "rooms", "area"]].to_csv(tmp_path / "other.csv", index=False)
    data = Data.table(frame, "rent", validation=tmp_path / "other.csv")
    x, y = arrays(data.validation)
    np.testing.assert_allclose(x[:, :2], other[["area", "rooms"]].to_numpy(float), rtol=1e-15)
    assert x[:, 2:5].sum() == 0
    np.testing.assert_allclose(y, other[["rent"]].to_numpy(), rtol=1e-15)
    named = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    unknown = pd.DataFrame({"x": [1.0], "y": ["c"]})
    refused("has the class 'c', which the training table has not", named, "y", test=unknown)


def test_files_give_what_frames_give(tmp_path: Path) -> None:
    frame = flats()
    frame.to_csv(tmp_path / "flats.csv", index=False)
    a, b = Data.table(tmp_path / "flats.csv", "rent"), Data.table(frame, "rent")
    assert (a.features, a.columns) == (b.features, b.columns)
    np.testing.assert_allclose(arrays(a.train)[0], arrays(b.train)[0], rtol=1e-15)


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = flats()
    frame.to_parquet(tmp_path / "flats.parquet")
    x, _ = arrays(Data.table(tmp_path / "flats.parquet", "rent").train)
    same(x, arrays(Data.table(frame, "rent").train)[0], because="Parquet keeps the bits")


@pytest.mark.parametrize(("package", "ending"), [("pandas", "csv"), ("pyarrow", "parquet")])
def test_a_package_that_is_not_there(
    package: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"a.{ending}").write_text("a,b\n1,2\n")
    if package == "pyarrow":
        monkeypatch.setitem(sys.modules, "fastparquet", None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*thalweg\[\w+\]"):
        Data.table(tmp_path / f"a.{ending}", "b")


def test_categories_by_name() -> None:
    frame = pd.DataFrame({"zip": [53111, 24103, 53111], "y": [1.0, 2.0, 3.0]})
    data = Data.table(frame, "y", categorical=["zip"])
    assert data.features == ("zip=24103", "zip=53111")
    assert data.columns is not None
    # a file in which one is missing has 53111.0
    assert data.columns.encode(frame.astype(float)).tolist() == [[0, 1], [1, 0], [0, 1]]
    text = pd.DataFrame({"town": ["a", "b"], "y": [1.0, 2.0]})
    refused(r"'town' holds text \(such as 'a'\)", text, "y", categorical=[])
    refused("a list of names", text, "y", categorical="town")
    refused("no column 'twon'. Did you mean 'town'", text, "y", categorical=["twon"])


DAYS = pd.date_range("2024-01-01", periods=ROWS)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Series(DAYS), "holds dates or times, which are not numbers yet"),
        (pd.Series(DAYS.strftime("%Y-%m-%d")), r"dates or times \(such as '2024-01-01'\)"),
        (pd.Series(DAYS.to_period("D")), "holds dates or times"),
        (pd.Series(DAYS - DAYS[0]), "holds dates or times"),
        (pd.Series([datetime.date(2024, 1, 1)] * ROWS), "holds dates or times"),
        (pd.Series([f"name {k}" for k in range(ROWS)]), "holds 60 different texts in 60 rows"),
        (pd.Series([[k] for k in range(ROWS)]), r"holds objects \(list\)"),
        (pd.Series(np.full(ROWS, 1j)), "complex128"),
        (pd.Series([np.nan] * ROWS), "has no value in the training rows"),
        (pd.Series([np.inf] + [1.0] * (ROWS - 1)), "infinite numbers in 1 of 60 rows"),
        (
            pd.Series([1.0, np.nan] * (ROWS // 2)),
            r"missing values in 30 of 60 rows, first in row 1",
        ),
        (pd.Series(["a", None] * (ROWS // 2)), "missing values in 30 of 60 rows"),
        (pd.Series([1, None] * (ROWS // 2), dtype="Int64"), "missing values in 30 of 60 rows"),
    ],
)
def test_columns_that_are_refused_by_name(column: pd.Series, message: str) -> None:
    refused(f"Column 'odd' .*{message}", flats().assign(odd=column))
    assert Data.table(flats().assign(odd=column), "rent", features=["area"]).features == ("area",)


@pytest.mark.parametrize("kind", ["Int64", "Float64", "float32", "uint8", "object", "category"])
def test_kinds_of_numbers(kind: str) -> None:
    frame = pd.DataFrame({"x": pd.Series([1, 2, 3], dtype=kind), "y": [0.5, 1.5, 2.5]})
    data = Data.table(frame, "y")
    expected = np.eye(3) if kind == "category" else np.array([[1.0], [2.0], [3.0]])
    same(arrays(data.train)[0], expected, because="integers")


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    frame = flats()
    refused("no column 'rend'. Did you mean 'rent'", frame, "rend")
    refused("no column 'aera'. Did you mean 'area'", frame, features=["aera"])
    refused("'rent' is among the features", frame, features=["area", "rent"])
    refused("features must be a list", frame, features="area")
    refused("no column other than the target", frame[["rent"]])
    refused("missing must be 'refuse' or 'fill'", frame, missing="drop")
    refused("has no rows", frame[:0])
    refused("two columns 'area'", pd.concat([frame, frame[["area"]]], axis=1))
    refused(
        "is missing in 1 of 60 rows, first in row 2",
        frame.assign(rent=frame["rent"].where(frame.index != 2)),
    )
    refused("pandas.DataFrame or the path", [[1, 2]])
    refused("There is no file", tmp_path / "none.csv")
    refused("file .csv or .parquet", tmp_path / "none.xls")
    (tmp_path / "empty.csv").write_text("")
    refused("cannot be read as CSV", tmp_path / "empty.csv")
    (tmp_path / "odd.csv").write_bytes(b"a,rent\n\xff,1\n")
    refused("cannot be read as CSV", tmp_path / "odd.csv")


def test_another_table_is_encoded_by_names() -> None:
    data = Data.table(flats(), "rent")
    assert data.columns is not None
    new = flats(5, seed=2)
    plain = data.columns.encode(new)
    same(
        data.columns.encode(new[["lift", "rent", "town", "area", "rooms"]].assign(more=1)),
        plain,
        because="copies",
    )
    for changed, message in (
        (new.drop(columns=["town", "area"]), "no column 'area', 'town'"),
        (new.rename(columns={"area": "Area"}), "no column 'area'. Did you mean 'Area'"),
        (new.assign(area="big"), "'area' is one of numbers, and holds 'big' in row 0"),
        (new.assign(area=np.nan), "'area' has missing values in 5 of 5 rows"),
    ):
        with pytest.raises(DataError, match=message):
            data.columns.encode(changed)


def test_scaled_targets_and_zeros_and_ones() -> None:
    data = Data.table(flats(), "rent", scale="min_max", scale_targets=True, validation=0.2)
    x, y = arrays(data.train)
    np.testing.assert_allclose([x.min(), x.max(), y.min(), y.max()], [0, 1, 0, 1], atol=1e-12)
    assert set(np.unique(x[:, 2:]).tolist()) == {0.0, 1.0}
    assert data.scaler is not None
    assert data.scaler.shift[2:].tolist() == [0.0] * 4
    refused("scale_targets is for real", flats().assign(rent=["a", "b"] * 30), scale_targets=True)
