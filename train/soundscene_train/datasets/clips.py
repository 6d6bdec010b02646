"""What every data set is reduced to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundscene.audio_files import AudioFile
from soundscene_train.errors import DatasetError

__all__ = ["Clip", "Dataset", "Selection", "digest_of", "require_undamaged"]


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording.

    Parameters
    ----------
    path : Path
        Its audio file.
    label : str
        What it holds.
    part : str
        The fold or split it belongs to, as the data set publishes it.
    group : str
        Recording or place it was cut from; parts share none.
    device : str
        What recorded it, "" where the data set does not say.
    """

    path: Path
    label: str
    part: str
    group: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set on disk.

    Parameters
    ----------
    name : str
        Short, for file names: letters, digits and dashes.
    labels : tuple of str
        In the order of the networks' outputs.
    clips : tuple of Clip
        All of it, in a fixed order.
    train_parts, test_parts : tuple of str
        The split used when the caller names none.
    citation : str
        What to cite, and the licence.
    """

    name: str
    labels: tuple[str, ...]
    clips: tuple[Clip, ...]
    train_parts: tuple[str, ...]
    test_parts: tuple[str, ...]
    citation: str

    @property
    def parts(self) -> tuple[str, ...]:
        """Folds or splits that have clips."""
        return tuple(sorted({clip.part for clip in self.clips}))


@dataclass(frozen=True, slots=True)
class Selection:
    """The parts of a data set that a run trains and tests on.

    Raises
    ------
    DatasetError
        A part does not exist, is named on both sides, or a label has nothing to train on.
    """

    dataset: Dataset
    train_parts: tuple[str, ...]
    test_parts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the sides exist and are apart."""
        unknown = sorted({*self.train_parts, *self.test_parts} - set(self.dataset.parts))
        if unknown:
            raise DatasetError(
                f"{self.dataset.name} has no clips in {', '.join(unknown)}; it has {', '.join(self.dataset.parts)}"
            )
        both = sorted(set(self.train_parts) & set(self.test_parts))
        if both:
            raise DatasetError(
                f"{', '.join(both)} cannot be trained on and tested on; name it in --train-parts or in --test-parts"
            )
        if not self.train_parts:
            raise DatasetError("name at least one part to train on")
        unheard = sorted(set(self.dataset.labels) - {self.dataset.clips[index].label for index in self.train_clips})
        if unheard:
            parts = ", ".join(self.train_parts)
            raise DatasetError(
                f"{self.dataset.name} has no clip of {', '.join(unheard)} to train on in {parts}; give it one there, "
                "name other --train-parts, or leave the class out"
            )

    @property
    def train_clips(self) -> tuple[int, ...]:
        """Positions in `dataset.clips` of what is trained on."""
        return self._positions(self.train_parts)

    @property
    def test_clips(self) -> tuple[int, ...]:
        """Positions in `dataset.clips` of what is tested on."""
        return self._positions(self.test_parts)

    @property
    def train_digest(self) -> str:
        """What tells the clips that are trained on from others."""
        return digest_of(self.dataset.clips[index] for index in self.train_clips)

    def require_test(self) -> None:
        """Refuse to test where every part is trained on.

        Raises
        ------
        DatasetError
            It is so.
        """
        if not self.test_parts:
            raise DatasetError(
                f"every part of {self.dataset.name} is trained on, and none is left to test on; a run needs "
                "--test-parts, or fewer --train-parts"
            )

    def _positions(self, parts: Sequence[str]) -> tuple[int, ...]:
        return tuple(index for index, clip in enumerate(self.dataset.clips) if clip.part in parts)


def require_undamaged(audio: AudioFile) -> None:
    """Refuse a recording that has been read and broke off before its end.

    Raises
    ------
    DatasetError
        It did.
    """
    if audio.defect:
        raise DatasetError(f"{audio.defect}; put the whole recording in its place, or leave it out")


def digest_of(clips: Iterable[Clip]) -> str:
    """Tell sets of clips apart by their names, labels, groups and sizes, wherever they lie and in any order."""
    rows = sorted((clip.path.name, clip.label, clip.group, clip.path.stat().st_size) for clip in clips)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
