"""A user's own recordings: a folder for each class, or a table of files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from os.path import normpath, relpath
from pathlib import Path
from typing import Final

from soundscene_train.datasets.clips import Clip, Dataset
from soundscene_train.datasets.folds import assign_folds, require_groups_apart
from soundscene_train.datasets.tables import read_table, require_audio, require_folder, require_spelt
from soundscene_train.errors import DatasetError
from soundscene_train.listing import first_few

__all__ = ["open_csv", "open_folder", "own_name", "sound_files"]

_SUFFIXES: Final = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64"}
    | {".m4a", ".aac", ".mp4", ".3gp", ".amr", ".wma", ".webm", ".mka", ".ape", ".wv"}
)
"""Sound by its name; the second line is what libsndfile does not read, and what must not be passed over in silence."""

_CITATION: Final = "The user's own recordings."


def open_folder(folder: Path, fold_count: int) -> Dataset:
    """Read a folder that holds one folder per class.

    A file's group is the folder it lies in below its class (`rain/garden/01.wav` and `wind/garden/07.wav` share the
    group `garden`); a file that lies in its class's folder itself is a group of its own.

    Parameters
    ----------
    folder : Path
        Audio files elsewhere than below a class are not looked at, nor are hidden ones.
    fold_count : int >= 2
        Folds to share the groups among.

    Raises
    ------
    DatasetError
        There are fewer than two classes, one is empty, or one comes from too few groups.
    """
    require_folder(folder, "a folder that holds one folder of recordings per class")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    clips = [clip for home in classes for clip in _clips_of_class(home)]
    empty = sorted({home.name for home in classes} - {clip.label for clip in clips})
    if len(classes) < 2 or empty:
        what = (
            f"{', '.join(empty)} hold no audio: move elsewhere what is no class"
            if empty
            else f"it holds {len(classes)}"
        )
        raise DatasetError(f"{folder}: expected at least two folders of recordings, one per class; {what}")
    return _make("folder", folder, clips, None, fold_count)


def open_csv(path: Path, fold_count: int) -> Dataset:
    """Read a table with the columns path and label, and if it has them group, device and fold.

    Parameters
    ----------
    path : Path
        The table, or a folder with `clips.csv`. Paths in it start from where it lies.
    fold_count : int >= 2
        Folds to share the groups among, where the table names none.

    Raises
    ------
    DatasetError
        The table is not in this layout, a column is misspelt, a file is missing or named twice, or a group lies in two
        folds.
    """
    table = path / "clips.csv" if path.is_dir() else path
    if not table.is_file():
        raise DatasetError(f"{table}: no such table; --data-dir must name it, or the folder of a clips.csv")
    rows = read_table(table, ("path", "label"))
    require_spelt(table, rows[0], ("group", "device", "fold"))
    files = Counter(normpath(table.parent / row["path"]) for row in rows)
    twice = [relpath(name, table.parent) for name, count in files.items() if count > 1]
    if twice:
        raise DatasetError(f"{table}: names {twice[0]} more than once; leave one of the rows")
    blank = [str(number) for number, row in enumerate(rows, start=2) if not (row["path"] and row["label"])]
    if blank:
        raise DatasetError(f"{table}: line {first_few(blank)} has no path or no label; fill it in or leave it out")
    clips = [
        Clip(
            path=table.parent / row["path"],
            label=row["label"],
            part=row.get("fold", ""),
            group=row.get("group", "") or row["path"],
            device=row.get("device", ""),
        )
        for row in rows
    ]
    if len({clip.label for clip in clips}) < 2:
        raise DatasetError(f"{table}: expected at least two labels, found {clips[0].label!r} alone")
    folds = [clip.part for clip in clips] if "fold" in rows[0] else None
    if folds is not None and not all(folds):
        raise DatasetError(f"{table}: some rows have no fold; fill in all of them, or leave the column out")
    require_audio(clips, f"correct the column path of {table}, or leave the rows out")
    return _make("csv", table.parent, clips, folds, fold_count)


def own_name(path: Path) -> str:
    """Return what recordings are called: their folder's name in small letters, digits and hyphens; it may be empty.

    Parameters
    ----------
    path : Path
        The folder, or a table in it.
    """
    folder = path.resolve()
    return re.sub(r"[^a-z0-9]+", "-", (folder.parent if folder.is_file() else folder).name.lower()).strip("-")


def sound_files(home: Path) -> Iterator[Path]:
    """Yield what is sound by its name, in a folder and below it, in order; hidden files and folders are left out."""
    for path in sorted(home.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(home).parts)
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not is_hidden:
            yield path


def _clips_of_class(home: Path) -> Iterator[Clip]:
    for path in sound_files(home):
        below = path.relative_to(home).parts
        group = below[0] if len(below) > 1 else f"{home.name}/{path.name}"
        yield Clip(path, home.name, "", group)


def _make(kind: str, folder: Path, clips: Sequence[Clip], folds: Sequence[str] | None, fold_count: int) -> Dataset:
    labels, groups = [clip.label for clip in clips], [clip.group for clip in clips]
    odd = sorted({label for label in labels if not label.isprintable()})
    if odd:
        raise DatasetError(f"{folder}: {odd[0]!r} cannot name a class; rename it, in printable UTF-8")
    if folds is None:
        folds = assign_folds(labels, groups, fold_count)
    require_groups_apart(groups, folds)
    parts = sorted(set(folds))
    if len(parts) < 2:
        raise DatasetError(f"{folder}: expected at least two folds, found {parts[0]!r} alone")
    train_parts, test_parts = _split(parts)
    return Dataset(
        name=f"{kind}-{own_name(folder)}".strip("-"),
        labels=tuple(sorted(set(labels))),
        clips=tuple(
            Clip(clip.path, clip.label, fold, clip.group, clip.device) for clip, fold in zip(clips, folds, strict=True)
        ),
        train_parts=train_parts,
        test_parts=test_parts,
        citation=_CITATION,
    )


def _split(parts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is trained on and tested on where the user names neither: what is called so, or the last is the test."""
    called = {part.lower(): part for part in parts}
    train = called.get("train", called.get("training"))
    if train is None:
        return tuple(parts[:-1]), (parts[-1],)
    rest = tuple(part for part in parts if part != train)
    return (train,), (called["test"],) if "test" in called else rest
