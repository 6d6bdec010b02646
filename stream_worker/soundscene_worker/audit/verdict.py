"""Expected against published: the auditor's verdict."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from soundscene_worker.audit.causes import explain
from soundscene_worker.audit.expectation import ChunkCounts
from soundscene_worker.audit.ledger import PUBLISHED, Ledger
from soundscene_worker.audit.session import ExpectedWindow

__all__ = ["DeviceVerdict", "Verdict", "judge"]


@dataclass(slots=True)
class DeviceVerdict:
    """Counts of windows of one device, or of all.

    Parameters
    ----------
    expected : int
        Windows all of whose samples are in the log.
    published : int
        Of these, windows that have a prediction.
    missing : int
        The others: the worker lost them.
    repeated : int
        Predictions beyond the first of the same id: allowed, for delivery is at least once.
    differing : int
        Windows whose predictions contradict each other, or speak of other samples than their id.
    unexpected : int
        Predictions of windows that are not in the log.
    """

    expected: int = 0
    published: int = 0
    missing: int = 0
    repeated: int = 0
    differing: int = 0
    unexpected: int = 0

    def __add__(self, other: DeviceVerdict) -> DeviceVerdict:
        """Sum count by count."""
        return DeviceVerdict(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def is_good(self) -> bool:
        """Nothing is missing, differs or is too much."""
        return not (self.missing or self.differing or self.unexpected)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of an audit.

    Parameters
    ----------
    devices : mapping of device to DeviceVerdict
        Sorted.
    chunks : mapping of device to ChunkCounts
        What the log holds; records of unknown devices under `(unknown)`.
    models : mapping of hash to str
        Bundles that published.
    foreign : int
        Records of the predictions topic that are no predictions.
    missing_windows : tuple of ExpectedWindow
        Which ones, up to a limit.
    untold : mapping of device to mapping of cause to int
        Windows whose samples are not all to be had, by why that is: see `causes.CAUSES`.
    """

    devices: Mapping[str, DeviceVerdict]
    chunks: Mapping[str, ChunkCounts]
    models: Mapping[str, str]
    foreign: int = 0
    missing_windows: tuple[ExpectedWindow, ...] = ()
    untold: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def total(self) -> DeviceVerdict:
        """All devices together."""
        return sum(self.devices.values(), start=DeviceVerdict())

    @property
    def is_good(self) -> bool:
        """Every window that must exist was published, and nothing contradicts."""
        return self.total.is_good

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy."""
        return {
            "good": self.is_good,
            "total": asdict(self.total),
            "devices": {device: asdict(verdict) for device, verdict in self.devices.items()},
            "chunks": {device: asdict(counts) for device, counts in sorted(self.chunks.items())},
            "models": dict(self.models),
            "foreign": self.foreign,
            "untold": {device: dict(counts) for device, counts in self.untold.items()},
            "missing_windows": [
                {**window.run._asdict(), "first_sample": window.first_sample} for window in self.missing_windows
            ],
        }


_MOST_LISTED: Final = 1_000
"""Missing windows that a verdict names; all are counted."""

_WINDOWS: Final = f"""
SELECT device, COUNT(*), SUM(EXISTS ({PUBLISHED})) FROM window JOIN run ON run.id = run
WHERE judged AND (seen <= ? OR EXISTS ({PUBLISHED})) GROUP BY device
"""
_CLAIMED: Final = """
SELECT run.device, window.id, repeated, differing OR (unsteady AND completed = 1) OR prediction.device <> run.device
    OR prediction.session <> run.session OR prediction.first_sample <> window.first_sample
    OR length <> :length OR prediction.rate <> :rate
FROM prediction JOIN claim USING (id) JOIN window ON window.id = claim.window JOIN run ON run.id = window.run
JOIN model ON model.id = prediction.model WHERE judged AND (:model IS NULL OR hash = :model)
"""
_UNCLAIMED: Final = """
SELECT prediction.device, COUNT(*) FROM prediction JOIN model ON model.id = prediction.model
WHERE (:model IS NULL OR hash = :model) AND NOT EXISTS (SELECT 1 FROM claim WHERE claim.id = prediction.id)
AND (:whole OR EXISTS (SELECT 1 FROM run JOIN absence ON absence.run = run.id WHERE run.device = prediction.device
    AND run.session = prediction.session
    AND prediction.first_sample BETWEEN first_index * :step AND last_index * :step))
GROUP BY prediction.device
"""


def judge(
    ledger: Ledger,
    chunks: Mapping[str, ChunkCounts],
    *,
    foreign: int = 0,
    model: str | None = None,
    is_whole: bool = True,
    seen_until: float = math.inf,
) -> Verdict:
    """Compare what must exist with what does.

    Where several bundles have published, as during an upgrade, a window counts as published when one of them has.

    Parameters
    ----------
    ledger : Ledger
        What was found.
    chunks : mapping of str to ChunkCounts
        By device.
    foreign : int
        Records that are no predictions.
    model : str or None
        Hash of the one bundle to look at.
    is_whole : bool
        The topics were read from their beginnings. Otherwise a prediction without its sound is a fault only where a
        hole in the sound is known.
    seen_until : float
        A window whose last chunk was read later is not missing yet.
    """
    ledger.claim()
    geometry = ledger.geometry
    names: dict[str, object] = {
        "model": model,
        "whole": is_whole,
        "step": geometry.step_samples,
        "length": geometry.length_samples,
        "rate": geometry.sample_rate_hz,
    }
    devices: defaultdict[str, DeviceVerdict] = defaultdict(DeviceVerdict)
    for device, expected, published in ledger.database.execute(_WINDOWS, (model, model, seen_until, model, model)):
        devices[device] = DeviceVerdict(expected, published, expected - published)
    claimed = f"SELECT device, SUM(repeated), SUM(bad) FROM ({_grouped()}) GROUP BY device"
    for device, repeated, differing in ledger.database.execute(claimed, names):
        devices[device].repeated, devices[device].differing = repeated, differing
    for device, unexpected in ledger.database.execute(_UNCLAIMED, names):
        devices[device].unexpected = unexpected
    return Verdict(
        devices=dict(sorted(devices.items())),
        chunks=dict(chunks),
        models={seen.hash: f"{seen.name} {seen.version}" for seen in ledger.models()},
        foreign=foreign,
        missing_windows=tuple(ledger.missing(model, _MOST_LISTED, seen_until)),
        untold=explain(ledger),
    )


def _grouped() -> str:
    """One row for each window, however many bundles published it."""
    columns = "device, window, SUM(repeated) AS repeated, MAX(bad) AS bad"
    return f"WITH told (device, window, repeated, bad) AS ({_CLAIMED}) SELECT {columns} FROM told GROUP BY window"
