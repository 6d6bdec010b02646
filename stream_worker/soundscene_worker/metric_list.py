"""Every metric of the worker: a closed list, from which the metrics are made and `docs/metrics.md` is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["AUDIT_METRICS", "DEVICE_METRICS", "METRICS", "OTHER_DEVICES", "Definition", "markdown"]

PREFIX: Final = "soundscene_"
OTHER_DEVICES: Final = "_other"
"""Label under which devices beyond the limit are counted together; no device may have this name."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric.

    Parameters
    ----------
    name : str
        As it is scraped, without the prefix.
    kind : str
        `counter`, `gauge`, `histogram` or `info` (a gauge that is always 1 and says something in its labels).
    unit : str
        Base unit, empty for a plain number.
    labels : tuple of str
    meaning : str
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    unit: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def full_name(self) -> str:
        """The name as it is scraped."""
        return PREFIX + self.name


METRICS: Final = (
    Definition("build_info", "info", "", ("version",), "The program."),
    Definition("bundle_info", "info", "", ("name", "version", "hash"), "The networks in use."),
    Definition(
        "bundle_reloads_total",
        "counter",
        "bundles",
        ("outcome",),
        "Bundles that replaced the one in use, `loaded`, or could not, `refused`: the log says why.",
    ),
    Definition(
        "loop_heartbeat_timestamp_seconds", "gauge", "seconds", (), "When the loop last turned, in seconds since 1970."
    ),
    Definition("broker_reachable", "gauge", "", (), "1 while a broker is connected."),
    Definition("partitions_assigned", "gauge", "partitions", (), "Partitions this worker reads."),
    Definition(
        "partitions_paused",
        "gauge",
        "partitions",
        (),
        "Partitions of which nothing is fetched, because what was fetched takes longer than a turn.",
    ),
    Definition(
        "partition_changes_total",
        "counter",
        "partitions",
        ("change",),
        "Partitions that changed hands: `assigned`, `revoked` (given up in order), `lost` (taken).",
    ),
    Definition(
        "consumer_lag_records", "gauge", "records", ("topic", "partition"), "Records that lie ahead of this worker."
    ),
    Definition(
        "consumer_backlog_seconds",
        "gauge",
        "seconds",
        ("topic", "partition"),
        "How long ago the records that are being taken were written; 0 while none lies ahead.",
    ),
    Definition(
        "partition_clock_lag_seconds",
        "gauge",
        "seconds",
        ("topic", "partition"),
        "How far the log's clock, by which sessions count as idle, lies behind the stamps of the last records; below 0 "
        "ahead of them. `operations.md` says what either costs beyond `idle_seconds`.",
    ),
    Definition(
        "commits_total",
        "counter",
        "",
        ("outcome",),
        "Commits that were `stored`, or `refused` (a rebalance or an outage; the next one makes up for it).",
    ),
    Definition("deliveries_failed_total", "counter", "", (), "Times that predictions were not acknowledged."),
    Definition(
        "chunks_rejected_total", "counter", "chunks", ("reason",), "Chunks that could not be used; see `messages.md`."
    ),
    Definition(
        "dead_letters_total",
        "counter",
        "",
        ("outcome",),
        "Dead letters `written`, `withheld` by the rate limit, or `failed`: their topic did not take them.",
    ),
    Definition("sessions_opened_total", "counter", "sessions", (), "Sessions that began, or came back after a rest."),
    Definition(
        "sessions_closed_total",
        "counter",
        "sessions",
        ("cause",),
        "Sessions that ended: `idle`, `replaced` by newer ones of the device, `crowded` out by other devices, "
        "`oversized` (they held too much memory), `handed_over` with their partition.",
    ),
    Definition("buffered_bytes", "gauge", "bytes", (), "Memory that sound of windows not yet complete takes."),
    Definition(
        "windows_unassessable_total",
        "counter",
        "windows",
        ("reason",),
        "Windows whose verdict should not be believed, by reason; a window may have several.",
    ),
    Definition(
        "window_score_ratio", "histogram", "ratio", ("scene",), "Scores of the winning scene, 0 to 1, of all devices."
    ),
    Definition(
        "stage_latency_seconds",
        "histogram",
        "seconds",
        ("stage",),
        "Time per window and stage: `capture_to_worker` from the end of the window's sound to its arrival, `features`, "
        "`inference`, `total` from the end of the sound to publication. A sensor clock that runs ahead counts as 0.",
    ),
    Definition(
        "devices", "gauge", "devices", (), "Devices with metrics of their own; more than the limit are not counted."
    ),
    Definition(
        "device_overflow_total",
        "counter",
        "chunks",
        (),
        f"Chunks of devices beyond the limit, whose counters appear under `{OTHER_DEVICES}`.",
    ),
)

