"""Expected against published: the auditor's verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from soundscene_worker.audit.expectation import ChunkAudit, ChunkCounts, ExpectedWindow
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.publication import Publications
from soundscene_worker.messages.prediction import ScenePrediction, prediction_id

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
        The others.
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
        Which ones.
    """

    devices: Mapping[str, DeviceVerdict]
    chunks: Mapping[str, ChunkCounts]
    models: Mapping[str, str]
    foreign: int = 0
    missing_windows: tuple[ExpectedWindow, ...] = ()

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
            "missing_windows": [
                {**window.run._asdict(), "first_sample": window.first_sample} for window in self.missing_windows
            ],
        }


@dataclass(slots=True)
class _Tally:
    devices: defaultdict[str, DeviceVerdict] = field(default_factory=lambda: defaultdict(DeviceVerdict))
    missing: list[ExpectedWindow] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)

    def count(self, window: ExpectedWindow, geometry: Geometry, published: Publications, models: Iterable[str]) -> None:
        """Look a window up under its id with each bundle seen; one that published it is enough."""
        found = [name for name in _ids(window, models) if name in published.first]
        verdict = self.devices[window.run.device]
        verdict.expected += 1
        if found:
            verdict.published += 1
        else:
            verdict.missing += 1
            self.missing.append(window)
        self.claimed.update(found)
        verdict.repeated += sum(published.repetitions.get(name, 0) for name in found)
        verdict.differing += any(
            name in published.differing or not _speaks_of(published.first[name], window, geometry) for name in found
        )


def _speaks_of(prediction: ScenePrediction, window: ExpectedWindow, geometry: Geometry) -> bool:
    said = (prediction.device, prediction.session, prediction.first_sample)
    meant = (window.run.device, window.run.session, window.first_sample)
    span = (prediction.sample_count, prediction.sample_rate)
    return said == meant and span == (geometry.length_samples, geometry.sample_rate_hz)


def judge(chunks: ChunkAudit, published: Publications, later: ChunkAudit | None = None) -> Verdict:
    """Compare what must exist with what does.

    Where several bundles have published, as during an upgrade, a window counts as published when one of them has;
    `Publications.model` restricts the audit to one of them.

    Parameters
    ----------
    chunks : ChunkAudit
        Says what must exist.
    published : Publications
        What does.
    later : ChunkAudit or None
        The same log read again after the predictions: says what may exist. None: `chunks` says that too.
    """
    tally = _Tally()
    models = sorted(published.models)
    for window in chunks.windows():
        tally.count(window, chunks.geometry, published, models)
    unclaimed = published.first.keys() - tally.claimed
    if later is not None and unclaimed:
        unclaimed -= {name for window in later.windows() for name in _ids(window, models)}
    for name in unclaimed:
        tally.devices[published.first[name].device].unexpected += 1
    return Verdict(
        devices=dict(sorted(tally.devices.items())),
        chunks=dict(chunks.counts),
        models=published.models,
        foreign=published.foreign,
        missing_windows=tuple(tally.missing),
    )


def _ids(window: ExpectedWindow, models: Iterable[str]) -> list[str]:
    return [prediction_id(*window.run, window.first_sample, model) for model in models]
