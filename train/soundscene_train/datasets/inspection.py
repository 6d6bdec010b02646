"""What is in a data set, and what is wrong with it, before hours are spent on it."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from os.path import commonpath, relpath
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from soundscene.audio_files import AudioFile
from soundscene.errors import AudioError
from soundscene_train.datasets.clips import Clip, Dataset
from soundscene_train.errors import DatasetError
from soundscene_train.files import writing
from soundscene_train.listing import first_few
from soundscene_train.processes import side_by_side
from soundscene_train.progress import Progress

__all__ = [
    "ClipFacts",
    "format_inspection",
    "inspect_clips",
    "leaks",
    "require_readable",
    "unreadable",
    "write_inspection",
]

_CLIPPED_LEVEL: Final = 0.999
_CLIPPED_SHARE: Final = 0.001
_SILENT_DBFS: Final = -80.0
_MAX_ENERGY: Final = float(np.finfo(np.float32).max)  # the front end refuses a window that has more


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What a clip's file turned out to be.

    Parameters
    ----------
    path, label, group, device, fold : str
        As the data set has them.
    seconds, rate_hz : float, int
        Length and rate; 0 where it cannot be read.
    level_dbfs, peak_dbfs : float
        RMS and largest sample against full scale; -inf for digital silence.
    clipped_share : float in [0, 1]
        Samples at full scale.
    digest : str
        SHA-256 of the sound, which two files may share.
    error : str
        Why it cannot be used; empty where it can.
    """

    path: str
    label: str
    group: str
    device: str
    fold: str
    seconds: float = 0.0
    rate_hz: int = 0
    level_dbfs: float = -math.inf
    peak_dbfs: float = -math.inf
    clipped_share: float = 0.0
    digest: str = ""
    error: str = ""


def inspect_clips(dataset: Dataset, jobs: int = 1, progress: Progress | None = None) -> list[ClipFacts]:
    """Decode every clip once.

    Parameters
    ----------
    dataset : Dataset
        What to look at.
    jobs : int > 0
        Processes.
    progress : callable or None
        Told clips done and clips in all.
    """
    found = []
    for facts in side_by_side(_inspect, dataset.clips, jobs):
        found.append(facts)
        if progress is not None:
            progress(len(found), len(dataset.clips))
    return found


def unreadable(facts: Iterable[ClipFacts]) -> list[ClipFacts]:
    """Return those that cannot be used."""
    return [one for one in facts if one.error]


def require_readable(facts: Iterable[ClipFacts]) -> None:
    """Refuse a data set with clips that cannot be used.

    Raises
    ------
    DatasetError
        Naming the first few, and the ways out.
    """
    bad = unreadable(facts)
    if bad:
        names = first_few((one.error for one in bad), "; ")
        raise DatasetError(
            f"{names}. Write them again as WAV or FLAC, remove them, or leave them out with --skip-unreadable"
        )


def leaks(facts: Sequence[ClipFacts]) -> str:
    """Say which sounds lie in more than one fold, where a test would hear what was trained on; nothing if none does."""
    shared = [same for same in _twins(one for one in facts if not one.error) if len({one.fold for one in same}) > 1]
    if not shared:
        return ""
    names = first_few((_names(same, _home_of(facts)) for same in shared), "; ")
    return f"the same sound lies in several folds, and is tested by networks that were trained on it: {names}"


def format_inspection(dataset: Dataset, facts: Sequence[ClipFacts], window_seconds: float) -> str:
    """Say in plain text what is there, and what deserves a look."""
    good = [one for one in facts if not one.error]
    lines = [f"{dataset.name}: {len(facts)} clips, {sum(one.seconds for one in good) / 60:.1f} minutes", ""]
    lines += _table(dataset, good)
    if good:
        seconds, levels = [one.seconds for one in good], [one.level_dbfs for one in good]
        rates = Counter(one.rate_hz for one in good)
        lines += [
            "",
            f"length   {min(seconds):.2f} to {max(seconds):.2f} s, median {median(seconds):.2f} s",
            f"level    {min(levels):.1f} to {max(levels):.1f} dBFS, median {median(levels):.1f} dBFS",
            "rate     " + ", ".join(f"{rate} Hz: {count}" for rate, count in sorted(rates.items())),
        ]
        devices = Counter(one.device for one in good if one.device)
        if devices:
            lines.append("device   " + ", ".join(f"{name}: {count}" for name, count in sorted(devices.items())))
    remarks = _remarks(facts, window_seconds)
    return "\n".join([*lines, "", *(remarks or ["nothing to remark"])]) + "\n"


