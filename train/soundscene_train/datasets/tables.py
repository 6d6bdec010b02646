"""Reading the small tables that data sets come with, with one clear line for what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from soundscene_train.datasets.clips import Clip
from soundscene_train.errors import DatasetError

__all__ = ["read_table", "require_audio", "require_folder"]

_SHOWN = 3


def require_folder(path: Path, what: str) -> None:
    """Refuse a folder that is not there."""
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder; --data-dir must name {what}")


def read_table(path: Path, columns: Iterable[str], delimiter: str) -> list[dict[str, str]]:
    """Read a table with a header line.

    Raises
    ------
    DatasetError
        It is missing, empty, not text, or lacks a column.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such table; the data set is not in the expected layout")
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream, delimiter=delimiter)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DatasetError(f"{path}: lacks the column {', '.join(missing)}")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a readable table ({error})") from error
    if not rows:
        raise DatasetError(f"{path}: holds no rows")
    if any(value is None for row in rows for value in row.values()):
        raise DatasetError(f"{path}: has a row with too few columns")
    return rows


def require_audio(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Refuse clips whose file is not there, naming the first few."""
    kept = tuple(clips)
    missing = [clip.path for clip in kept if not clip.path.is_file()]
    if missing:
        names = ", ".join(str(path) for path in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise DatasetError(f"audio is missing: {names}{more}; fetch the data set again")
    return kept
