"""ESC-10 in its official layout, whole or damaged."""

import shutil
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from soundscene_train.datasets import Selection, open_dataset
from soundscene_train.errors import DatasetError
from tests.train.conftest import write_esc


def test_folds_labels_and_groups(esc_folder: Path) -> None:
    """Labels are sorted categories, parts are folds, the last fold is the test."""
    dataset = open_dataset("esc10", esc_folder)
    assert dataset.labels == ("clicks", "noise", "tone")
    assert dataset.parts == ("1", "2", "3")
    assert (dataset.train_parts, dataset.test_parts) == (("1", "2"), ("3",))
    assert len(dataset.clips) == 36
    assert all(clip.path.is_file() and clip.group for clip in dataset.clips)


def test_esc50_gives_its_ten_classes_and_other_suffixes_are_found(tmp_path: Path) -> None:
    """Rows not marked esc10 are left out; a clip may lie there as ogg where the table says wav."""
    write_esc(tmp_path)
    table = tmp_path / "meta" / "esc50.csv"
    lines = [line.replace("True", "False") if ",noise," in line else line for line in table.read_text().splitlines()]
    table.write_text("\n".join(lines) + "\n")
    for path in (tmp_path / "audio").glob("1-*.wav"):
        path.rename(path.with_suffix(".ogg"))
    dataset = open_dataset("esc10", tmp_path)
    assert dataset.labels == ("clicks", "tone")
    assert {clip.path.suffix for clip in dataset.clips if clip.part == "1"} == {".ogg"}


def test_a_table_without_the_column_is_taken_whole(tmp_path: Path) -> None:
    """ESC-10's own table, which marks nothing, is all ESC-10."""
    write_esc(tmp_path)
    table = tmp_path / "meta" / "esc50.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join(row[:4]) for row in rows) + "\n")
    assert len(open_dataset("esc10", tmp_path).clips) == 36


def test_clips_of_one_recording_are_one_group(tmp_path: Path) -> None:
    """By the freesound recording they were cut from, each alone where the table has none; in order of names."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    for name in "abcd":
        (tmp_path / "audio" / f"{name}.wav").touch()
    rows = ("c.wav,1,rain,TRUE,77", "audio/a.wav,1,rain,true,77", "d.wav,1,dog,True,", "b.wav,1,dog,True,")
    (tmp_path / "meta" / "esc50.csv").write_text("\n".join(["filename,fold,category,esc10,src_file", *rows]))
    dataset = open_dataset("esc10", tmp_path)
    found = [(clip.path.stem, clip.group) for clip in dataset.clips]
    assert sorted(found) == [("a", "77"), ("b", "b.wav"), ("c", "77"), ("d", "d.wav")]
    assert [stem for stem, _ in found] == ["a", "b", "c", "d"]
    assert (dataset.train_parts, dataset.test_parts) == (("1",), ()), "one fold alone is trained on"


def test_damage_is_named_in_one_line(tmp_path: Path) -> None:
    """A missing folder, table, column or clip gives one line that names it."""
    with pytest.raises(DatasetError, match=r"no such folder; --data-dir must name"):
        open_dataset("esc10", tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"esc50.csv: no such table"):
        open_dataset("esc10", tmp_path)
    write_esc(tmp_path)
    table = tmp_path / "meta" / "esc50.csv"
    shutil.copy(table, tmp_path / "kept")
    for content, message in (
        ("filename,fold\n1,2\n", "lacks the column category"),
        ("filename,fold,category\n", "holds no rows"),
        ("filename,fold,category\na.wav,1\n", "line 2 has 2 columns, and the header 3"),
        ("filename,fold,category,esc10\na.wav,1,dog,False\n", "marks no row"),
    ):
        table.write_text(content)
        with pytest.raises(DatasetError, match=message) as caught:
            open_dataset("esc10", tmp_path)
        assert "\n" not in str(caught.value)
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not a readable table"):
        open_dataset("esc10", tmp_path)
    shutil.copy(tmp_path / "kept", table)
    for path in sorted((tmp_path / "audio").iterdir())[:5]:
        path.unlink()
    with pytest.raises(DatasetError, match=r"audio is missing: .* and 2 more"):
        open_dataset("esc10", tmp_path)


def test_parts_are_checked(esc_folder: Path) -> None:
    """Folds that do not exist, lie on both sides, or leave nothing to train on are refused."""
    dataset = open_dataset("esc10", esc_folder)
    for train, test, message in (
        (("9",), (), "no clips in 9; it has 1, 2, 3"),
        (("1", "2"), ("2",), "2 cannot be trained on and tested on"),
        ((), ("2",), "name at least one part"),
    ):
        with pytest.raises(DatasetError, match=message):
            Selection(dataset, train, test)
    selection = Selection(dataset, ("1", "3"), ("2",))
    assert not set(selection.train_clips) & set(selection.test_clips)
    assert len(selection.train_clips) == 24


def test_unknown_data_sets_are_refused(tmp_path: Path) -> None:
    """A name that is no data set says what is known."""
    with pytest.raises(DatasetError, match="there are esc10, tau2020, synthetic"):
        open_dataset("imagenet", tmp_path)


def test_the_real_esc10(real_recordings: Callable[[str], Path]) -> None:
    """The real recordings are found: ten classes of 8 clips in each of folds 1 to 4, no recording in two folds."""
    dataset = open_dataset("esc10", real_recordings("esc10"))
    counts = Counter((clip.label, clip.part) for clip in dataset.clips)
    assert len(dataset.labels) == 10
    assert {key: counts[key] for key in product(dataset.labels, "1234")} == dict.fromkeys(
        product(dataset.labels, "1234"), 8
    )
    folds_of = {(clip.group, clip.part) for clip in dataset.clips}
    assert len({group for group, _ in folds_of}) == len(folds_of)
