"""A table's columns are those that are meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundscene_train.datasets import open_dataset
from soundscene_train.datasets.tables import require_spelt
from soundscene_train.errors import DatasetError


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("Group", "group"),
        ("gruop", "group"),
        ("folds", "fold"),
        ("flod", "fold"),
        ("FOLD", "fold"),
        ("devise", "device"),
        ("groupid", "group"),
    ],
)
def test_a_misspelt_column_is_named(tmp_path: Path, misspelt: str, meant: str) -> None:
    """Who misspells a column that may be left out hears of it, instead of getting folds that split its groups."""
    (tmp_path / "clips.csv").write_text(f"path,label,{misspelt}\na.wav,dog,1\nb.wav,cat,2\n")
    with pytest.raises(
        DatasetError, match=rf"clips\.csv: has no column '{meant}', but '{misspelt}'; call it '{meant}'"
    ):
        open_dataset("csv", tmp_path)


def test_columns_of_another_use_are_left_alone() -> None:
    """A table may say more than is asked for, and have a column like one that it has."""
    header = ["path", "label", "group", "groups", "Label", "Path", "device_id", "remark", "level", "date", ""]
    require_spelt(Path("clips.csv"), header, ("group", "device", "fold"))


def test_a_quote_that_is_never_closed_is_one_line(tmp_path: Path) -> None:
    """The rest of a long table would be a single value: the file is named, and what to save it as."""
    (tmp_path / "clips.csv").write_text('path,label\n"a.wav,dog\n' + "b.wav,cat\n" * 20_000)
    with pytest.raises(DatasetError, match=r"clips\.csv: not a readable table \(.*\); save it as CSV"):
        open_dataset("csv", tmp_path)
