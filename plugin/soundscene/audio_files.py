"""Windows of an audio file, cut as those of a live stream are, a block at a time: a file may be longer than memory."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import AudioError, SettingsError
from soundscene.fusion import SHORT_CLIP_RULES
from soundscene.settings import FrontEndSettings
from soundscene.windows import Window, WindowAssembler, WindowGrid

if TYPE_CHECKING:
    import soundfile

__all__ = ["MAX_SAMPLE_RATE_HZ", "MIN_SAMPLE_RATE_HZ", "AudioFile", "extend"]

MIN_SAMPLE_RATE_HZ: Final = 4_000
MAX_SAMPLE_RATE_HZ: Final = 768_000
"""Slower is no sound of a place, faster no sound card: a header that says so is wrong, and would fill the memory."""

_BLOCK_VALUES: Final = 1 << 15
"""Samples times channels held at a time, whatever the header promises; a file that breaks off loses less than that."""

_SHORTENED: Final = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""In libsndfile's log: the bytes of sound that the header promises, and those that there are."""

_PLACEHOLDER_BYTES: Final = 0x7FFF_0000
"""Sizes from here on are what programs write that do not know the length yet; they promise nothing."""

_UNKNOWN_SAMPLES: Final = (1 << 63) - 1
"""What libsndfile says of a FLAC stream whose header leaves the length open."""

_EARLY_END_SECONDS: Final = 0.25
"""Compressed formats may promise a few frames of padding more than they hold; this much more is a truncated file."""

Samples = NDArray[np.float32]


class AudioFile:
    """A file that is read once, from its beginning to its end.

    Any container, rate and channel count that libsndfile reads; channels are averaged to mono. Only a bounded block is
    ever held, and nothing is allocated by what the header promises.

    Parameters
    ----------
    path : path
        A regular file.

    Raises
    ------
    AudioError
        It is missing, empty, not audio or holds no sound; the message names it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.sample_count = 0
        self._file = self._open()
        self._promised_samples = _promised_samples(self._file)
        try:
            self._check_header()
        except AudioError:
            self._file.close()
            raise

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the samples."""
        return int(self._file.samplerate)

    @property
    def duration_seconds(self) -> float:
        """Seconds read so far; the file's duration once it has been read."""
        return self.sample_count / self.sample_rate_hz

    @property
    def defect(self) -> str | None:
        """What is wrong with a file that has been read to its end; None when it is sound."""
        promised_seconds = self._promised_samples / self.sample_rate_hz
        if promised_seconds - self.duration_seconds <= _EARLY_END_SECONDS:
            return None
        return (
            f"{self.path}: truncated or damaged, only {self.duration_seconds:.2f} s "
            f"of the {promised_seconds:.2f} s its header promises could be read"
        )

    def blocks(self) -> Iterator[Samples]:
        """Yield the samples as mono blocks, each its own array [shape=(n > 0,), float32].

        Raises
        ------
        AudioError
            A sample is not finite, or nothing can be decoded.
        """
        frames = max(1, _BLOCK_VALUES // int(self._file.channels))
        while True:
            block = self._read(frames)  # (n, channels)
            if not len(block):
                break
            mono = block[:, 0].copy() if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                raise AudioError(
                    f"{self.path}: holds NaN or infinity near {self.duration_seconds:.1f} s; write it again"
                )
            self.sample_count += len(mono)
            yield mono
        if not self.sample_count:
            raise AudioError(f"{self.path}: holds no sound")

    def windows(self, settings: FrontEndSettings, short_clip: str | None = None) -> Iterator[Window]:
        """Yield the file's windows in order; their samples are those that a live stream of it would give.

        Parameters
        ----------
        settings : FrontEndSettings
            The bundle's front end.
        short_clip : {"repeat", "silence"} or None
            How a file shorter than one window is extended to it; None yields no window for it.

        Raises
        ------
        AudioError
            A sample is not finite, or nothing can be decoded.
        """
        grid = WindowGrid(self.sample_rate_hz, settings)
        assembler = WindowAssembler(grid, hold_back_samples=0)
        head: list[Samples] = []  # until the first window is complete
        for block in self.blocks():
            if self.sample_count < grid.length_samples:
                head.append(block)
            yield from assembler.push(self.sample_count - len(block), block).windows
        if self.sample_count < grid.length_samples and short_clip is not None:
            yield grid.window(0, extend(np.concatenate(head), grid.length_samples, short_clip))

    def _open(self) -> soundfile.SoundFile:
        import soundfile  # importing soundscene must stay instant

        if not self.path.exists():
            raise AudioError(f"{self.path}: no such file")
        if not self.path.is_file():
            raise AudioError(f"{self.path}: not a file")
        try:
            if not self.path.stat().st_size:
                raise AudioError(f"{self.path}: empty")
            file = soundfile.SoundFile(os.fsencode(self.path))  # a name need not be text
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{self.path}: not an audio file ({_first_line(error.error_string)})") from error
        except (OSError, TypeError, ValueError) as error:  # no permission; a raw format that names no rate
            raise AudioError(f"{self.path}: cannot be read ({_first_line(str(error))})") from error

        # soundfile seeks after every read where it can; in a damaged FLAC that fails, and loses the sound just read.
        file.seekable = lambda: False
        return file

    def _check_header(self) -> None:
        if not MIN_SAMPLE_RATE_HZ <= self.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
            raise AudioError(
                f"{self.path}: a rate of {self.sample_rate_hz} Hz is not between "
                f"{MIN_SAMPLE_RATE_HZ} and {MAX_SAMPLE_RATE_HZ} Hz"
            )

    def _read(self, frames: int) -> NDArray[Any]:
        """Decode the next frames; a file that breaks off gives what is there."""
        import soundfile

        try:
            return np.asarray(self._file.read(frames, dtype="float32", always_2d=True))
        except soundfile.LibsndfileError as error:
            if not self.sample_count:
                raise AudioError(f"{self.path}: cannot be decoded ({_first_line(error.error_string)})") from error
            return np.empty((0, 1), np.float32)


def extend(samples: Samples, length_samples: int, rule: str) -> Samples:
    """Make a short clip as long as a window.

    Parameters
    ----------
    samples : np.ndarray [shape=(n > 0,), float32]
        The clip.
    length_samples : int >= n
        Length of the window.
    rule : {"repeat", "silence"}
        Repeat the clip from its beginning, or put silence after it.

    Raises
    ------
    SettingsError
        The rule is unknown.
    """
    if rule not in SHORT_CLIP_RULES:
        raise SettingsError(f"short_clip must be one of {', '.join(SHORT_CLIP_RULES)}, got {rule!r}")
    if rule == "repeat":
        return np.resize(samples, length_samples)
    return np.pad(samples, (0, length_samples - len(samples)))


def _promised_samples(file: soundfile.SoundFile) -> int:
    """Samples that the header promises, 0 if it does not say."""
    samples = int(file.frames)
    if samples == _UNKNOWN_SAMPLES:
        return 0
    shortened = _SHORTENED.search(file.extra_info)  # libsndfile has already cut the count down to what there is
    if shortened and 0 < int(shortened[2]) < int(shortened[1]) < _PLACEHOLDER_BYTES:
        return samples * int(shortened[1]) // int(shortened[2])
    return samples


def _first_line(message: str) -> str:
    return next(itertools.chain(message.strip().splitlines(), ["unknown reason"])).rstrip(".")
