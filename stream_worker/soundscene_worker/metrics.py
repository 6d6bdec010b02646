"""The worker's metrics for Prometheus: named by what happened, kept in a registry that is passed in."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from soundscene.assessment import Reason
from soundscene.windows import Fate
from soundscene_worker.broker.protocol import Polled, TopicPartition
from soundscene_worker.messages.chunk import AudioChunk, RejectionReason
from soundscene_worker.messages.prediction import ScenePrediction
from soundscene_worker.metric_list import DEVICE_METRICS, METRICS, OTHER_DEVICES, Definition
from soundscene_worker.streams.partition import End

if TYPE_CHECKING:
    from soundscene_worker.streams.partition import Taken

__all__ = ["BundleFacts", "Registry", "WorkerMetrics"]

Registry = CollectorRegistry
"""Holds the metrics of one worker."""

STAGES: Final = ("capture_to_worker", "features", "inference", "total")
GAP_CAUSES: Final = ("missing", "rejected")
_COVERAGE_SECONDS: Final = 300.0
_COVERAGE_STEP_SECONDS: Final = 1.0
"""Shorter pieces are remembered together, so that the smallest chunks cost no memory."""

_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_SCORE_BUCKETS: Final = tuple(step / 10 for step in range(1, 11))


class BundleFacts(Protocol):
    """What the metrics say of the bundle in use."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def hash(self) -> str:
        """SHA-256."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The scenes it knows."""


@dataclass(slots=True)
class _Device:
    """Running totals of one device, and its last window."""

    chunks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, Fate), 0))
    audio_seconds: float = 0.0
    gap_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(GAP_CAUSES, 0.0))
    windows: dict[str, int] = field(default_factory=dict)
    last_audio_seconds: float | None = None
    last: ScenePrediction | None = None
    recent: deque[tuple[float, float]] = field(default_factory=deque)  # (heard, lost) seconds, oldest first
    recent_heard: float = 0.0
    recent_lost: float = 0.0

    def cover(self, heard: float, lost: float) -> None:
        """Move the window over which coverage is counted."""
        if heard + lost == 0.0:  # a repetition, or too late: it would never push anything out
            return
        self.recent_heard += heard
        self.recent_lost += lost
        if self.recent and sum(self.recent[-1]) + heard + lost <= _COVERAGE_STEP_SECONDS:
            last_heard, last_lost = self.recent.pop()
            heard, lost = last_heard + heard, last_lost + lost
        self.recent.append((heard, lost))
        while self.recent_heard + self.recent_lost - sum(self.recent[0]) >= _COVERAGE_SECONDS:
            oldest_heard, oldest_lost = self.recent.popleft()
            self.recent_heard -= oldest_heard
            self.recent_lost -= oldest_lost

    def hear_until(self, end_seconds: float, is_new_session: bool) -> None:
        """Move on; a chunk out of order does not take it back, a new session may: its clock may have been put right."""
        if is_new_session or self.last_audio_seconds is None:
            self.last_audio_seconds = end_seconds
        self.last_audio_seconds = max(self.last_audio_seconds, end_seconds)

    @property
    def coverage(self) -> float | None:
        total = self.recent_heard + self.recent_lost
        return self.recent_heard / total if total > 0 else None


class _DeviceCollector(Collector):
    """Yields the devices that are here at the moment of the scrape, and no others."""

    def __init__(self, max_devices: int) -> None:
        self._scenes: tuple[str, ...] = ()
        self._max_devices = max_devices
        self._lock = threading.Lock()  # the loop writes, a scrape reads
        self._devices: dict[str, _Device] = {}
        self._others = self._new()

    def _new(self) -> _Device:
        return _Device(windows=dict.fromkeys(self._scenes, 0))

    def know(self, scenes: Iterable[str]) -> None:
        """Take the scenes that windows can have from now on; what was counted stays."""
        with self._lock:
            self._scenes = tuple(scenes)
            for device in (*self._devices.values(), self._others):
                device.windows = dict.fromkeys(self._scenes, 0) | device.windows

    def admit(self, name: str) -> bool:
        """Give a device series of its own, unless there are too many; return whether it has them."""
        with self._lock:
            if name not in self._devices and len(self._devices) < self._max_devices:
                self._devices[name] = self._new()
            return name in self._devices

    def change(self, name: str, change: Callable[[_Device], None]) -> None:
        """Apply a change to a device, or to all that were not admitted together."""
        with self._lock:
            change(self._devices.get(name, self._others))

    def keep(self, names: Collection[str]) -> None:
        """Remove all others."""
        with self._lock:
            self._devices = {name: device for name, device in self._devices.items() if name in names}

    def __len__(self) -> int:
        return len(self._devices)

    def describe(self) -> Iterable[Metric]:
        """Return no samples: registering must not depend on the devices."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield a family per metric."""
        families = {definition.name: _family(definition) for definition in DEVICE_METRICS}
        with self._lock:
            for name, device in self._devices.items():
                _add_counters(families, name, device)
                _add_gauges(families, name, device, self._scenes)
            if any(self._others.chunks.values()):
                _add_counters(families, OTHER_DEVICES, self._others)
        yield from families.values()


