"""Where a sensor's sound comes from: recordings, or scenes made up on the spot."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import AudioError
from soundscene.synthesis import synthesise

if TYPE_CHECKING:
    import soundfile

__all__ = ["AUDIO_SUFFIXES", "Frames", "Recordings", "Scene", "Source", "find_audio"]

Frames = NDArray[np.float32]
"""Samples of shape (frames, channels)."""

AUDIO_SUFFIXES: Final = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"}
)

_BLOCK_FRAMES: Final = 65_536
_PIECE_SECONDS: Final = 6.0
_FADE_SECONDS: Final = 0.5
_PIECES: Final = 6  # made in all, then heard again in other orders: 6 MB per sensor at 44.1 kHz


class Source(Protocol):
    """Sound of one device."""

    @property
    def name(self) -> str:
        """What is heard."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of what `blocks` yields."""

    @property
    def seconds(self) -> float | None:
        """Length; None when there is no end."""

    def blocks(self) -> Iterator[Frames]:
        """Yield the sound in blocks of any length, mono or with the channels of the source."""


def find_audio(paths: Sequence[Path]) -> list[Path]:
    """Return the audio files among these files and in these folders, sorted within each folder.

    Raises
    ------
    AudioError
        A path does not exist, or a folder holds no audio.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
            if not inside:
                raise AudioError(f"no audio in {path}: expected files such as {', '.join(sorted(AUDIO_SUFFIXES))}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise AudioError(f"no such file or folder: {path}")
    return found


@dataclass(slots=True)
class Recordings:
    """Files played one after another.

    Parameters
    ----------
    paths : tuple of Path
        At least one; read a block at a time.
    wanted_rate_hz : int or None
        Rate of the device; None takes that of the first file. Files of another rate are resampled with soxr.
    is_looped : bool
        Begin again after the last one.

    Raises
    ------
    AudioError
        A file is not audio.
    """

    paths: tuple[Path, ...]
    wanted_rate_hz: int | None = None
    is_looped: bool = False
    _seconds: float = field(init=False)
    _rate_hz: int = field(init=False)

    def __post_init__(self) -> None:
        """Look at every file, so that nothing fails half-way that could have failed at once."""
        infos = [_info(path) for path in self.paths]
        self._rate_hz = self.wanted_rate_hz or infos[0].samplerate
        self._seconds = sum(info.frames / info.samplerate for info in infos)

    @property
    def name(self) -> str:
        """Names of the files."""
        return ", ".join(path.name for path in self.paths)

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the device."""
        return self._rate_hz

    @property
    def seconds(self) -> float | None:
        """Length of all files together."""
        return None if self.is_looped else self._seconds

    def blocks(self) -> Iterator[Frames]:
        """Yield the files' sound with the files' own channels."""
        for path in itertools.cycle(self.paths) if self.is_looped else self.paths:
            yield from _read(path, self._rate_hz)


def _info(path: Path) -> Any:
    import soundfile

    try:
        info = soundfile.info(os.fsencode(path))
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise AudioError(f"expected audio that libsndfile reads in {path}: {error}") from error
    if not info.frames:
        raise AudioError(f"expected sound in {path}, found none")
    return info


def _read(path: Path, rate_hz: int) -> Iterator[Frames]:
    import soundfile
    import soxr

    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if file.samplerate == rate_hz:
                yield from _blocks(file)
                return
            resampler = soxr.ResampleStream(file.samplerate, rate_hz, file.channels, dtype="float32")
            for block in _blocks(file):
                yield resampler.resample_chunk(block)
            yield resampler.resample_chunk(np.zeros((0, file.channels), np.float32), last=True)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise AudioError(f"reading {path} broke off: {error}") from error


class Scene:
    """An endless synthesised scene, of one level throughout: half a minute of sound, heard again in other orders.

    Parameters
    ----------
    scene : str
        One of `soundscene.synthesis.SCENE_NAMES`.
    sample_rate_hz : int >= 8000
        Rate of the device.
    generator : np.random.Generator
        The only source of chance.

    Raises
    ------
    SettingsError
        The scene is unknown or the rate too low.
    """

    seconds = None

    def __init__(self, scene: str, sample_rate_hz: int, generator: np.random.Generator) -> None:
        self.name = scene
        self.sample_rate_hz = sample_rate_hz
        self._generator = generator
        # Sensors started together must not all need a new piece at the same time.
        self._first = synthesise(scene, generator.uniform(0.5, 1.0) * _PIECE_SECONDS, sample_rate_hz, generator)
        self._rms = _rms(self._first)

    def blocks(self) -> Iterator[Frames]:
        """Yield pieces that fade into each other."""
        fade = round(_FADE_SECONDS * self.sample_rate_hz)
        rise = np.sqrt(np.arange(fade, dtype=np.float32) / fade)
        pieces = self._pieces()
        piece = next(pieces)
        while True:
            yield piece[:-fade, np.newaxis]
            following = next(pieces)
            joint = np.clip(rise * following[:fade] + rise[::-1] * piece[-fade:], -1.0, 1.0)
            piece = np.concatenate([joint, following[fade:]])

    def _pieces(self) -> Iterator[NDArray[np.float32]]:
        """Yield pieces, each made while the one before is heard: nobody waits for it."""
        pieces = []
        with ThreadPoolExecutor(1) as background:
            next_piece = background.submit(self._make)
            yield self._first
            for left in reversed(range(_PIECES)):
                pieces.append(next_piece.result())
                if left:
                    next_piece = background.submit(self._make)
                yield pieces[-1]
        while True:
            yield from (pieces[index] for index in self._generator.permutation(_PIECES))

    def _make(self) -> NDArray[np.float32]:
        return self._level(synthesise(self.name, _PIECE_SECONDS, self.sample_rate_hz, self._generator))

    def _level(self, piece: NDArray[np.float32]) -> NDArray[np.float32]:
        gain = min(self._rms / max(_rms(piece), 1e-9), 0.98 / max(float(np.max(np.abs(piece))), 1e-9))
        return np.asarray(gain * piece, np.float32)


def _blocks(file: soundfile.SoundFile) -> Iterator[Frames]:
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        yield block


def _rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
