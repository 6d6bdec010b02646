"""ESC-10 and ESC-50 in their official layout: `meta/esc50.csv` and `audio/`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from soundscene_train.datasets.clips import Clip, Dataset
from soundscene_train.datasets.tables import read_table, require_audio, require_folder
from soundscene_train.errors import DatasetError

__all__ = ["open_esc10"]

_CITATION: Final = (
    "K. J. Piczak, ESC: Dataset for Environmental Sound Classification, ACM Multimedia 2015, "
    "doi:10.1145/2733373.2806390; ESC-10, doi:10.7910/DVN/YDEPUT, Creative Commons Attribution 3.0. Its clips are "
    "from freesound.org under CC0, CC BY or Sampling+; the data set's attribution file names the author of each."
)
_SUFFIXES: Final = (".wav", ".ogg", ".flac")


def open_esc10(folder: Path) -> Dataset:
    """Read ESC-10, alone or as the part of ESC-50 that its table marks.

    Parameters
    ----------
    folder : Path
        Holds `meta/esc50.csv` with the columns filename, fold and category, and `audio/`. Where the table has a column
        `esc10`, its rows marked True are taken. A file may be there under another audio suffix than the table's.

    Returns
    -------
    Dataset
        Parts are the folds "1" to "5", as far as they are there; groups are the freesound recordings.

    Raises
    ------
    DatasetError
        Something is missing or not in this layout.
    """
    require_folder(folder, "a folder with meta/esc50.csv and audio/")
    table = folder / "meta" / "esc50.csv"
    rows = read_table(table, ("filename", "fold", "category"))
    rows = [row for row in rows if row.get("esc10", "True").strip().lower() == "true"]
    if not rows:
        raise DatasetError(f"{table}: marks no row as ESC-10")
    clips = require_audio(
        Clip(
            path=_audio_path(folder / "audio", row["filename"]),
            label=row["category"],
            part=row["fold"],
            group=row.get("src_file", "") or row["filename"],
        )
        for row in sorted(rows, key=lambda row: row["filename"])
    )
    folds = tuple(sorted({clip.part for clip in clips}))
    return Dataset(
        name="esc10",
        labels=tuple(sorted({clip.label for clip in clips})),
        clips=clips,
        train_parts=folds[:-1] or folds,
        test_parts=folds[-1:] if len(folds) > 1 else (),
        citation=_CITATION,
    )


def _audio_path(folder: Path, file_name: str) -> Path:
    """Return the file as the table names it, or under another suffix."""
    named = folder / Path(file_name).name
    for candidate in (named, *(named.with_suffix(suffix) for suffix in _SUFFIXES)):
        if candidate.is_file():
            return candidate
    return named
