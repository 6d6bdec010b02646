"""What the dashboard shows: rows of panels, each with its question and the PromQL that answers it.

`$device` is the dashboard's variable (a regular expression), `$__rate_interval` Grafana's.
"""

from scripts.dashboard_model import Panel, Query, Row


def _latency(quantile: float) -> str:
    """Return a quantile of the total latency over all workers."""
    rate = 'sum by (le) (rate(soundscene_stage_latency_seconds_bucket{stage="total"}[$__rate_interval]))'
    return f"histogram_quantile({quantile}, {rate})"


def _per_minute(metric: str, by: str) -> str:
    """Return how often a counter was raised per minute, by a label."""
    return f"60 * sum by ({by}) (rate({metric}[$__rate_interval]))"


OVERVIEW = Row(
    "Now",
    (
        Panel(
            "stat",
            "Devices",
            "Devices that send sound now. Two workers may show the same one for a moment after a rebalance.",
            (Query("count(count by (device) (soundscene_device_last_audio_timestamp_seconds))"),),
            width=4,
            height=4,
        ),
        Panel(
            "stat",
            "Predictions per minute",
            "A device makes one per window step, 2.3 seconds with the default bundle.",
            (Query("60 * sum(rate(soundscene_device_windows_total[$__rate_interval]))"),),
            width=4,
            height=4,
        ),
        Panel(
            "stat",
            "Lowest coverage",
            "The device that lost the largest share of its last five minutes of sound.",
            (Query("min(soundscene_device_coverage_ratio)"),),
            unit="percentunit",
            width=4,
            height=4,
        ),
        Panel(
            "stat",
            "Latency, 95 %",
            "From the capture of a window's last sample to its prediction.",
            (Query(_latency(0.95)),),
            unit="s",
            width=4,
            height=4,
        ),
        Panel(
            "stat",
            "Lag",
            "Records that wait for the workers, all partitions together.",
            (Query("sum(soundscene_consumer_lag_records)"),),
            width=4,
            height=4,
        ),
        Panel(
            "stat",
            "Rejected per minute",
            "Records that are no usable chunk.",
            (Query("60 * sum(rate(soundscene_chunks_rejected_total[$__rate_interval]))"),),
            width=4,
            height=4,
        ),
    ),
)

SCENES = Row(
    "Scenes",
    (
        Panel(
            "scenes",
            "Scene of each device",
            "The winner of the device's last window.",
            (Query('max by (device, scene) (soundscene_device_scene{device=~"$device"}) == 1'),),
            width=24,
            height=10,
        ),
        Panel(
            "timeseries",
            "Score",
            "Score of the winner: how often it is right, if the bundle was calibrated on such sound; else a rank.",
            (Query('max by (device) (soundscene_device_score_ratio{device=~"$device"})', "{{device}}"),),
            unit="percentunit",
            maximum=1.0,
        ),
        Panel(
            "timeseries",
            "Windows per minute, by scene",
            "How often each scene has won.",
            (Query(_per_minute('soundscene_device_windows_total{device=~"$device"}', "scene"), "{{scene}}"),),
        ),
        Panel(
            "timeseries",
            "Score by scene, median",
            "Half of a scene's verdicts score higher. A falling median: sounds change.",
            (
                Query(
                    "histogram_quantile(0.5, sum by (le, scene)"
                    " (rate(soundscene_window_score_ratio_bucket[$__rate_interval])))",
                    "{{scene}}",
                ),
            ),
            unit="percentunit",
            maximum=1.0,
        ),
        Panel(
            "timeseries",
            "Verdicts not to be believed, per minute",
            "By reason; a window can have several.",
            (Query(_per_minute("soundscene_windows_unassessable_total", "reason"), "{{reason}}"),),
        ),
    ),
)