DEVICE_METRICS: Final = (
    Definition(
        "device_chunks_total",
        "counter",
        "chunks",
        ("device", "fate"),
        "Chunks that were `accepted`, a `duplicate`, or too `late`.",
    ),
    Definition("device_audio_seconds_total", "counter", "seconds", ("device",), "Sound heard."),
    Definition(
        "device_gap_seconds_total",
        "counter",
        "seconds",
        ("device", "cause"),
        "Sound given up for lost: `missing`, or `rejected` because it arrived unusable.",
    ),
    Definition(
        "device_coverage_ratio",
        "gauge",
        "ratio",
        ("device",),
        "Share of the sound that was heard, over the last 300 s of a device's sound. A device that has fallen silent "
        "keeps its value: see `device_last_audio_timestamp_seconds`.",
    ),
    Definition(
        "device_last_audio_timestamp_seconds",
        "gauge",
        "seconds",
        ("device",),
        "Capture time of the latest sound heard, by the device's clock, in seconds since 1970.",
    ),
    Definition("device_windows_total", "counter", "windows", ("device", "scene"), "Predictions, by winning scene."),
    Definition(
        "device_scene",
        "gauge",
        "",
        ("device", "scene"),
        "State set: 1 for the scene of the last window, 0 for all others.",
    ),
    Definition("device_score_ratio", "gauge", "ratio", ("device",), "Score of the last window's scene, 0 to 1."),
    Definition(
        "device_assessable", "gauge", "", ("device",), "1 when the last window's verdict may be believed, 0 if not."
    ),
    Definition("device_level_dbfs", "gauge", "dB", ("device",), "RMS level of the last window relative to full scale."),
    Definition(
        "device_level_dbspl",
        "gauge",
        "dB",
        ("device",),
        "Sound pressure level of the last window, unweighted; calibrated devices only.",
    ),
)

_INTRODUCTION = f"""\
# Metrics

The worker serves these at `/metrics`, in the Prometheus text format or OpenMetrics, whichever is asked for.
This page is written from the list in `soundscene_worker/metric_list.py`; a test keeps the two equal:
`python -m soundscene_worker.metric_list > docs/metrics.md`.

Rules: base units, `_total` for counters, points in time instead of ages. Label values are closed sets, but for
`device`, which is admitted up to a limit (`--max-devices`); the counters of further devices are added up under
`{OTHER_DEVICES}`. A device's series begin at 0 with its first chunk and are gone when its last session closes, so that
no frozen value is left. One device is {{series}} series with ten scenes: 500 devices are about {{thousands}} thousand.
"""

AUDIT_METRICS: Final = (
    Definition("audit_broker_reachable", "gauge", "", (), "1 when the last look reached a broker."),
    Definition("audit_last_look_timestamp_seconds", "gauge", "seconds", (), "When the topics were last compared."),
    Definition("audit_windows_expected", "gauge", "windows", (), "Windows that must exist by now."),
    Definition("audit_windows_published", "gauge", "windows", (), "Of these, windows with a prediction."),
    Definition(
        "audit_windows_missing",
        "gauge",
        "windows",
        ("cause",),
        "Windows without a prediction: `worker` lost them; every other cause says why their sound cannot be had.",
    ),
    Definition("audit_windows_differing", "gauge", "windows", (), "Windows whose predictions contradict each other."),
    Definition(
        "audit_windows_awaited", "gauge", "windows", (), "Windows without a prediction, within the grace period."
    ),
    Definition("audit_awaited_seconds", "gauge", "seconds", (), "How long the oldest of these has been awaited."),
)


def markdown() -> str:
    """Return the page that lists all metrics."""
    per_device = sum(_series(definition, 10) for definition in DEVICE_METRICS)
    introduction = _INTRODUCTION.format(series=per_device, thousands=round(per_device * 500 / 1000))
    tables = (
        _table("The worker", METRICS),
        _table("Each device", DEVICE_METRICS),
        _table("The auditor (`soundscene-audit --follow`)", AUDIT_METRICS),
    )
    return "\n".join((introduction, *tables))


def _series(definition: Definition, scenes: int) -> int:
    return {"scene": scenes, "fate": 3, "cause": 2}.get(definition.labels[-1], 1)


def _table(title: str, definitions: tuple[Definition, ...]) -> str:
    rows = (
        f"| `{d.full_name}` | {d.kind} | {d.unit} | {', '.join(f'`{label}`' for label in d.labels)} | {d.meaning} |"
        for d in definitions
    )
    return "\n".join(
        (f"## {title}", "", "| name | type | unit | labels | meaning |", "|---|---|---|---|---|", *rows, "")
    )


if __name__ == "__main__":
    print(markdown(), end="")
