"""Every metric of the worker: the closed list that code, documentation, rules and dashboards share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["METRICS", "Metric"]

Kind = Literal["counter", "gauge", "histogram", "info"]

_LATENCY_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_SCORES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Parameters
    ----------
    name : str
        As Prometheus shows it, without the suffix that its kind adds (`_total`, `_info`, `_bucket`).
    kind : {"counter", "gauge", "histogram", "info"}
    labels : tuple of str
        Label names.
    meaning : str
        Help text; names the unit.
    buckets : tuple of float
        Upper bounds of a histogram.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()

    @property
    def shown_name(self) -> str:
        """The name as it is queried."""
        suffix = {"counter": "_total", "info": "_info", "histogram": "_bucket"}.get(self.kind, "")
        return self.name + suffix


_DEVICE: Final = ("device",)

METRICS: Final = (
    # What a device hears
    Metric(
        "soundscene_device_scene", "gauge", ("device", "scene"), "1 for the scene of the device's last window, else 0"
    ),
    Metric("soundscene_device_score_ratio", "gauge", _DEVICE, "Score of that scene, 0 to 1; not a probability"),
    Metric("soundscene_device_assessable", "gauge", _DEVICE, "1 when the last verdict may be believed, else 0"),
    Metric("soundscene_device_level_dbfs", "gauge", _DEVICE, "RMS level of the last window in dB of full scale"),
    Metric("soundscene_device_level_dbspl", "gauge", _DEVICE, "The same in dB SPL; only of calibrated devices"),
    Metric(
        "soundscene_device_coverage_ratio", "gauge", _DEVICE, "Share of the last minute of sound that arrived, 0 to 1"
    ),
    Metric(
        "soundscene_device_last_audio_timestamp_seconds",
        "gauge",
        _DEVICE,
        "Capture time of the end of the last chunk, Unix seconds by the device's clock",
    ),
    Metric("soundscene_device_windows", "counter", ("device", "scene"), "Windows published, by winning scene"),
    Metric("soundscene_device_audio_seconds", "counter", _DEVICE, "Sound taken in, each sample once"),
    Metric(
        "soundscene_device_gap_seconds", "counter", ("device", "cause"), "Sound lost, by cause: missing or rejected"
    ),
    # What arrives
    Metric("soundscene_chunks", "counter", ("fate",), "Decoded chunks: accepted, duplicate or late"),
    Metric("soundscene_rejected_chunks", "counter", ("reason",), "Records that are no usable chunk"),
    Metric(
        "soundscene_dead_letters",
        "counter",
        ("outcome",),
        "Rejected records reported (written) or only counted (withheld)",
    ),
    Metric("soundscene_sessions", "gauge", (), "Open sessions: runs of a device at one sample rate"),
    Metric("soundscene_buffered_bytes", "gauge", (), "Sound held for windows that are not complete yet"),
    Metric("soundscene_devices", "gauge", (), "Devices that have a label of their own"),
    Metric("soundscene_devices_over_limit", "counter", (), "Chunks of devices counted under _other for lack of room"),
    # What leaves
    Metric("soundscene_scores", "histogram", ("scene",), "Winning scores, by scene", _SCORES),
    Metric("soundscene_unassessable_windows", "counter", ("reason",), "Windows whose verdict should not be believed"),
    Metric(
        "soundscene_latency_seconds",
        "histogram",
        ("stage",),
        "Seconds per stage: capture_to_worker, features, inference, total (from capture to publication)",
        _LATENCY_SECONDS,
    ),
    # The worker and its group
    Metric("soundscene_consumer_lag_records", "gauge", ("partition",), "Records ahead of the worker"),
    Metric("soundscene_assigned_partitions", "gauge", (), "Partitions this worker owns"),
    Metric("soundscene_partition_changes", "counter", ("change",), "Partitions assigned and revoked"),
    Metric("soundscene_commits", "counter", ("outcome",), "Commits that the group took or refused"),
    Metric("soundscene_restarts_from_commit", "counter", (), "Times the worker went back to its last commit"),
    Metric("soundscene_broker_connected", "gauge", (), "1 while a broker is connected, else 0"),
    Metric("soundscene_loop_timestamp_seconds", "gauge", (), "When the loop last turned, Unix seconds"),
    Metric("soundscene_bundle", "info", ("name", "version", "hash"), "The bundle that makes the predictions"),
    Metric("soundscene_build", "info", ("version",), "The software"),
)
"""Grouped as the documentation shows them."""