def _family(definition: Definition) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if definition.kind == "counter" else GaugeMetricFamily
    name = definition.full_name.removesuffix("_total")
    return kind(name, definition.meaning, labels=definition.labels)


def _add_counters(families: Mapping[str, Metric], name: str, device: _Device) -> None:
    def add(metric: str, labels: list[str], value: float) -> None:
        families[metric].add_metric(labels, value)  # type: ignore[attr-defined]

    for fate, count in device.chunks.items():
        add("device_chunks_total", [name, fate], count)
    add("device_audio_seconds_total", [name], device.audio_seconds)
    for cause, seconds in device.gap_seconds.items():
        add("device_gap_seconds_total", [name, cause], seconds)
    for scene, count in device.windows.items():
        add("device_windows_total", [name, scene], count)


def _add_gauges(families: Mapping[str, Metric], name: str, device: _Device, scenes: Iterable[str]) -> None:
    def add(metric: str, value: float | None, *more: str) -> None:
        if value is not None:
            families[metric].add_metric([name, *more], value)  # type: ignore[attr-defined]

    add("device_coverage_ratio", device.coverage)
    add("device_last_audio_timestamp_seconds", device.last_audio_seconds)
    last = device.last
    for scene in scenes:
        add("device_scene", float(last is not None and last.scene == scene), scene)
    if last is not None:
        add("device_score_ratio", last.score)
        add("device_assessable", float(last.assessable))
        add("device_level_dbfs", last.level_dbfs)
        add("device_level_dbspl", last.level_dbspl)


