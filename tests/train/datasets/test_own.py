"""A user's own recordings: groups stay on one side, and whatever is wrong is said in one line before work begins."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundscene_train.__main__ import main
from soundscene_train.datasets import Selection, open_dataset
from soundscene_train.datasets.folds import assign_folds
from soundscene_train.datasets.inspection import format_inspection, inspect_clips, require_readable
from soundscene_train.distortions import standard_distortions
from soundscene_train.errors import DatasetError
from soundscene_train.plan import Plan
from soundscene_train.reproduce import run
from soundscene_train.stages import Reporter, prepare_run
from tests.conftest import NAME_NO_TEXT, needs_names_of_any_bytes
from tests.train.conftest import make_tiny_recipe
from tests.train.test_main import RECIPE

RATE_HZ = 16_000


def write(path: Path, samples: NDArray[np.float64], rate_hz: int = RATE_HZ) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.astype(np.float32), rate_hz)


def sound(label: str, number: int, seconds: float = 1.1) -> NDArray[np.float64]:
    generator = np.random.default_rng([number, len(label)])
    count = round(seconds * RATE_HZ)
    if label == "hum":
        return np.asarray(0.1 * np.sin(generator.uniform(0.1, 0.5) * np.arange(count)))
    return np.asarray(0.05 * generator.standard_normal(count).clip(-4, 4))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes in three places, two clips each."""
    home = tmp_path / "My Sounds"
    for label in ("hum", "hiss"):
        for place in range(3):
            for take in range(2):
                write(home / label / f"place-{place}" / f"{take}.wav", sound(label, 2 * place + take))
    return home


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rows_of(folder: Path) -> list[dict[str, str]]:
    return [
        {"path": str(path.relative_to(folder)), "label": path.parts[-3], "group": path.parts[-2]}
        for path in sorted(folder.rglob("*.wav"))
    ]


def test_a_folder_for_each_class(folder: Path) -> None:
    """Classes are its folders, groups the folders below; a place is in one fold for all classes."""
    (folder / "hum" / ".hidden.wav").write_bytes(b"")
    (folder / "notes.txt").write_text("not audio")
    dataset = open_dataset("folder", folder, fold_count=3)
    assert dataset.name == "folder-my-sounds"
    assert dataset.labels == ("hiss", "hum")
    assert len(dataset.clips) == 12
    folds = defaultdict(set)
    for clip in dataset.clips:
        folds[clip.group].add(clip.part)
    assert {group: len(found) for group, found in folds.items()} == {"place-0": 1, "place-1": 1, "place-2": 1}
    assert dataset.parts == ("1", "2", "3")


