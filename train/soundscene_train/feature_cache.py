"""Spectrograms on disk: computed in blocks by several processes, kept as half-precision arrays with checksums.

While it grows, a cache is a folder of blocks, each whole or absent, so that work which is killed goes on where it
stopped. Finished, it is one array per network and `index.json`. Of several runs that need the same cache, one computes
it and the others wait.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.settings import NETWORK_NAMES
from soundscene_train.errors import DatasetError
from soundscene_train.files import reading, reading_arrays, whole, write_json, writing
from soundscene_train.processes import side_by_side
from soundscene_train.progress import Progress

__all__ = ["Block", "StoredSpectra", "fill_cache", "is_filled", "open_cache", "slices_of"]

Array = NDArray[np.float32]
Block = tuple[list[int], dict[str, NDArray[np.float16]]]
"""Windows of each clip, and the windows' spectrograms by network."""

_BLOCK_CLIPS: Final = 10
_BLOCKS: Final = "block-*"
_INDEX: Final = "index.json"
_LOCK: Final = ".lock"
_READ_BYTES: Final = 1 << 24
_SLICE_WINDOWS: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class StoredSpectra:
    """Spectrograms of all windows, on disk; what is taken out of it is float32.

    Parameters
    ----------
    stored : np.memmap [shape=(windows, window frames, bands), float16]
        Natural logarithm of power. Its steps are 0.14 dB at most.
    """

    stored: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, windows: NDArray[np.int64] | slice | int) -> Array:
        return np.asarray(self.stored[windows], np.float32)


def slices_of(windows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Cut positions of windows into pieces that fit into memory where a whole data set would not."""
    return [windows[first : first + _SLICE_WINDOWS] for first in range(0, len(windows), _SLICE_WINDOWS)]


def is_filled(folder: Path) -> bool:
    """Tell whether a cache is complete, and nothing is left of what it was made of."""
    return (folder / _INDEX).is_file() and not any(folder.glob(_BLOCKS))


def fill_cache(
    folder: Path,
    clips: Sequence[Path],
    compute: Callable[[Sequence[Path]], Block],
    jobs: int = 1,
    progress: Progress | None = None,
) -> None:
    """Compute what is missing, or wait for another process that does.

    Parameters
    ----------
    folder : Path
        Of this cache alone.
    clips : sequence of Path
        All clips, in the order of the data set.
    compute : callable
        Returns the spectrograms of some clips; must be picklable where there are several jobs.
    jobs : int > 0
        Processes.
    progress : callable or None
        Told clips done and clips in all, block by block.

    Raises
    ------
    DatasetError
        The folder cannot be written. What is finished stays.
    """
    from filelock import FileLock

    advice = "make room and run the same command again: what is finished is kept"
    with writing(folder, "spectrograms", advice, error_type=DatasetError):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK):
            if not (folder / _INDEX).is_file():
                _fill(folder, clips, compute, jobs, progress)
            for block in folder.glob(_BLOCKS):
                block.unlink()


def open_cache(folder: Path) -> tuple[dict[str, StoredSpectra], NDArray[np.int64]]:
    """Open a complete cache.

    Returns
    -------
    spectra : dict of network to StoredSpectra
    clip_of_window : np.ndarray [shape=(windows,), int64]
        Position of the clip that each window is cut from.

    Raises
    ------
    DatasetError
        A file is missing, or not what was written.
    """
    advice = "remove this folder to compute it again"
    with reading(folder, "a whole cache of spectrograms", advice, error_type=DatasetError):
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        spectra = {}
        for name in NETWORK_NAMES:
            path = folder / f"{name}.npy"
            if _checksum(path) != index["checksums"][name]:
                raise ValueError(f"{path.name} is not what was written")
            spectra[name] = StoredSpectra(np.load(path, mmap_mode="r"))
        counts = np.asarray(index["windows"], np.int64)
        clip_of_window = np.repeat(np.arange(len(counts)), counts)
        if any(len(stored) != len(clip_of_window) for stored in spectra.values()):
            raise ValueError(f"{_INDEX} does not count the windows that are there")
    return spectra, clip_of_window


def _fill(
    folder: Path,
    clips: Sequence[Path],
    compute: Callable[[Sequence[Path]], Block],
    jobs: int,
    progress: Progress | None,
) -> None:
    starts = range(0, len(clips), _BLOCK_CLIPS)
    missing = [first for first in starts if not _block_path(folder, first).is_file()]
    blocks = [(first, clips[first : first + _BLOCK_CLIPS]) for first in missing]
    done = len(clips) - sum(len(block) for _, block in blocks)
    for count in side_by_side(partial(_store_block, folder, compute), blocks, jobs):
        done += count
        if progress is not None:
            progress(done, len(clips))
    _join(folder, starts)


def _block_path(folder: Path, first: int) -> Path:
    return folder / f"block-{first:07d}.npz"


def _store_block(folder: Path, compute: Callable[[Sequence[Path]], Block], block: tuple[int, Sequence[Path]]) -> int:
    """Compute a block, of which the first clip's number and the clips are given, and write it whole or not at all."""
    first, clips = block
    counts, spectra = compute(clips)
    path = _block_path(folder, first)
    arrays: dict[str, Any] = {"counts": np.asarray(counts, np.int64), **spectra}
    with whole(path) as stream:
        np.savez(stream, **arrays)
    return len(clips)


def _join(folder: Path, starts: Sequence[int]) -> None:
    """Write the arrays, then the index: killed in between, the joining begins anew."""
    counts = [int(count) for first in starts for count in _read_block(folder, first, "counts")]
    for name in NETWORK_NAMES:
        _join_network(folder, starts, name, sum(counts))
    checksums = {name: _checksum(folder / f"{name}.npy") for name in NETWORK_NAMES}
    write_json(folder / _INDEX, {"windows": counts, "checksums": checksums})


def _join_network(folder: Path, starts: Sequence[int], name: str, window_count: int) -> None:
    """Write one array after the other: a full disk is an error here, where a memory map would end the process."""
    with (folder / f"{name}.npy").open("wb") as stream:
        for first in starts:
            part = np.ascontiguousarray(_read_block(folder, first, name), np.float16)
            if not stream.tell():
                header = {"descr": "<f2", "fortran_order": False, "shape": (window_count, *part.shape[1:])}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(part.data)


def _read_block(folder: Path, first: int, name: str) -> NDArray[Any]:
    """Read one of a block's arrays."""
    path = _block_path(folder, first)
    advice = "remove it and run the same command again"
    with reading_arrays(path, "a block of spectrograms", advice, error_type=DatasetError) as block:
        return np.asarray(block[name])


def _checksum(path: Path) -> int:
    """CRC-32: against damage, not against intent."""
    checksum = 0
    with path.open("rb") as stream:
        while part := stream.read(_READ_BYTES):
            checksum = zlib.crc32(part, checksum)
    return checksum
