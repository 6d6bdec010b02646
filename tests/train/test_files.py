"""A run's files are whole or absent, and what is wrong with one is said in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from soundscene_train.errors import DatasetError, TrainingError
from soundscene_train.files import read_json, reading, reading_arrays, whole, write_json, writing


def test_what_fails_half_way_leaves_the_old_file_alone(tmp_path: Path) -> None:
    """An error after some bytes: the file holds what it held, and nothing else is left."""
    path = tmp_path / "held.json"
    write_json(path, {"epoch": 5})
    with pytest.raises(UnicodeEncodeError), whole(path) as stream:
        stream.writelines(text.encode() for text in ("half", "\ud800"))
    assert read_json(path, "a note", "write it again") == {"epoch": 5}
    assert [entry.name for entry in tmp_path.iterdir()] == ["held.json"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """A device without room: the reason, what could not be written, what to do; of the kind that was asked for."""
    path = tmp_path / "scores.npz"
    (tmp_path / "scores.npz.tmp").symlink_to("/dev/full")
    with (
        pytest.raises(DatasetError, match=r"run: the scores cannot be written: No space left on device; make room$"),
        writing(Path("run"), "the scores", "make room", error_type=DatasetError),
        whole(path) as stream,
    ):
        np.savez(stream, scores=np.zeros(100_000))
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(TrainingError, match=r"^run: cannot be written: No such file or directory$"),
        writing(Path("run")),
    ):
        write_json(tmp_path / "nowhere" / "note.json", {})


@pytest.mark.parametrize("what", ["", "the report "])
def test_a_place_is_named_as_it_is_called(tmp_path: Path, what: str) -> None:
    """Spaces in a path stay, or nobody finds it."""
    place = tmp_path / "two  spaces"
    with (
        pytest.raises(TrainingError, match=f"^{re.escape(str(place))}: {what}cannot be written: "),
        writing(place, what.strip()),
    ):
        write_json(place / "note.json", {})


@pytest.mark.parametrize("kept_bytes", [0, 1, 40, -30, -1])
def test_arrays_that_were_cut_short_are_one_line(tmp_path: Path, kept_bytes: int) -> None:
    """However much of it is left, a cut file of arrays is named, with the way out."""
    path = tmp_path / "checkpoint.npz"
    np.savez(path, weight=np.arange(100.0), epochs=3)
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with (
        pytest.raises(TrainingError, match=rf"{re.escape(str(path))}: not a checkpoint \(.*\); remove it") as caught,
        reading_arrays(path, "a checkpoint", "remove it") as state,
    ):
        np.asarray(state["weight"])
    assert "\n" not in str(caught.value)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    """A byte that turned over within an array does not pass for a weight."""
    path = tmp_path / "checkpoint.npz"
    np.savez(path, weight=np.arange(100.0))
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="Bad CRC-32"), reading_arrays(path, "it", "go") as state:
        np.asarray(state["weight"])


@pytest.mark.parametrize("content", [b"", b'{"a', b"\xff\xfe", b"[1]", b"{}"])
def test_notes_that_hold_something_else_are_one_line(tmp_path: Path, content: bytes) -> None:
    """Empty, cut, not text, another shape, a key too few."""
    path = tmp_path / "note.json"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"note\.json: not a note"), reading(path, "a note", "remove it"):
        json.loads(path.read_text(encoding="utf-8"))["settings"]