def test_a_table_says_the_same(folder: Path) -> None:
    """The same files by a table with groups get the same folds; given folds are kept."""
    rows = rows_of(folder)
    write_table(folder / "clips.csv", rows)
    by_table, by_folder = open_dataset("csv", folder, fold_count=3), open_dataset("folder", folder, fold_count=3)
    assert {(c.path, c.part) for c in by_table.clips} == {(c.path, c.part) for c in by_folder.clips}
    write_table(folder / "clips.csv", [{**row, "fold": "AB"[row["group"] == "place-0"], "device": "d"} for row in rows])
    given_folds = open_dataset("csv", folder / "clips.csv")
    assert given_folds.parts == ("A", "B")
    assert {clip.device for clip in given_folds.clips} == {"d"}


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 12)), min_size=1, max_size=80),
    st.integers(2, 4),
)
def test_folds_keep_groups_whole_and_classes_spread(clips: list[tuple[str, int]], fold_count: int) -> None:
    """No group is split, the same clips give the same folds, and where each group has one class every fold has each."""
    labels, groups = [label for label, _ in clips], [f"{label}{number}" for label, number in clips]
    try:
        folds = assign_folds(labels, groups, fold_count)
    except DatasetError:
        assert min(len({g for g in groups if g[0] == label}) for label in set(labels)) < fold_count
        return
    assert folds == assign_folds(labels, groups, fold_count)
    assert len(set(zip(groups, folds, strict=True))) == len(set(groups))
    for label in set(labels):
        assert len({fold for fold, other in zip(folds, labels, strict=True) if other == label}) == fold_count


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "hum/place-0/0.wav"}, "names hum/place-0/0.wav more than once"),
        ({"path": "./click/../hum//place-0/0.wav"}, "names hum/place-0/0.wav more than once"),
        ({"label": ""}, "line 13 has no path or no label"),
        ({"path": "hum/nowhere.wav"}, "nowhere.wav; correct the column path of .*clips.csv"),
        ({"label": "whistle"}, "class 'whistle' comes from 1 group"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, change: dict[str, str], message: str) -> None:
    """One line says which row, and what to do."""
    rows = rows_of(folder)
    write_table(folder / "clips.csv", [*rows[:-1], {**rows[-1], **change}])
    with pytest.raises(DatasetError, match=message):
        open_dataset("csv", folder, fold_count=3)


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8-sig"), (";", "utf-8-sig"), ("\t", "utf-8")])
def test_a_table_as_spreadsheets_save_it(folder: Path, delimiter: str, encoding: str) -> None:
    """With a byte order mark, semicolons or tabs, spaces, and lines that end as on Windows, it is the same table."""
    rows = rows_of(folder)
    write_table(folder / "clips.csv", rows)
    plain = open_dataset("csv", folder, fold_count=3)
    lines = [f" {delimiter}".join(row) for row in (list(rows[0]), *(list(row.values()) for row in rows))]
    (folder / "clips.csv").write_text("\r\n".join([*lines, "", ""]), encoding=encoding, newline="")
    assert open_dataset("csv", folder, fold_count=3) == plain
    (folder / "clips.csv").write_text("\n".join(f"{line}{delimiter}{delimiter}" for line in lines), encoding=encoding)
    assert open_dataset("csv", folder, fold_count=3) == plain, "empty columns to the right, as spreadsheets leave them"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Path,Label\na,b\n", r"lacks the column path, label; it has Path, Label"),
        ("path,label\na.wav,dog, barking\n", r"line 2 has 3 columns, and the header 2; put a value that holds"),
        ("path,label\n\na.wav\n", r"line 3 has 1 columns, and the header 2"),
        ("path,label,label\na.wav,dog,cat\n", r"has the column 'label' more than once; leave one"),
        ("", r"lacks the column path, label"),
        ("path,label\n", r"holds no rows"),
    ],
)
def test_a_table_of_another_shape_is_named(folder: Path, content: str, message: str) -> None:
    """Other columns, and rows that a comma has cut into more pieces, say what is there and where."""
    (folder / "clips.csv").write_text(content)
    with pytest.raises(DatasetError, match=message):
        open_dataset("csv", folder)
    with pytest.raises(DatasetError, match=r"no such table; --data-dir must name it"):
        open_dataset("csv", folder / "nowhere.csv")


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        (("1", "2", "3"), (("1", "2"), ("3",))),
        (("train", "test", "test"), (("train",), ("test",))),
        (("Training", "dev", "Test"), (("Training",), ("Test",))),
        (("train", "evaluate", "dev"), (("train",), ("dev", "evaluate"))),
    ],
)
def test_folds_that_say_what_they_are_for_are_heeded(
    folder: Path, folds: tuple[str, ...], expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    """A table's train is trained on and its test tested; of numbered folds, the last is the test."""
    fold_of = dict(zip(("place-0", "place-1", "place-2"), folds, strict=True))
    write_table(folder / "clips.csv", [{**row, "fold": fold_of[row["group"]]} for row in rows_of(folder)])
    dataset = open_dataset("csv", folder)
    assert (dataset.train_parts, dataset.test_parts) == expected


def test_a_class_that_is_never_trained_on_is_refused(folder: Path) -> None:
    """A network could only ever call it something else."""
    rows = rows_of(folder)
    folds = ["2" if row["label"] == "hum" else str(1 + index % 2) for index, row in enumerate(rows)]
    write_table(
        folder / "clips.csv", [{**row, "group": "", "fold": fold} for row, fold in zip(rows, folds, strict=True)]
    )
    dataset = open_dataset("csv", folder)
    Selection(dataset, ("2",), ("1",))
    with pytest.raises(DatasetError, match="has no clip of hum to train on in 1; give it one there, name"):
        Selection(dataset, ("1",), ("2",))


def test_a_group_on_both_sides_is_refused(folder: Path) -> None:
    """What was trained on would be tested."""
    rows = [{**row, "fold": str(number % 2)} for number, row in enumerate(rows_of(folder))]
    write_table(folder / "clips.csv", rows)
    with pytest.raises(DatasetError, match="groups in more than one fold: place-0"):
        open_dataset("csv", folder)


def test_too_few_classes_or_groups_are_refused(folder: Path, tmp_path: Path) -> None:
    """A class that is alone, empty, or from one place cannot be learnt and tested."""
    with pytest.raises(DatasetError, match="comes from 3 groups, and 5 folds need as many"):
        open_dataset("folder", folder)
    (folder / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty hold no audio"):
        open_dataset("folder", folder, fold_count=3)
    with pytest.raises(DatasetError, match="at least two folders"):
        open_dataset("folder", tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset("folder", tmp_path / "nowhere")


def test_the_inspection_finds_what_deserves_a_look(folder: Path) -> None:
    """Silence, clipping, doubles, short and unreadable clips are named, others are not."""
    write(folder / "hum" / "place-0" / "silent.wav", np.zeros(RATE_HZ))
    write(folder / "hum" / "place-1" / "loud.wav", np.sign(sound("hum", 1)))
    write(folder / "hiss" / "place-2" / "short.wav", sound("hiss", 9, 0.2), 8_000)
    write(folder / "hiss" / "place-1" / "twin.wav", sound("hum", 0))
    (folder / "hum" / "place-2" / "torn.wav").write_bytes(b"RIFF")
    dataset = open_dataset("folder", folder, fold_count=3)
    text = format_inspection(dataset, inspect_clips(dataset), 1.0)
    assert "1 silent, below -80 dBFS: hum/place-0/silent.wav" in text
    assert "1 clipped, more than 0.1 % of the samples at full scale: hum/place-1/loud.wav" in text
    assert "1 shorter than a window of 1.0 s, and repeated to fill it: hiss/place-2/short.wav" in text
    assert "the same sound, under different label and fold and group: hiss/place-1/twin.wav, hum/place-0/0.wav" in text
    assert "1 cannot be read: hum/place-2/torn.wav" in text
    assert "8000 Hz: 1, 16000 Hz: 15" in text


def test_a_sound_in_several_folds_is_remarked(folder: Path, tmp_path: Path) -> None:
    """Whoever trains without having looked is told too: copies of a recording are no test of it."""

    class Listener(Reporter):
        heard: ClassVar[list[str]] = []

        def remark(self, text: str) -> None:
            self.heard.append(text)

    write(folder / "hum" / "place-1" / "copy.wav", sound("hum", 0))
    write(folder / "hum" / "place-0" / "copy.wav", sound("hum", 1))
    plan = Plan(make_tiny_recipe(), "folder", folder, tmp_path / "cache", fold_count=3)
    prepare_run(plan, Listener())
    assert Listener.heard == [
        "the same sound lies in several folds, and is tested by networks that were trained on it: "
        "hum/place-0/0.wav, hum/place-1/copy.wav"
    ]
    prepare_run(plan, Listener())
    assert len(Listener.heard) == 1, "once is enough"


def test_prepare_says_what_cannot_be_read_before_it_begins(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable file ends it with one line; left out on demand, everything else is prepared."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(RECIPE)
    (folder / "hum" / "place-2" / "torn.wav").write_bytes(b"RIFF")
    words = ["prepare", "--dataset", "folder", "--data-dir", str(folder), "--folds", "3", "--recipe", "tiny.toml"]
    assert main(words) == 2
    told = capsys.readouterr()
    assert "torn.wav" in told.err.splitlines()[-1]
    assert "--skip-unreadable" in told.err.splitlines()[-1]
    assert "spectrograms" not in told.err
    assert main([*words, "--skip-unreadable"]) == 0
    assert "folder-my-sounds: 12 clips, 12 windows" in capsys.readouterr().out
    with Path("runs/cache/folder-my-sounds-clips.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 12


def test_a_bundle_is_not_tested_on_what_it_may_have_heard(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other folds, or recordings that came or went, have moved clips from part to part, parts say nothing."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(RECIPE)
    (folder / "hum" / "place-2" / "torn.wav").write_bytes(b"RIFF")
    data = ["--data-dir", str(folder), "--folds", "3", "--skip-unreadable"]
    assert main(["run", "folder", *data, "--recipe", "tiny.toml", "--epochs", "1", "--out", "bundle"]) == 0
    test = ["evaluate", "--bundle", "bundle", "--dataset", "folder"]
    assert main([*test, *data]) == 0
    capsys.readouterr()
    for options in (["--data-dir", str(folder), "--folds", "2", "--skip-unreadable"], data[:-1]):
        assert main([*test, *options]) == 2
        assert "are no longer what the bundle was trained on" in capsys.readouterr().err
    write(folder / "hum" / "place-3" / "new.wav", sound("hum", 9))
    assert main([*test, *data]) == 2
    assert main(["calibrate", "--bundle", "bundle", "--out", "calibrated", "--dataset", "folder", *data]) == 2
    assert capsys.readouterr().err.count("are no longer what the bundle was trained on") == 2
    folder.rename(tmp_path / "other sounds")
    assert main([*test, "--data-dir", "other sounds", "--folds", "3", "--skip-unreadable"]) == 0


@needs_names_of_any_bytes
def test_a_name_need_not_be_text(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recordings named in Latin-1 are prepared, trained on and spoilt as any others; classes need text."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(RECIPE)
    for path in folder.rglob("0.wav"):
        path.rename(path.with_name(NAME_NO_TEXT))
    words = ["folder", "--data-dir", str(folder), "--folds", "3", "--recipe", "tiny.toml"]
    assert main(["prepare", *words]) == 0
    table = Path("runs/cache/folder-my-sounds-clips.csv").read_text(encoding="utf-8")
    assert table.count("caf\\udce9.wav") == 6
    assert main(["fit", *words, "--epochs", "1", "--networks", "mel", "--run", "run"]) == 0
    for distortion in standard_distortions():
        distortion.write(next(folder.rglob(NAME_NO_TEXT)), tmp_path / "spoilt")
    capsys.readouterr()
    (folder / "hum").rename(folder / NAME_NO_TEXT)
    assert main(["prepare", *words]) == 2
    assert "cannot name a class; rename it, in printable UTF-8" in capsys.readouterr().err


def test_a_table_leaves_out_what_cannot_be_read_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`reproduce --skip-unreadable` is laid on a plan without the file, as every other stage is."""
    monkeypatch.chdir(tmp_path)
    (folder / "hum" / "place-2" / "torn.wav").write_bytes(b"RIFF")
    plans: list[Plan] = []
    monkeypatch.setattr(run, "reproduce", lambda _, plan, *__, **___: plans.append(plan))
    words = ["reproduce", "figure3", "folder", "--data-dir", str(folder), "--folds", "3"]
    assert main(words) == main([*words, "--skip-unreadable"]) == 0
    assert [len(plan.dataset().clips) for plan in plans] == [13, 12]


def test_what_a_phone_writes_is_not_passed_over(folder: Path, tmp_path: Path) -> None:
    """A format that cannot be read is named as any clip that cannot; other files are none of our business."""
    (folder / "hum" / "place-1" / "memo.M4A").write_bytes(b"\0\0\0\x20ftypM4A ")
    (folder / "hum" / "place-1" / "notes.txt").write_text("a quiet day")
    facts = inspect_clips(open_dataset("folder", folder, fold_count=3))
    assert [Path(one.path).name for one in facts if one.error] == ["memo.M4A"]
    with pytest.raises(DatasetError, match=r"memo\.M4A: not an audio file .* Write them again as WAV or FLAC"):
        require_readable(facts)


def test_a_killed_process_is_one_line_and_nothing_is_lost(folder: Path, tmp_path: Path) -> None:
    """When the system kills one of two processes, as it does for lack of memory, the same command then goes on."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    words = ["prepare", "--dataset", "folder", "--data-dir", str(folder), "--folds", "3", "--recipe", "tiny.toml"]
    command = [sys.executable, "-m", "soundscene_train", *words, "--jobs", "2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (workers := [child for child in children.read_text().split() if _is_worker(child)]):
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(int(workers[0]), signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a process was killed from outside" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0


def _is_worker(process: str) -> bool:
    """Tell a worker from the process that watches over shared memory."""
    words = Path(f"/proc/{process}/cmdline").read_bytes()
    return b"popen_loky_posix" in words


def test_cross_validation_tests_every_clip_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fold by networks that have not met its groups; together they are all clips; again, nothing is left to do."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(RECIPE)
    words = ["cross-validate", "--dataset", "folder", "--data-dir", str(folder), "--folds", "2"]
    words += ["--recipe", "tiny.toml", "--epochs", "40"]
    assert main(words) == 0
    first = capsys.readouterr()
    home = Path("runs/folder-tiny-folds")
    report = json.loads((home / "evaluation.json").read_text())
    fused = report["results"][report["rule"]]
    assert fused["clip_count"] == 12
    assert sum(fold["clip_count"] for fold in report["folds"].values()) == 12
    assert sum(fold["correct_count"] for fold in report["folds"].values()) == fused["correct_count"]
    assert fused["correct_count"] >= 9, "a hum and a hiss"
    for part in report["folds"]:
        plan = json.loads((home / f"fold-{part}" / "plan.json").read_text())
        assert plan["test_parts"] == [part]
        assert part not in plan["train_parts"]
    assert (home / "report.html").is_file()
    assert main(words) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "training" not in again.err
