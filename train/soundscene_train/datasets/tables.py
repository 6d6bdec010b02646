"""Reading the small tables that data sets come with, with one clear line for what is wrong."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from soundscene_train.datasets.clips import Clip
from soundscene_train.errors import DatasetError
from soundscene_train.listing import first_few

__all__ = ["read_table", "require_audio", "require_folder", "require_spelt"]

_DELIMITERS: Final = (",", ";", "\t")
_ALIKE: Final = 0.75  # of four letters one may differ, or two be swapped
_FEW_LETTERS: Final = 2


def require_folder(path: Path, what: str) -> None:
    """Refuse a folder that is not there."""
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder; --data-dir must name {what}")


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a table with a header line, as published or as a spreadsheet saves it.

    Its delimiter is what the header has most of: commas, semicolons or tabs. Values lose spaces around them.

    Raises
    ------
    DatasetError
        It is missing, empty, not text, lacks a column or has one twice, or a row is not as long as the header.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such table; the data set is not in the expected layout")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            delimiter = max(_DELIMITERS, key=stream.readline().count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                raise DatasetError(f"{path}: lacks the column {', '.join(missing)}; it has {', '.join(header)}")
            twice = [name for name in header if name and header.count(name) > 1]
            if twice:
                raise DatasetError(f"{path}: has the column {twice[0]!r} more than once; leave one of them")
            rows = [_named(values, header, f"{path}: line {reader.line_num}") for values in reader if values]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a readable table ({error}); save it as CSV in UTF-8") from error
    if not rows:
        raise DatasetError(f"{path}: holds no rows below its header; expected one for each clip: fill it in")
    return rows


def require_spelt(path: Path, header: Collection[str], optional: Iterable[str]) -> None:
    """Refuse a column that is all but called as an optional one that is not there: it would be passed over.

    Raises
    ------
    DatasetError
        The name differs by case, or by a letter or two.
    """
    absent = [name for name in optional if name not in header]
    for name in header:
        for meant in get_close_matches(name.lower(), absent, n=1, cutoff=_ALIKE):
            if abs(len(name) - len(meant)) <= _FEW_LETTERS:
                raise DatasetError(
                    f"{path}: has no column {meant!r}, but {name!r}; call it {meant!r} if it is meant to be that, or "
                    "something less alike"
                )


def _named(values: list[str], header: list[str], place: str) -> dict[str, str]:
    if len(values) != len(header):
        counts = f"{len(values)} columns, and the header {len(header)}"
        raise DatasetError(f"{place} has {counts}; put a value that holds a delimiter in quotes")
    return {name: value.strip() for name, value in zip(header, values, strict=True)}


def require_audio(clips: Iterable[Clip], advice: str = "fetch the data set again") -> tuple[Clip, ...]:
    """Refuse clips whose file is not there, naming the first few."""
    kept = tuple(clips)
    missing = [clip.path for clip in kept if not clip.path.is_file()]
    if missing:
        raise DatasetError(f"audio is missing: {first_few(missing)}; {advice}")
    return kept