def write_inspection(path: Path, facts: Sequence[ClipFacts]) -> None:
    """Write one line per clip as CSV.

    Raises
    ------
    DatasetError
        The file cannot be written.
    """
    with writing(path, error_type=DatasetError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(ClipFacts)])
            writer.writeheader()
            writer.writerows(asdict(one) for one in facts)


def _inspect(clip: Clip) -> ClipFacts:
    names = (str(clip.path), clip.label, clip.group, clip.device, clip.part)
    digest, square, peak, clipped = hashlib.sha256(), 0.0, 0.0, 0
    try:
        with AudioFile(clip.path) as audio:
            for block in audio.blocks():
                digest.update(block.tobytes())
                square += float(np.square(block, dtype=np.float64).sum())
                size = np.abs(block)
                peak = max(peak, float(size.max()))
                clipped += int((size >= _CLIPPED_LEVEL).sum())
            count, rate_hz, error = audio.sample_count, audio.sample_rate_hz, audio.defect or ""
    except AudioError as refusal:
        return ClipFacts(*names, error=str(refusal))
    if square > _MAX_ENERGY:
        error = f"{clip.path}: holds absurd values, up to {peak:.3g} where full scale is 1.0"
    return ClipFacts(
        *names,
        seconds=count / rate_hz,
        rate_hz=rate_hz,
        level_dbfs=_decibels(math.sqrt(square / count)),
        peak_dbfs=_decibels(peak),
        clipped_share=clipped / count,
        digest=digest.hexdigest(),
        error=error,
    )


def _decibels(amplitude: float) -> float:
    return 20.0 * math.log10(amplitude) if amplitude > 0.0 else -math.inf


def _table(dataset: Dataset, facts: Sequence[ClipFacts]) -> list[str]:
    """Clips and groups of each class, by fold."""
    width = max(len(label) for label in (*dataset.labels, "class")) + 2
    counts = Counter((one.label, one.fold) for one in facts)
    groups = defaultdict(set)
    for one in facts:
        groups[one.label].add(one.group)
    head = "".join(f"{part:>10}" for part in dataset.parts)
    rows = [f"{'class':<{width}}{'clips':>8}{'groups':>8}{head}   by part"]
    for label in dataset.labels:
        by_part = "".join(f"{counts[label, part]:>10}" for part in dataset.parts)
        total = sum(counts[label, part] for part in dataset.parts)
        rows.append(f"{label:<{width}}{total:>8}{len(groups[label]):>8}{by_part}")
    return rows


def _remarks(facts: Sequence[ClipFacts], window_seconds: float) -> list[str]:
    good = [one for one in facts if not one.error]
    kinds = {
        "cannot be read": unreadable(facts),
        "silent, below -80 dBFS": [one for one in good if one.peak_dbfs < _SILENT_DBFS],
        "clipped, more than 0.1 % of the samples at full scale": [
            one for one in good if one.clipped_share > _CLIPPED_SHARE
        ],
        f"shorter than a window of {window_seconds:.1f} s, and repeated to fill it": [
            one for one in good if one.seconds < window_seconds
        ],
    }
    home = _home_of(facts)
    lines = [f"{len(found)} {what}: {_names(found, home)}" for what, found in kinds.items() if found]
    for same in _twins(good):
        differ = [what for what in ("label", "fold", "group") if len({getattr(one, what) for one in same}) > 1]
        lines.append(
            f"the same sound{', under different ' + ' and '.join(differ) if differ else ''}: {_names(same, home)}"
        )
    return lines


def _twins(facts: Iterable[ClipFacts]) -> list[list[ClipFacts]]:
    """Clips that hold the same sound, where there are two or more."""
    found = defaultdict(list)
    for one in facts:
        found[one.digest].append(one)
    return [same for same in found.values() if len(same) > 1]


def _home_of(facts: Sequence[ClipFacts]) -> str:
    """The folder that holds all clips."""
    return commonpath([Path(one.path).absolute().parent for one in facts])


def _names(facts: Sequence[ClipFacts], home: str) -> str:
    """The first few, as they are called below a folder."""
    return first_few(relpath(one.path, home) for one in facts)
