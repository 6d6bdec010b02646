"""Which of a user's files is what, by its place in a folder or by a table; none of it is read for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundscene_train.datasets import open_dataset, own_name
from soundscene_train.errors import DatasetError


def lay(home: Path, *names: str) -> Path:
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    return home


def lay_table(home: Path, *rows: str) -> Path:
    """A table of four recordings: hum and hiss, each in two places, and a row's other values as given."""
    names = ("hum-1.wav", "hum-2.wav", "hiss-1.wav", "hiss-2.wav")
    lay(home, *names)
    lines = [f"{name},{row}" for name, row in zip(names, rows, strict=True)]
    (home / "clips.csv").write_text("\n".join(["path,label,fold", *lines]))
    return home


def test_a_group_is_the_first_folder_below_the_class(tmp_path: Path) -> None:
    """However deep a file lies; one in its class's folder itself is a group of its own; what is hidden is none."""
    deep = ("hum/yard/monday/7.wav", "hum/yard/1.WAV", "hum/1.wav", "hiss/1.wav", "hiss/yard/2.wav")
    hidden = ("hum/.hidden.wav", "hum/.trash/old.wav", ".trash/old.wav", "hum/folder.wav/notes.txt")
    clips = open_dataset("folder", lay(tmp_path, *deep, *hidden), fold_count=2).clips
    assert {clip.path.relative_to(tmp_path).as_posix(): clip.group for clip in clips} == {
        "hum/yard/monday/7.wav": "yard",
        "hum/yard/1.WAV": "yard",
        "hum/1.wav": "hum/1.wav",
        "hiss/1.wav": "hiss/1.wav",
        "hiss/yard/2.wav": "yard",
    }
    assert [clip.path for clip in clips] == sorted(clip.path for clip in clips)


def test_a_class_may_be_called_in_any_language(tmp_path: Path) -> None:
    """What can be printed names a class."""
    home = lay(tmp_path, *(f"{label}/{name}.wav" for label in ("Bäume", "雨") for name in "12"))
    assert open_dataset("folder", home, fold_count=2).labels == ("Bäume", "雨")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("hum,1", "hum,2", "hum,1", "hum,2"), "expected at least two labels, found 'hum' alone"),
        (("hum,7", "hum,7", "hiss,7", "hiss,7"), "expected at least two folds, found '7' alone"),
        (("hum,1", "hum,2", "hiss,1", "hiss,"), "some rows have no fold; fill in all of them"),
        (("hum,1", "hum,2", "hiss,1", ",2"), "line 5 has no path or no label"),
    ],
)
def test_a_table_that_leaves_nothing_to_learn_or_to_test_is_refused(
    tmp_path: Path, rows: tuple[str, ...], message: str
) -> None:
    """One label, one fold, or a fold or a label that is missing in a single row."""
    with pytest.raises(DatasetError, match=message):
        open_dataset("csv", lay_table(tmp_path, *rows))


def test_a_row_without_a_path_is_refused(tmp_path: Path) -> None:
    """It would name the folder of the table."""
    lay_table(tmp_path, "hum,1", "hum,2", "hiss,1", "hiss,2")
    with (tmp_path / "clips.csv").open("a") as stream:
        stream.write("\n,hum,2\n")
    with pytest.raises(DatasetError, match="line 6 has no path or no label"):
        open_dataset("csv", tmp_path)


def test_recordings_are_called_after_their_folder(tmp_path: Path) -> None:
    """The same by the table itself as by its folder."""
    home = lay_table(tmp_path / "My Sounds (2)", "hum,1", "hum,2", "hiss,1", "hiss,2")
    assert open_dataset("csv", home).name == open_dataset("csv", home / "clips.csv").name == "csv-my-sounds-2"
    assert own_name(home) == own_name(home / "clips.csv") == "my-sounds-2"