class WorkerMetrics:
    """Everything the loop reports. Called by the loop's thread; scraped by others.

    Parameters
    ----------
    registry : CollectorRegistry
        Where the metrics live; use a new one per worker.
    bundle : BundleFacts
        The loaded bundle.
    version : str
        Of the program.
    max_devices : int >= 0
        Devices with series of their own.
    now : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        bundle: BundleFacts,
        *,
        version: str = "",
        max_devices: int = 500,
        now: Callable[[], float] = time.time,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._now = now
        self._measured: dict[str, set[TopicPartition]] = {}
        self._devices = _DeviceCollector(max_devices)
        registry.register(self._devices)
        self._make(registry)
        self._gauges["build_info"].labels(version).set(1)
        self.bundle_in_use(bundle)
        self.loop_turned()

    def bundle_in_use(self, bundle: BundleFacts) -> None:
        """Note the bundle that scores from now on."""
        self._gauges["bundle_info"].clear()
        self._gauges["bundle_info"].labels(bundle.name, bundle.version, bundle.hash).set(1)
        self._devices.know(bundle.labels)
        for scene in bundle.labels:
            self._histograms["window_score_ratio"].labels(scene)

    def bundle_changed(self, bundle: BundleFacts) -> None:
        """Note that another bundle has replaced the one in use."""
        self._counters["bundle_reloads_total"].labels("loaded").inc()
        self.bundle_in_use(bundle)

    def bundle_refused(self) -> None:
        """Note that a new bundle could not be used. Called by another thread than the loop's."""
        self._counters["bundle_reloads_total"].labels("refused").inc()

    def _make(self, registry: CollectorRegistry) -> None:
        """Make every metric of the list, with all label values that can be known now."""
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for d in METRICS:
            if d.kind == "counter":
                self._counters[d.name] = Counter(d.full_name, d.meaning, d.labels, registry=registry)
            elif d.kind == "histogram":
                buckets = _SCORE_BUCKETS if d.unit == "ratio" else _LATENCY_BUCKETS
                made = Histogram(d.full_name, d.meaning, d.labels, registry=registry, buckets=buckets)
                self._histograms[d.name] = made
            else:
                self._gauges[d.name] = Gauge(d.full_name, d.meaning, d.labels, registry=registry)
        closed_sets: dict[str, Iterable[str]] = {
            "bundle_reloads_total": ("loaded", "refused"),
            "partition_changes_total": ("assigned", "revoked", "lost"),
            "commits_total": ("stored", "refused"),
            "chunks_rejected_total": map(str, RejectionReason),
            "dead_letters_total": ("written", "withheld", "failed"),
            "sessions_closed_total": map(str, End),
            "windows_unassessable_total": map(str, Reason),
        }
        for name, values in closed_sets.items():
            for value in values:
                self._counters[name].labels(value)
        for stage in STAGES:
            self._histograms["stage_latency_seconds"].labels(stage)

    # The loop and the broker

    def loop_turned(self) -> None:
        """Note that the loop is alive."""
        self._turned_at = time.monotonic()
        self._gauges["loop_heartbeat_timestamp_seconds"].set(self._now())

    def seconds_since_turn(self) -> float:
        """Return how long the loop has not turned; any thread may ask."""
        return time.monotonic() - self._turned_at

    def broker_reachable(self, reachable: bool) -> None:
        """Note whether a broker is connected."""
        self._gauges["broker_reachable"].set(reachable)

    def assignment(self, polled: Polled, assigned: Collection[TopicPartition]) -> None:
        """Note what changed hands with a poll and what is assigned now."""
        for change in ("assigned", "revoked", "lost"):
            self._counters["partition_changes_total"].labels(change).inc(len(getattr(polled, change)))
        self._gauges["partitions_assigned"].set(len(assigned))

    def paused(self, partitions: int) -> None:
        """Note how many partitions are held back."""
        self._gauges["partitions_paused"].set(partitions)

    def lag(self, lags: Mapping[TopicPartition, int], ages_seconds: Mapping[TopicPartition, float]) -> None:
        """Note the lag of the partitions that are assigned and the age of their last records; forget all others."""
        seconds = {p: max(0.0, ages_seconds.get(p, 0.0)) if count else 0.0 for p, count in lags.items()}
        self._of_partitions("consumer_lag_records", lags)
        self._of_partitions("consumer_backlog_seconds", seconds)

    def clock_lag(self, lags_seconds: Mapping[TopicPartition, float]) -> None:
        """Note how far the clocks of the partitions lie behind their last records; forget all others."""
        self._of_partitions("partition_clock_lag_seconds", lags_seconds)

    def _of_partitions(self, name: str, values: Mapping[TopicPartition, float]) -> None:
        gauge = self._gauges[name]
        for partition, value in values.items():
            gauge.labels(partition.topic, partition.partition).set(value)
        for partition in self._measured.get(name, set()) - values.keys():
            gauge.remove(partition.topic, partition.partition)
        self._measured[name] = set(values)

    def committed(self) -> None:
        """Note a commit that was stored."""
        self._counters["commits_total"].labels("stored").inc()

    def commit_refused(self) -> None:
        """Note a commit that was not stored."""
        self._counters["commits_total"].labels("refused").inc()

    def delivery_failed(self) -> None:
        """Note that predictions were not acknowledged."""
        self._counters["deliveries_failed_total"].inc()

    # What was heard

    def chunk_taken(self, chunk: AudioChunk, taken: Taken) -> None:
        """Note a usable chunk and what came of it."""
        if not self._devices.admit(chunk.device):
            self._counters["device_overflow_total"].inc()
        if taken.new_session:
            self._counters["sessions_opened_total"].inc()
        end_seconds = chunk.capture_time.timestamp() + chunk.sample_count / chunk.sample_rate_hz

        def change(device: _Device) -> None:
            device.chunks[taken.fate] += 1
            device.audio_seconds += taken.seconds
            for gap in taken.gaps:
                device.gap_seconds[gap.cause] += gap.seconds
            device.cover(taken.seconds, sum(gap.seconds for gap in taken.gaps))
            if taken.fate is Fate.ACCEPTED:
                device.hear_until(end_seconds, taken.new_session)

        self._devices.change(chunk.device, change)
        self._gauges["devices"].set(len(self._devices))

    def session_closed(self, end: End) -> None:
        """Note the end of a session."""
        self._counters["sessions_closed_total"].labels(end).inc()

    def buffered(self, held_bytes: int) -> None:
        """Note what open windows hold."""
        self._gauges["buffered_bytes"].set(held_bytes)

    def chunk_rejected(self, reason: RejectionReason) -> None:
        """Note a chunk that cannot be used."""
        self._counters["chunks_rejected_total"].labels(reason).inc()

    def dead_letter(self, outcome: str) -> None:
        """Note a dead letter: `written`, `withheld` or `failed`. May be called by another thread than the loop's."""
        self._counters["dead_letters_total"].labels(outcome).inc()

    def window_published(self, prediction: ScenePrediction) -> None:
        """Note a prediction."""
        self._histograms["window_score_ratio"].labels(prediction.scene).observe(prediction.score)
        for stage, seconds in prediction.latency_seconds.items():
            self._histograms["stage_latency_seconds"].labels(stage).observe(max(0.0, seconds))
        for reason in prediction.reasons:
            self._counters["windows_unassessable_total"].labels(reason).inc()

        def change(device: _Device) -> None:
            device.windows[prediction.scene] += 1
            device.last = prediction

        self._devices.change(prediction.device, change)

    def keep_devices(self, devices: Collection[str]) -> None:
        """Remove the series of all other devices."""
        self._devices.keep(devices)
        self._gauges["devices"].set(len(self._devices))
