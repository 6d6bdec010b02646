"""The synthetic city: a data set in the layout of TAU Urban Acoustic Scenes that needs no download.

Ten scenes in made-up places of six cities, recorded by different devices in turn. Places are never shared between
training and evaluation, and the devices s4 to s6 are met only in the evaluation, as in the TAU data.
"""

from __future__ import annotations

import csv
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from soundscene.errors import SettingsError
from soundscene_train.datasets.devices import DEVICES, SEEN_DEVICES, record
from soundscene_train.errors import DatasetError
from soundscene_train.files import reading, whole, write_json, writing
from soundscene_train.progress import Progress

__all__ = ["CitySettings", "build_city", "require_city"]

_CITIES: Final = ("avalon", "brigadoon", "camelot", "duckburg", "emerald", "freedonia")

_NOTE: Final = "city.json"

_FIRST_EVALUATION_LOCATION: Final = 500
"""Locations are numbered from 0 in training and from here in evaluation."""


@dataclass(frozen=True, slots=True)
class CitySettings:
    """Size of the synthetic city.

    Parameters
    ----------
    train_clips_per_scene, evaluate_clips_per_scene : int > 0
        Clips of each of the ten scenes.
    clip_seconds : float > 0
        Length of a clip.
    sample_rate_hz : int >= 8000
        Rate of the files.
    seed : int >= 0
        Another seed is another city.

    Raises
    ------
    SettingsError
        A field is outside its range.
    """

    train_clips_per_scene: int = 24
    evaluate_clips_per_scene: int = 18
    clip_seconds: float = 10.0
    sample_rate_hz: int = 44_100
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every range."""
        counts = self.train_clips_per_scene, self.evaluate_clips_per_scene
        if min(counts) < 1:
            raise SettingsError(f"the synthetic city needs at least one clip per scene and part, got {counts}")
        if self.clip_seconds <= 0.0 or self.sample_rate_hz < 8000 or self.seed < 0:
            raise SettingsError(f"the synthetic city needs seconds above 0, 8000 Hz or more and a seed, got {self}")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Segment:
    """One clip before it is made."""

    part: str
    scene: str
    city: str
    location: int
    number: int
    device: str

    @property
    def file_name(self) -> str:
        return f"audio/{self.scene}-{self.city}-{self.location}-{self.number}-{self.device}.wav"


def require_city(folder: Path, settings: CitySettings) -> None:
    """Refuse a folder that does not hold a city, whole.

    Raises
    ------
    DatasetError
        The city is not there or not finished, or the folder holds something else or another city.
    """
    with reading(folder, "a synthetic city", "name another --data-dir", error_type=DatasetError):
        is_complete = _is_complete(folder, folder / _NOTE, settings)
    if not is_complete:
        raise DatasetError(
            f"{folder} holds no finished synthetic city; `soundscene-train prepare synthetic --data-dir {folder}` "
            "makes one, with --quick a small one"
        )


def build_city(folder: Path, settings: CitySettings, progress: Progress | None = None) -> None:
    """Write the data set, going on where an interrupted call stopped; one that is complete is left alone.

    Of several runs that need the same city, one makes it and the others wait.

    Parameters
    ----------
    folder : Path
        Its root. A folder with anything else in it is refused.
    settings : CitySettings
        Size and seed; the same settings give the same files.
    progress : callable or None
        Told clips done and clips in all.

    Raises
    ------
    DatasetError
        The folder holds something else or another city, or cannot be written.
    """
    from filelock import FileLock

    note = folder / _NOTE
    with writing(folder, "the synthetic city", error_type=DatasetError):
        if _is_complete(folder, note, settings):
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):  # a folder with anything else in it would be refused
            if not _is_complete(folder, note, settings):
                _build(folder, note, settings, progress)


def _build(folder: Path, note: Path, settings: CitySettings, progress: Progress | None) -> None:
    """Write what is missing, the note that tells whose folder it is first of all."""
    segments = list(_segments(settings))
    folder.mkdir(exist_ok=True)
    write_json(note, {"settings": settings.to_dict(), "complete": False})
    for name in ("audio", "evaluation_setup"):
        (folder / name).mkdir(exist_ok=True)
    for done, segment in enumerate(segments, start=1):
        _write_clip(folder / segment.file_name, segment, settings)
        if progress is not None:
            progress(done, len(segments))
    _write_tables(folder, segments)
    write_json(note, {"settings": settings.to_dict(), "complete": True})


def _is_complete(folder: Path, note: Path, settings: CitySettings) -> bool:
    """Look at what is there; refuse what is not this city."""
    found = [path for path in folder.iterdir() if path.name != f"{note.name}.tmp"] if folder.is_dir() else []
    if not note.is_file():  # looked for after the others, since another process may write it, first of all
        if found:
            raise DatasetError(f"{folder} holds something other than a synthetic city; name another --data-dir")
        return False
    with reading(note, "the note of a synthetic city", "remove the folder", error_type=DatasetError):
        held = json.loads(note.read_text(encoding="utf-8"))
        same, complete = held["settings"] == settings.to_dict(), bool(held["complete"])
    if not same:
        raise DatasetError(f"{folder} holds a synthetic city of other settings; remove it or name another --data-dir")
    return complete


def _segments(settings: CitySettings) -> Iterator[_Segment]:
    """List all clips: places take turns, devices too."""
    from soundscene.synthesis import SCENE_NAMES  # a second to load, which no other data set should cost

    number = 0
    for part, clips, devices, first_location in (
        ("train", settings.train_clips_per_scene, SEEN_DEVICES, 0),
        ("evaluate", settings.evaluate_clips_per_scene, tuple(DEVICES), _FIRST_EVALUATION_LOCATION),
    ):
        places = max(1, clips // 3)
        for scene_index, scene in enumerate(SCENE_NAMES):
            for index in range(clips):
                place = index % places
                location = first_location + scene_index * places + place
                city = _CITIES[place % len(_CITIES)]
                yield _Segment(part, scene, city, location, number, devices[(index + scene_index) % len(devices)])
                number += 1


def _write_clip(path: Path, segment: _Segment, settings: CitySettings) -> None:
    """Make one clip, unless it is there already."""
    import soundfile

    from soundscene.synthesis import synthesise

    if path.is_file():
        return
    name = zlib.crc32(segment.file_name.encode())
    generator = np.random.default_rng([settings.seed, name])
    sound = synthesise(segment.scene, settings.clip_seconds, settings.sample_rate_hz, generator)
    heard = record(sound, settings.sample_rate_hz, DEVICES[segment.device], generator)
    encoded = io.BytesIO()  # libsndfile itself would not say that the disk is full
    soundfile.write(encoded, heard, settings.sample_rate_hz, format="WAV", subtype="PCM_24")
    with whole(path) as stream:
        stream.write(encoded.getbuffer())


def _write_tables(folder: Path, segments: list[_Segment]) -> None:
    """Write the official tables: all clips, and who is in which part."""
    clips = [(s.file_name, s.scene, f"{s.city}-{s.location}", s.device) for s in segments]
    _write_table(folder / "meta.csv", ("filename", "scene_label", "identifier", "source_label"), clips)
    setup = folder / "evaluation_setup"
    for part in ("train", "evaluate"):
        rows = [(s.file_name, s.scene) for s in segments if s.part == part]
        _write_table(setup / f"fold1_{part}.csv", ("filename", "scene_label"), rows)
    _write_table(setup / "fold1_test.csv", ("filename",), [(s.file_name,) for s in segments if s.part == "evaluate"])


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
