"""Where windows lie, by the auditor's own arithmetic: shared code would share its mistakes with the worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Self

from soundscene.errors import BundleError

__all__ = ["Geometry"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Windows of a bundle.

    Parameters
    ----------
    sample_rate_hz : int > 0
        The bundle's rate.
    length_samples, step_samples : int > 0
        Length of a window, and the distance from one to the next.
    smoothing_windows : int >= 1
        Windows a smoothed verdict averages.
    """

    sample_rate_hz: int
    length_samples: int
    step_samples: int
    smoothing_windows: int = 1

    @classmethod
    def of_bundle(cls, directory: Path | None = None) -> Self:
        """Read a bundle's manifest; without a folder, that of the bundle inside the package.

        Raises
        ------
        BundleError
            There is no manifest, or it does not say where windows lie.
        """
        path = (directory or _shipped_bundle()) / "manifest.json"
        try:
            return cls.of_manifest(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"expected a bundle's manifest at {path}: {error!r}") from error

    @classmethod
    def of_manifest(cls, manifest: dict[str, Any]) -> Self:
        """Take the numbers from a manifest."""
        front_end = manifest["front_end"]
        frames = front_end["patch_frames"] + 2 * (front_end["delta_width_frames"] - 1)
        hop = front_end["hop_size_samples"]
        return cls(
            sample_rate_hz=front_end["sample_rate_hz"],
            length_samples=(frames - 1) * hop + front_end["window_size_samples"],
            step_samples=front_end["step_frames"] * hop,
            smoothing_windows=manifest["fusion"]["smoothing_windows"],
        )

    def source_span(self, index: int, source_rate_hz: int) -> tuple[int, int]:
        """Return the device's samples that window `index` is made of; at another rate one more than rounding up."""
        first = index * self.step_samples * source_rate_hz // self.sample_rate_hz
        if source_rate_hz == self.sample_rate_hz:
            return first, first + self.length_samples
        whole, rest = divmod(self.length_samples * source_rate_hz, self.sample_rate_hz)
        return first, first + whole + bool(rest) + 1

    def indices_within(self, first: int, end: int, source_rate_hz: int) -> Iterator[int]:
        """Yield the windows that lie wholly in the device's samples [first, end)."""
        index = first * self.sample_rate_hz // (self.step_samples * source_rate_hz)
        while (span := self.source_span(index, source_rate_hz))[1] <= end:
            if span[0] >= first:
                yield index
            index += 1

    def first_index_from(self, sample: int, source_rate_hz: int) -> int:
        """Return the lowest window that begins at this sample of the device or later."""
        index = max(0, sample) * self.sample_rate_hz // (self.step_samples * source_rate_hz)
        while self.source_span(index, source_rate_hz)[0] < sample:
            index += 1
        return index

    def first_index_after(self, end: int, source_rate_hz: int) -> int:
        """Return the lowest window that reaches beyond the device's samples below `end`."""
        length = self.source_span(0, source_rate_hz)[1]
        return self.first_index_from(max(0, end - length + 1), source_rate_hz)

    def least_wait_samples(self, source_rate_hz: int) -> int:
        """Return how long a worker waits for late chunks at the least: a window and its smoothing steps."""
        samples = self.length_samples + self.smoothing_windows * self.step_samples
        return -(-samples * source_rate_hz // self.sample_rate_hz)


def _shipped_bundle() -> Path:
    return Path(str(resources.files("soundscene"))) / "bundles" / "esc10-demo"