SOUND = Row(
    "Sound",
    (
        Panel(
            "timeseries",
            "Level",
            "RMS of the last window; 0 dB is digital full scale.",
            (Query('max by (device) (soundscene_device_level_dbfs{device=~"$device"})', "{{device}}"),),
            unit="dB",
            minimum=None,
        ),
        Panel(
            "timeseries",
            "Sound pressure level",
            "RMS of the last window, unweighted; only of devices that send their calibration.",
            (Query('max by (device) (soundscene_device_level_dbspl{device=~"$device"})', "{{device}}"),),
            unit="dB",
            minimum=None,
        ),
        Panel(
            "timeseries",
            "Coverage",
            "Share of the last five minutes of sound that arrived, in the device's own samples.",
            (Query('min by (device) (soundscene_device_coverage_ratio{device=~"$device"})', "{{device}}"),),
            unit="percentunit",
            maximum=1.0,
        ),
        Panel(
            "timeseries",
            "Sound lost, by cause",
            "Seconds lost per second. Missing sound never came; rejected sound came unusable.",
            (
                Query(
                    'sum by (cause) (rate(soundscene_device_gap_seconds_total{device=~"$device"}[$__rate_interval]))',
                    "{{cause}}",
                ),
            ),
            unit="percentunit",
        ),
        Panel(
            "timeseries",
            "Since the last sound",
            "Age of the newest sample by the device's own clock: a wrong clock shows here too.",
            (
                Query(
                    'time() - max by (device) (soundscene_device_last_audio_timestamp_seconds{device=~"$device"})',
                    "{{device}}",
                ),
            ),
            unit="s",
            minimum=None,
        ),
        Panel(
            "timeseries",
            "Chunks per minute, by fate",
            "A late chunk came after its place in the session had been given up.",
            (Query(_per_minute("soundscene_device_chunks_total", "fate"), "{{fate}}"),),
        ),
        Panel(
            "timeseries",
            "Rejected chunks per minute, by reason",
            "Each one is described in the dead-letters topic, as far as the limit on reports allows.",
            (Query(_per_minute("soundscene_chunks_rejected_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "timeseries",
            "Dead letters per minute",
            "Reports written, withheld by the limit, or failed: their topic did not take them.",
            (Query(_per_minute("soundscene_dead_letters_total", "outcome"), "{{outcome}}"),),
        ),
    ),
)

SPEED = Row(
    "Latency",
    (
        Panel(
            "heatmap",
            "From capture to prediction",
            "Windows by the time from their last sample to their prediction.",
            (
                Query(
                    'sum by (le) (increase(soundscene_stage_latency_seconds_bucket{stage="total"}[$__rate_interval]))',
                    "{{le}}",
                ),
            ),
            unit="short",
        ),
        Panel(
            "timeseries",
            "From capture to prediction, percentiles",
            "Half, 95 % and 99 % of the windows are faster.",
            (
                Query(_latency(0.5), "50 %"),
                Query(_latency(0.95), "95 %"),
                Query(_latency(0.99), "99 %"),
            ),
            unit="s",
        ),
        Panel(
            "timeseries",
            "Mean by stage",
            "Waiting for the chunk and the broker; features; networks.",
            (
                Query(
                    "sum by (stage) (rate(soundscene_stage_latency_seconds_sum[$__rate_interval]))"
                    " / sum by (stage) (rate(soundscene_stage_latency_seconds_count[$__rate_interval]))",
                    "{{stage}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            "timeseries",
            "Lag",
            "Records that wait, by partition.",
            (Query("max by (partition) (soundscene_consumer_lag_records)", "partition {{partition}}"),),
        ),
        Panel(
            "timeseries",
            "Backlog",
            "How long ago the records were written that the workers are taking now.",
            (Query("max by (partition) (soundscene_consumer_backlog_seconds)", "partition {{partition}}"),),
            unit="s",
        ),
        Panel(
            "timeseries",
            "Log's clock behind its records",
            "Beyond idle_seconds sessions may be cut; far below 0 the commit may stand still.",
            (Query("max by (partition) (soundscene_partition_clock_lag_seconds)", "partition {{partition}}"),),
            unit="s",
            minimum=None,
        ),
    ),
)

WORKERS = Row(
    "Workers",
    (
        Panel(
            "timeseries",
            "Partitions assigned",
            "How the group shares the topic.",
            (Query("soundscene_partitions_assigned", "{{instance}}"),),
        ),
        Panel(
            "timeseries",
            "Changes and commits per minute",
            "Partitions that moved, commits, and predictions that were not acknowledged and are made again.",
            (
                Query(_per_minute("soundscene_partition_changes_total", "change"), "{{change}}"),
                Query(_per_minute("soundscene_commits_total", "outcome"), "commits {{outcome}}"),
                Query("60 * sum(rate(soundscene_deliveries_failed_total[$__rate_interval]))", "failed deliveries"),
            ),
        ),
        Panel(
            "timeseries",
            "Alive and connected",
            "Seconds since the loop last turned, and whether a broker answers (1).",
            (
                Query("time() - soundscene_loop_heartbeat_timestamp_seconds", "{{instance}} last turn"),
                Query("soundscene_broker_reachable", "{{instance}} reachable"),
            ),
        ),
        Panel(
            "timeseries",
            "Devices and sessions",
            "Devices with metrics of their own; new sessions and chunks of devices beyond that limit, per minute.",
            (
                Query("sum(soundscene_devices)", "devices"),
                Query("60 * sum(rate(soundscene_sessions_opened_total[$__rate_interval]))", "new sessions"),
                Query("60 * sum(rate(soundscene_device_overflow_total[$__rate_interval]))", "over the limit"),
            ),
        ),
        Panel(
            "timeseries",
            "Sound taken in",
            "Seconds of sound per second: the number of devices that each worker keeps up with.",
            (
                Query(
                    "sum by (instance) (rate(soundscene_device_audio_seconds_total[$__rate_interval]))", "{{instance}}"
                ),
            ),
        ),
        Panel(
            "timeseries",
            "Memory held by open windows",
            "It does not grow with the backlog: what is not fetched waits in Kafka.",
            (Query("soundscene_buffered_bytes", "{{instance}}"),),
            unit="bytes",
        ),
        Panel(
            "timeseries",
            "Sessions closed and partitions paused",
            "Crowded or oversized: limits are at work. Paused: a turn's records take longer than a turn.",
            (
                Query(_per_minute("soundscene_sessions_closed_total", "cause"), "{{cause}}"),
                Query("sum(soundscene_partitions_paused)", "paused"),
            ),
        ),
        Panel(
            "table",
            "Bundle",
            "What makes the predictions. More than one hash: the workers do not agree.",
            (Query("count by (name, version, hash) (soundscene_bundle_info)"),),
        ),
        Panel(
            "timeseries",
            "Bundles loaded and refused per minute",
            "A refused one changes nothing; the log of the worker says what is wrong with it.",
            (Query(_per_minute("soundscene_bundle_reloads_total", "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "table",
            "Software",
            "Versions and how many workers run each.",
            (Query("count by (version) (soundscene_build_info)"),),
        ),
    ),
)

PROOF = Row(
    "Proof",
    (
        Panel(
            "timeseries",
            "Windows in the log",
            "What a watching auditor finds. Awaited: no prediction yet, within its grace. Differing: two disagree.",
            (
                Query("sum(soundscene_audit_windows_expected)", "expected"),
                Query("sum(soundscene_audit_windows_published)", "published"),
                Query("sum(soundscene_audit_windows_awaited)", "awaited"),
                Query("sum(soundscene_audit_windows_differing)", "differing"),
            ),
        ),
        Panel(
            "timeseries",
            "Windows missing, by cause",
            "Only the cause `worker` is a fault of the system; the others name the sound that was lost before it.",
            (Query("sum by (cause) (soundscene_audit_windows_missing)", "{{cause}}"),),
        ),
        Panel(
            "timeseries",
            "Auditor",
            "Seconds since it last looked, age of the oldest window it awaits, and whether a broker answers (1).",
            (
                Query("time() - max(soundscene_audit_last_look_timestamp_seconds)", "last look"),
                Query("max(soundscene_audit_awaited_seconds)", "oldest awaited"),
                Query("min(soundscene_audit_broker_reachable)", "reachable"),
            ),
            width=24,
        ),
    ),
)

ROWS: tuple[Row, ...] = (OVERVIEW, SCENES, SOUND, SPEED, WORKERS, PROOF)
