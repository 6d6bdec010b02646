"""Where public data sets are fetched from, and what must arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soundscene_train.datasets.clips import Dataset
from soundscene_train.datasets.download import Archive, fetch_and_unpack
from soundscene_train.errors import DatasetError
from soundscene_train.progress import StageProgress

__all__ = ["DOWNLOADS", "Published", "describe", "download", "require_whole"]


@dataclass(frozen=True, slots=True)
class Published:
    """What a data set's authors published: clips of each part, and each clip's length."""

    clips: Mapping[str, int]
    seconds: float


_TAU: Final = "TAU-urban-acoustic-scenes-2020-mobile-development"
_TAU_ARCHIVES: Final = {
    "doc": (18_066, "175f40dc3fec144347abad4d2962b7ae"),
    "meta": (214_159, "6eae9db553ce48e4ea246e34e50a3cf5"),
    "audio.1": (1_726_039_031, "b1e85b8a908d3d6a6ab73268f385d5c8"),
    "audio.2": (1_782_268_370, "4310a13cc2943d6ce3f70eba7ba4c784"),
    "audio.3": (1_870_468_865, "ed38956c4246abb56190c1e9b602b7b8"),
    "audio.4": (1_879_413_176, "97ab8560056b6816808dedc044dcc023"),
    "audio.5": (1_823_936_584, "b50f5e0bfed33cd8e52cb3e7f815c6cb"),
    "audio.6": (1_827_246_144, "fbf856a3a86fff7520549c899dc94372"),
    "audio.7": (1_728_630_243, "0dbffe7b6e45564da649378723284062"),
    "audio.8": (1_748_646_043, "bb6f77832bf0bd9f786f965beb251b2e"),
    "audio.9": (1_780_487_215, "a65596a5372eab10c78e08a0de797c9e"),
    "audio.10": (1_726_068_853, "2ad595819ffa1d56d2de4c7ed43205a6"),
    "audio.11": (1_744_480_272, "0ad29f7040a4e6a22cfd639b3a6738e5"),
    "audio.12": (1_738_707_195, "e5f4400c6b9697295fab4cf507155a2f"),
    "audio.13": (1_835_797_785, "8855ab9f9896422746ab4c5d89d8da2f"),
    "audio.14": (1_846_390_881, "092ad744452cd3e7de78f988a3d13020"),
    "audio.15": (1_869_032_508, "4b5eb85f6592aebf846088d9df76b420"),
    "audio.16": (436_971_777, "2e0a89723e58a3836be019e6996ae460"),
}
"""Zenodo record 3819968: sizes and MD5 as published there and in dcase_util."""

DOWNLOADS: Final[dict[str, tuple[str, str, tuple[Archive, ...]]]] = {
    "tau2020": (
        "https://zenodo.org/records/3819968/files",
        _TAU,
        tuple(Archive(f"{_TAU}.{name}.zip", size, md5) for name, (size, md5) in _TAU_ARCHIVES.items()),
    ),
    "esc10": ("https://github.com/karolpiczak/ESC-50/archive/refs/heads", "ESC-50-master", (Archive("master.zip"),)),
}
"""By data set: address, folder inside the archives, archives. GitHub packs ESC-50 anew each time: no size, no MD5."""

_WHOLE: Final = {
    "tau2020": Published({"train": 13_962, "evaluate": 2_968}, 10.0),
    "esc10": Published(dict.fromkeys("12345", 80), 5.0),
}
_RATE_HZ: Final = 44_100
_LENGTH_TOLERANCE_SECONDS: Final = 0.1


def download(name: str, folder: Path, progress: StageProgress | None = None, address: str | None = None) -> None:
    """Fetch and unpack what is missing of a data set.

    Parameters
    ----------
    name : str
        One of `DOWNLOADS`.
    folder : Path
        Where it goes.
    progress : callable or None
        Told file, bytes there and bytes in all.
    address : str or None
        Another place that has the same files.

    Raises
    ------
    DatasetError
        The data set cannot be fetched from anywhere, a file cannot be had or is wrong, or the disk is full.
    """
    if name not in DOWNLOADS:
        raise DatasetError(f"{name} cannot be downloaded; there are {', '.join(DOWNLOADS)}")
    official, root, archives = DOWNLOADS[name]
    for archive in archives:
        fetch_and_unpack(f"{address or official}/{archive.name}", archive, folder, root, progress)


def describe(name: str, dataset: Dataset) -> str:
    """Say how much of a public data set is there; nothing for others."""
    published = _WHOLE.get(name)
    if published is None:
        return ""
    found = Counter(clip.part for clip in dataset.clips)
    counts = ", ".join(f"{part} {found[part]:,} of {count:,}" for part, count in published.clips.items())
    note = " (older tables have 13,965 and 2,970: five recordings were withdrawn)" if name == "tau2020" else ""
    return f"clips there of those published: {counts}{note}"


def require_whole(name: str, dataset: Dataset) -> None:
    """Hold a public data set to what was published: clips of each part, their rate and their length.

    Only the files' headers are read; a damaged recording is found when its spectrograms are computed.

    Raises
    ------
    DatasetError
        It is not that, with the first difference.
    """
    published = _WHOLE[name]
    found = Counter(clip.part for clip in dataset.clips)
    for part, count in published.clips.items():
        if found[part] != count:
            raise DatasetError(
                f"{name}: part {part} has {found[part]} clips, and {count} were published; put the "
                "published table in the place of this one"
            )
    for clip in dataset.clips:
        _require_form(clip.path, published.seconds)


def _require_form(path: Path, seconds: float) -> None:
    import soundfile

    try:
        form = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise DatasetError(f"{path}: not audio ({error}); remove it and fetch the data set again") from error
    if form.samplerate != _RATE_HZ or abs(form.duration - seconds) > _LENGTH_TOLERANCE_SECONDS:
        raise DatasetError(
            f"{path}: expected {seconds:g} seconds at {_RATE_HZ} Hz, got {form.duration:.2f} at {form.samplerate}; "
            "it is not the published recording"
        )
