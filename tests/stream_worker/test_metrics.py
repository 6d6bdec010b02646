"""The metrics say what happened, under the names and labels of the documented list and no others."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from soundscene.assessment import Reason
from soundscene.windows import Fate
from soundscene_worker.broker.protocol import Polled, TopicPartition
from soundscene_worker.messages.chunk import AudioChunk, RejectionReason
from soundscene_worker.messages.prediction import ModelReference, ScenePrediction
from soundscene_worker.metric_list import DEVICE_METRICS, METRICS, OTHER_DEVICES, markdown
from soundscene_worker.metrics import WorkerMetrics
from soundscene_worker.streams.partition import End, Taken
from soundscene_worker.streams.session import Gap

ROOT = Path(__file__).resolve().parents[2]
EPOCH = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Bundle:
    name: str = "demo"
    version: str = "1"
    hash: str = "ab" * 32
    labels: tuple[str, ...] = ("bus", "park")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> WorkerMetrics:
    return WorkerMetrics(registry, Bundle(), version="0.1.0", max_devices=2, now=lambda: 1000.0)


def chunk(device: str = "mic-1", at_seconds: float = 0.0) -> AudioChunk:
    return AudioChunk(
        device=device,
        session="a",
        sequence=0,
        first_sample=0,
        sample_count=8_000,
        sample_rate_hz=8_000,
        channels=1,
        encoding="pcm_s16le",
        capture_time=EPOCH + timedelta(seconds=at_seconds),
        samples=np.zeros(8_000, np.float32),
    )


def prediction(device: str = "mic-1", scene: str = "bus", score: float = 0.8) -> ScenePrediction:
    return ScenePrediction(
        id="0" * 32,
        device=device,
        session="a",
        first_sample=0,
        sample_count=220_096,
        sample_rate=44_100,
        start=EPOCH,
        end=EPOCH + timedelta(seconds=5),
        scene=scene,
        score=score,
        scores={"bus": score, "park": 1 - score},
        networks={"mel": "bus", "gammatone": "bus", "cqt": "park"},
        smoothed_scene=scene,
        smoothed_score=score,
        assessable=True,
        reasons=(),
        level_dbfs=-30.0,
        level_dbspl=None,
        model=ModelReference("demo", "1", "ab" * 32),
        latency_seconds={"capture_to_worker": 0.2, "features": 0.01, "inference": 0.02, "total": 0.3},
    )


def everything(metrics: WorkerMetrics) -> None:
    """Let everything happen at least once."""
    for device in ("mic-1", "mic-2", "mic-3"):
        metrics.chunk_taken(chunk(device), Taken(Fate.ACCEPTED, 1.0, gaps=(Gap("missing", 0.5),), new_session=True))
        metrics.window_published(replace(prediction(device), level_dbspl=64.0))
    metrics.lag({TopicPartition("audio.chunks", 3): 17}, {})
    metrics.clock_lag({TopicPartition("audio.chunks", 3): -0.5})


class TestList:
    def test_every_documented_metric_is_served_and_no_other(
        self, registry: CollectorRegistry, metrics: WorkerMetrics
    ) -> None:
        """The exposition has exactly the names, types and label names of the list."""
        everything(metrics)
        served = {}
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert not name.endswith("_created_total")
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            served[name] = (family.type, labels, family.documentation)
        listed = {
            d.full_name: ("gauge" if d.kind == "info" else d.kind, set(d.labels), d.meaning)
            for d in (*METRICS, *DEVICE_METRICS)
        }
        assert served == listed

    def test_the_page_is_written_from_the_list(self) -> None:
        """`docs/metrics.md` is what `python -m soundscene_worker.metric_list` prints."""
        assert (ROOT / "docs" / "metrics.md").read_text() == markdown()

    def test_prometheus_finds_no_fault(
        self, promtool: str, registry: CollectorRegistry, metrics: WorkerMetrics
    ) -> None:
        """`promtool check metrics` accepts the names and the format."""
        everything(metrics)
        outcome = subprocess.run(
            [promtool, "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
        )
        assert (outcome.returncode, outcome.stdout + outcome.stderr) == (0, b"")

    def test_openmetrics_is_served_too(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """The other format has the same samples and no `_created` series."""
        everything(metrics)
        text = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]
        assert 'soundscene_device_windows_total{device="mic-1",scene="bus"} 1.0' in text
        assert "_created" not in text
        assert text.endswith("# EOF\n")

    def test_known_label_values_begin_at_zero(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """A rate can be taken from the first event on: closed label sets exist before anything happens."""
        for reason in RejectionReason:
            assert registry.get_sample_value("soundscene_chunks_rejected_total", {"reason": reason}) == 0
        for outcome in ("stored", "refused"):
            assert registry.get_sample_value("soundscene_commits_total", {"outcome": outcome}) == 0
        for scene in Bundle.labels:
            assert registry.get_sample_value("soundscene_window_score_ratio_count", {"scene": scene}) == 0

    def test_two_workers_share_nothing(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """A second worker with a registry of its own counts by itself."""
        second = CollectorRegistry()
        WorkerMetrics(second, Bundle()).commit_refused()
        assert second.get_sample_value("soundscene_commits_total", {"outcome": "refused"}) == 1
        assert registry.get_sample_value("soundscene_commits_total", {"outcome": "refused"}) == 0


class TestDevices:
    def test_a_state_set_shows_the_last_scene(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Exactly one scene of a device is 1, and it follows the predictions."""
        metrics.chunk_taken(chunk(), Taken(Fate.ACCEPTED, 1.0))
        for scene in ("bus", "park"):
            metrics.window_published(prediction(scene=scene))
            states = {
                s: registry.get_sample_value("soundscene_device_scene", {"device": "mic-1", "scene": s})
                for s in Bundle.labels
            }
            assert states == {s: float(s == scene) for s in Bundle.labels}
        assert registry.get_sample_value("soundscene_device_windows_total", {"device": "mic-1", "scene": "bus"}) == 1

    def test_level_in_spl_needs_a_calibration(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """An uncalibrated device has no sound pressure level, a calibrated one has."""
        metrics.chunk_taken(chunk(), Taken(Fate.ACCEPTED, 1.0))
        metrics.window_published(prediction())
        assert registry.get_sample_value("soundscene_device_level_dbfs", {"device": "mic-1"}) == -30
        assert registry.get_sample_value("soundscene_device_level_dbspl", {"device": "mic-1"}) is None
        metrics.window_published(replace(prediction(), level_dbspl=64.0))
        assert registry.get_sample_value("soundscene_device_level_dbspl", {"device": "mic-1"}) == 64

    def test_devices_beyond_the_limit_are_counted_together(
        self, registry: CollectorRegistry, metrics: WorkerMetrics
    ) -> None:
        """A flood of device names adds no series; what they sent is counted once, under one label."""
        for index in range(50):
            metrics.chunk_taken(chunk(f"mic-{index}"), Taken(Fate.ACCEPTED, 1.0))
            metrics.window_published(prediction(f"mic-{index}"))
        text = generate_latest(registry).decode()
        devices = {
            s.labels["device"] for f in text_string_to_metric_families(text) for s in f.samples if "device" in s.labels
        }
        assert devices == {"mic-0", "mic-1", OTHER_DEVICES}
        other = {"device": OTHER_DEVICES}
        assert registry.get_sample_value("soundscene_device_chunks_total", other | {"fate": "accepted"}) == 48
        assert registry.get_sample_value("soundscene_device_windows_total", other | {"scene": "bus"}) == 48
        assert registry.get_sample_value("soundscene_device_overflow_total") == 48
        assert registry.get_sample_value("soundscene_device_level_dbfs", other) is None
        assert registry.get_sample_value("soundscene_devices") == 2

    def test_a_departed_device_leaves_no_series(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Its last values are not frozen, and its place is free for another."""
        everything(metrics)
        metrics.keep_devices({"mic-2"})
        assert 'device="mic-1"' not in generate_latest(registry).decode()
        assert registry.get_sample_value("soundscene_devices") == 1
        metrics.chunk_taken(chunk("mic-4"), Taken(Fate.ACCEPTED, 1.0))
        assert registry.get_sample_value("soundscene_device_audio_seconds_total", {"device": "mic-4"}) == 1

    def test_chunks_are_counted_by_fate(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Duplicates and late chunks are told from those that were used; only these move the last-audio time."""
        metrics.chunk_taken(chunk(at_seconds=1), Taken(Fate.ACCEPTED, 1.0))
        metrics.chunk_taken(chunk(at_seconds=50), Taken(Fate.LATE))
        metrics.chunk_taken(chunk(at_seconds=60), Taken(Fate.DUPLICATE))
        for fate in Fate:
            labels = {"device": "mic-1", "fate": fate}
            assert registry.get_sample_value("soundscene_device_chunks_total", labels) == 1
        last = registry.get_sample_value("soundscene_device_last_audio_timestamp_seconds", {"device": "mic-1"})
        assert last == EPOCH.timestamp() + 2

    def test_a_chunk_out_of_order_takes_no_time_back(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """The last sound is the latest of the session, partly known or not; a new one begins anew."""
        for at_seconds, is_new_session, expected in ((5, True, 6), (3, False, 6), (6, False, 7), (1, True, 2)):
            metrics.chunk_taken(chunk(at_seconds=at_seconds), Taken(Fate.ACCEPTED, 0.5, new_session=is_new_session))
            last = registry.get_sample_value("soundscene_device_last_audio_timestamp_seconds", {"device": "mic-1"})
            assert last == EPOCH.timestamp() + expected

    @given(st.lists(st.tuples(st.floats(1, 10), st.floats(0, 100)), min_size=1, max_size=60))
    def test_coverage_is_the_share_of_the_last_minutes(self, pieces: list[tuple[float, float]]) -> None:
        """Coverage equals heard / (heard + lost) over the shortest tail of at least 300 s."""
        registry = CollectorRegistry()
        metrics = WorkerMetrics(registry, Bundle())
        for heard, lost in pieces:
            metrics.chunk_taken(chunk(), Taken(Fate.ACCEPTED, heard, gaps=(Gap("missing", lost),)))
        tails = [pieces[start:] for start in range(len(pieces))]
        tail = next((t for t in reversed(tails) if sum(map(sum, t)) >= 300), pieces)
        expected = sum(heard for heard, _ in tail) / sum(map(sum, tail))
        coverage = registry.get_sample_value("soundscene_device_coverage_ratio", {"device": "mic-1"})
        assert coverage == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize(
        ("taken", "expected"),
        [(Taken(Fate.DUPLICATE), 200 / 300), (Taken(Fate.LATE), 200 / 300), (Taken(Fate.ACCEPTED, 0.01), 233 / 300)],
    )
    def test_coverage_is_counted_in_bounded_memory(
        self, registry: CollectorRegistry, metrics: WorkerMetrics, taken: Taken, expected: float
    ) -> None:
        """Neither repetitions without end nor the smallest chunks pile up, and the share is as right as ever."""
        for second in range(280):
            gaps = (Gap("missing", 1.0),) * (second % 2)
            metrics.chunk_taken(chunk(), Taken(Fate.ACCEPTED, 1.0, gaps=gaps))
        for _ in range(10_000):
            metrics.chunk_taken(chunk(), taken)
        assert len(metrics._devices._devices["mic-1"].recent) < 2 * 300
        coverage = registry.get_sample_value("soundscene_device_coverage_ratio", {"device": "mic-1"})
        assert coverage == pytest.approx(expected, abs=0.01)

    def test_sound_and_sessions_add_up(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Every second of new sound counts, and a session only when it is opened."""
        for seconds, is_new_session in ((1.0, True), (0.25, False), (0.5, False)):
            metrics.chunk_taken(chunk(), Taken(Fate.ACCEPTED, seconds, new_session=is_new_session))
        assert registry.get_sample_value("soundscene_device_audio_seconds_total", {"device": "mic-1"}) == 1.75
        assert registry.get_sample_value("soundscene_sessions_opened_total") == 1

    def test_a_window_is_counted_by_its_own_verdict(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Scene and score are those of the window, not the smoothed ones; each reason against it counts by itself."""
        metrics.chunk_taken(chunk(), Taken(Fate.ACCEPTED, 1.0))
        doubtful = replace(prediction(), smoothed_scene="park", smoothed_score=0.6)
        metrics.window_published(replace(doubtful, assessable=False, reasons=("silent", "dc")))
        value = registry.get_sample_value
        for scene, count, total in (("bus", 1, 0.8), ("park", 0, 0.0)):
            assert value("soundscene_window_score_ratio_count", {"scene": scene}) == count
            assert value("soundscene_window_score_ratio_sum", {"scene": scene}) == total
            assert value("soundscene_device_windows_total", {"device": "mic-1", "scene": scene}) == count
            assert value("soundscene_device_scene", {"device": "mic-1", "scene": scene}) == count
        assert value("soundscene_device_score_ratio", {"device": "mic-1"}) == 0.8
        assert value("soundscene_device_assessable", {"device": "mic-1"}) == 0
        reasons = {str(r): value("soundscene_windows_unassessable_total", {"reason": str(r)}) for r in Reason}
        assert reasons == {"silent": 1, "clipped": 0, "dc": 1, "unsure": 0}
        metrics.window_published(prediction())
        assert value("soundscene_device_assessable", {"device": "mic-1"}) == 1

    def test_another_bundle_takes_no_count_back(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Scenes it brings begin at zero for every device, those that it does not know keep what they had."""
        everything(metrics)
        metrics.bundle_changed(Bundle(version="2", labels=("park", "tram")))
        metrics.bundle_refused()
        metrics.bundle_refused()
        value = registry.get_sample_value
        for device in ("mic-1", "mic-2", OTHER_DEVICES):
            for scene, count in (("bus", 1), ("park", 0), ("tram", 0)):
                assert value("soundscene_device_windows_total", {"device": device, "scene": scene}) == count
        facts = {"name": "demo", "hash": "ab" * 32}
        assert value("soundscene_bundle_info", facts | {"version": "1"}) is None
        assert value("soundscene_bundle_info", facts | {"version": "2"}) == 1
        for outcome, reloads in (("loaded", 1), ("refused", 2)):
            assert value("soundscene_bundle_reloads_total", {"outcome": outcome}) == reloads

    def test_gaps_are_counted_by_cause(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Missing and rejected sound add up apart from each other."""
        gaps = (Gap("missing", 2.0), Gap("rejected", 0.5), Gap("missing", 1.0))
        metrics.chunk_taken(chunk(), Taken(Fate.ACCEPTED, 1.0, gaps=gaps))
        for cause, seconds in (("missing", 3.0), ("rejected", 0.5)):
            labels = {"device": "mic-1", "cause": cause}
            assert registry.get_sample_value("soundscene_device_gap_seconds_total", labels) == seconds


class TestWorker:
    def test_lag_of_a_partition_that_left_is_forgotten(
        self, registry: CollectorRegistry, metrics: WorkerMetrics
    ) -> None:
        """Only partitions that are assigned have a lag, of records and of their clock."""
        first, second = TopicPartition("c", 0), TopicPartition("c", 1)
        metrics.lag({first: 5, second: 7}, {first: 2.0, second: 3.0})
        metrics.clock_lag({first: 4.0, second: 6.0})
        metrics.lag({second: 0}, {second: 3.0})
        metrics.clock_lag({second: -7.5})
        names = ("consumer_lag_records", "consumer_backlog_seconds", "partition_clock_lag_seconds")
        for name, value in zip(names, (0.0, 0.0, -7.5), strict=True):
            assert registry.get_sample_value(f"soundscene_{name}", {"topic": "c", "partition": "0"}) is None
            assert registry.get_sample_value(f"soundscene_{name}", {"topic": "c", "partition": "1"}) == value

    def test_a_backlog_has_the_age_of_its_records(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """It is told in seconds while records lie ahead; a clock that runs ahead counts as none."""
        first, second = TopicPartition("c", 0), TopicPartition("c", 1)
        metrics.lag({first: 5, second: 7}, {first: 2.5, second: -3.0})
        name = "soundscene_consumer_backlog_seconds"
        assert registry.get_sample_value(name, {"topic": "c", "partition": "0"}) == 2.5
        assert registry.get_sample_value(name, {"topic": "c", "partition": "1"}) == 0

    def test_the_assignment_is_counted(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Partitions that come, go and get lost are counted; what is left is a gauge."""
        partitions = frozenset(TopicPartition("c", index) for index in range(3))
        metrics.assignment(Polled(assigned=partitions), partitions)
        metrics.assignment(Polled(revoked=partitions), ())
        assert registry.get_sample_value("soundscene_partitions_assigned") == 0
        for change, count in (("assigned", 3), ("revoked", 3), ("lost", 0)):
            assert registry.get_sample_value("soundscene_partition_changes_total", {"change": change}) == count

    def test_a_clock_that_runs_ahead_does_not_lower_a_sum(
        self, registry: CollectorRegistry, metrics: WorkerMetrics
    ) -> None:
        """A negative latency counts as 0: the sum of a histogram must never fall."""
        metrics.window_published(replace(prediction(), latency_seconds={"total": -3.0}))
        assert registry.get_sample_value("soundscene_stage_latency_seconds_sum", {"stage": "total"}) == 0
        assert registry.get_sample_value("soundscene_stage_latency_seconds_count", {"stage": "total"}) == 1

    def test_outcomes_are_told_apart(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Commits, dead letters, rejections and failures each have their own count."""
        metrics.committed()
        metrics.commit_refused()
        metrics.dead_letter("written")
        metrics.dead_letter("withheld")
        metrics.chunk_rejected(RejectionReason.TRUNCATED)
        metrics.delivery_failed()
        metrics.session_closed(End.IDLE)
        metrics.paused(3)
        metrics.buffered(1_000)
        metrics.broker_reachable(True)
        value = registry.get_sample_value
        assert value("soundscene_commits_total", {"outcome": "stored"}) == 1
        assert value("soundscene_commits_total", {"outcome": "refused"}) == 1
        assert value("soundscene_dead_letters_total", {"outcome": "written"}) == 1
        assert value("soundscene_dead_letters_total", {"outcome": "withheld"}) == 1
        assert value("soundscene_chunks_rejected_total", {"reason": "truncated"}) == 1
        assert value("soundscene_deliveries_failed_total") == 1
        assert value("soundscene_sessions_closed_total", {"cause": "idle"}) == 1
        assert value("soundscene_partitions_paused") == 3
        assert value("soundscene_buffered_bytes") == 1_000
        assert value("soundscene_broker_reachable") == 1
        assert value("soundscene_loop_heartbeat_timestamp_seconds") == 1000
        assert value("soundscene_bundle_info", {"name": "demo", "version": "1", "hash": "ab" * 32}) == 1

    def test_ends_of_sessions_are_told_apart(self, registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
        """Each is counted under its own cause."""
        for count, end in enumerate(End, 1):
            for _ in range(count):
                metrics.session_closed(end)
        for count, end in enumerate(End, 1):
            assert registry.get_sample_value("soundscene_sessions_closed_total", {"cause": str(end)}) == count
