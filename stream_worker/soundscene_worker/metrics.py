"""The worker's metrics, told what happened and shown to Prometheus; the only file but `health` that knows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from soundscene.assessment import Reason
from soundscene_worker.broker.protocol import TopicPartition
from soundscene_worker.coverage import Coverage
from soundscene_worker.messages.chunk import AudioChunk, RejectionReason
from soundscene_worker.messages.prediction import ModelReference, ScenePrediction
from soundscene_worker.metric_list import METRICS, Metric
from soundscene_worker.streams.partition import Taken

__all__ = ["OVERFLOW_DEVICE", "WorkerMetrics"]

OVERFLOW_DEVICE: Final = "_other"
"""Label of the devices for which there is no room."""

_KINDS: Final = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
_LABEL_VALUES: Final[Mapping[tuple[str, str], Iterable[str]]] = {
    ("soundscene_chunks", "fate"): ("accepted", "duplicate", "late"),
    ("soundscene_rejected_chunks", "reason"): tuple(RejectionReason),
    ("soundscene_dead_letters", "outcome"): ("written", "withheld"),
    ("soundscene_unassessable_windows", "reason"): tuple(Reason),
    ("soundscene_latency_seconds", "stage"): ("capture_to_worker", "features", "inference", "total"),
    ("soundscene_partition_changes", "change"): ("assigned", "revoked"),
    ("soundscene_commits", "outcome"): ("taken", "refused"),
}
"""Series that exist from the start, so that a first event is an increase."""


class WorkerMetrics:
    """All metrics of one worker.

    Parameters
    ----------
    registry : CollectorRegistry
        Where they are registered; never the global one.
    scenes : collection of str
        The bundle's labels.
    max_devices : int > 0
        Devices with labels of their own; the others share `OVERFLOW_DEVICE`.
    now_seconds : callable
        Unix time.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        scenes: Collection[str] = (),
        max_devices: int = 1000,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._families = {metric.name: _make(metric, registry) for metric in METRICS if metric.kind != "info"}
        self._registry = registry
        self._scenes = tuple(scenes)
        self._max_devices = max_devices
        self._now_seconds = now_seconds
        self._coverage: dict[str, Coverage] = {}
        self._partitions: set[str] = set()
        for (name, _), values in _LABEL_VALUES.items():
            for value in values:
                self._families[name].labels(value)
        for scene in self._scenes:
            self._families["soundscene_scores"].labels(scene)

    def describe(self, model: ModelReference, software_version: str) -> None:
        """Say which bundle and which software run."""
        texts = {
            "soundscene_bundle": {"name": model.name, "version": model.version, "hash": model.hash},
            "soundscene_build": {"version": software_version},
        }
        for metric in METRICS:
            if metric.kind == "info":
                info = prometheus_client.Info(metric.name, metric.meaning, registry=self._registry)
                info.info(texts[metric.name])

    def loop_turned(self) -> None:
        """Note that the loop is alive."""
        self._set("soundscene_loop_timestamp_seconds", self._now_seconds())

    def broker_connected(self, is_connected: bool) -> None:
        """Note whether a broker answers."""
        self._set("soundscene_broker_connected", is_connected)

    def partitions_changed(self, change: str, count: int, owned: int) -> None:
        """Count partitions `assigned` or `revoked`, and how many are owned now."""
        self._add("soundscene_partition_changes", count, change)
        self._set("soundscene_assigned_partitions", owned)

    def chunk_taken(self, chunk: AudioChunk, taken: Taken) -> None:
        """Count a decoded chunk and what was given up for lost with it."""
        device = self._admit(chunk.device)
        lost_seconds = sum(gap.seconds for gap in taken.gaps)
        self._add("soundscene_chunks", 1, str(taken.fate))
        self._add("soundscene_device_audio_seconds", taken.seconds, device)
        for cause in ("missing", "rejected"):
            seconds = sum(gap.seconds for gap in taken.gaps if gap.cause == cause)
            self._add("soundscene_device_gap_seconds", seconds, device, cause)
        coverage = self._coverage[device]
        coverage.add(taken.seconds, lost_seconds)
        self._set("soundscene_device_coverage_ratio", coverage.ratio, device)
        end_seconds = chunk.capture_time.timestamp() + len(chunk.samples) / chunk.sample_rate_hz
        self._set("soundscene_device_last_audio_timestamp_seconds", end_seconds, device)

    def chunk_rejected(self, reason: str) -> None:
        """Count a record that is no usable chunk."""
        self._add("soundscene_rejected_chunks", 1, str(reason))

    def dead_letter(self, written: bool) -> None:
        """Count a refused record as reported, or as one too many to report."""
        self._add("soundscene_dead_letters", 1, "written" if written else "withheld")

    def window_published(self, prediction: ScenePrediction) -> None:
        """Show a device's last window and count it."""
        device = self._admit(prediction.device)
        for scene in self._scenes:
            self._set("soundscene_device_scene", scene == prediction.scene, device, scene)
        self._set("soundscene_device_score_ratio", prediction.score, device)
        self._set("soundscene_device_assessable", prediction.assessable, device)
        self._set("soundscene_device_level_dbfs", prediction.level_dbfs, device)
        if prediction.level_dbspl is not None:
            self._set("soundscene_device_level_dbspl", prediction.level_dbspl, device)
        self._add("soundscene_device_windows", 1, device, prediction.scene)
        self._observe("soundscene_scores", prediction.score, prediction.scene)
        for reason in prediction.reasons:
            self._add("soundscene_unassessable_windows", 1, reason)
        for stage, seconds in prediction.latency_seconds.items():
            self._observe("soundscene_latency_seconds", max(0.0, seconds), stage)

    def committed(self, is_taken: bool) -> None:
        """Count a commit that the group took or refused."""
        self._add("soundscene_commits", 1, "taken" if is_taken else "refused")

    def went_back(self) -> None:
        """Count a return to the last commit."""
        self._add("soundscene_restarts_from_commit", 1)

    def lag(self, records: Mapping[TopicPartition, int]) -> None:
        """Show how many records lie ahead, of the partitions owned now."""
        lags = {str(partition.partition): count for partition, count in records.items()}
        for gone in self._partitions - set(lags):
            self._families["soundscene_consumer_lag_records"].remove(gone)
        self._partitions = set(lags)
        for partition, count in lags.items():
            self._set("soundscene_consumer_lag_records", count, partition)

    def buffered(self, sessions: int, samples: int) -> None:
        """Show what is held for windows to come."""
        self._set("soundscene_sessions", sessions)
        self._set("soundscene_buffered_bytes", 4 * samples)

    def keep_devices(self, devices: Collection[str]) -> None:
        """Remove the series of all other devices: they are gone, and their last values would look alive."""
        for device in set(self._coverage) - set(devices) - {OVERFLOW_DEVICE}:
            del self._coverage[device]
            for metric in METRICS:
                if metric.labels[:1] == ("device",):
                    self._families[metric.name].remove_by_labels({"device": device})
        self._set("soundscene_devices", len(self._coverage))

    def _admit(self, device: str) -> str:
        """Return the device's label, and make its series on first sight."""
        if device not in self._coverage and len(self._coverage) >= self._max_devices:
            self._add("soundscene_devices_over_limit", 1)
            device = OVERFLOW_DEVICE
        if device not in self._coverage:
            self._coverage[device] = Coverage()
            for scene in self._scenes:
                self._families["soundscene_device_windows"].labels(device, scene)
            self._set("soundscene_devices", len(self._coverage))
        return device

    def _set(self, name: str, value: float, *labels: str) -> None:
        self._of(name, labels).set(value)

    def _add(self, name: str, value: float, *labels: str) -> None:
        self._of(name, labels).inc(value)

    def _observe(self, name: str, value: float, *labels: str) -> None:
        self._of(name, labels).observe(value)

    def _of(self, name: str, labels: tuple[str, ...]) -> Any:
        family = self._families[name]
        return family.labels(*labels) if labels else family


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    options: dict[str, Any] = {"buckets": metric.buckets} if metric.buckets else {}
    return _KINDS[metric.kind](metric.name, metric.meaning, metric.labels, registry=registry, **options)
