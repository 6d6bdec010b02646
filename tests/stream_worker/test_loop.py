"""Chunks in, predictions out: live equals offline, and no fault leaves a trace in the set of predictions."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier, WindowVerdict, smooth
from soundscene.fusion import Calibration
from soundscene.windows import WindowGrid
from soundscene_worker.broker.memory import MemoryCluster, MemoryConsumer
from soundscene_worker.broker.protocol import Commit
from soundscene_worker.messages.chunk import encode_chunk
from tests.stream_worker.loop_stage import (
    CHUNKS,
    DEAD_LETTERS,
    EPOCH,
    PREDICTIONS,
    SECONDS,
    Sensor,
    Start,
    published,
    run_to_the_end,
    without_latency,
)


@pytest.mark.parametrize("calibration", [None, Calibration(2.5, "clips")])
def test_live_equals_offline(
    cluster: MemoryCluster, start: Start, sensors: list[Sensor], tiny_bundle: Bundle, calibration: Calibration | None
) -> None:
    """What the topic holds is what the classifier says of the whole recordings, window by window and smoothed."""
    classifier = start.classifier = SceneClassifier(replace(tiny_bundle, calibration=calibration))
    run_to_the_end(start())
    live = {(p.device, p.first_sample): p for p in published(cluster)}
    front_end = classifier.bundle.front_end
    expected = 0
    for sensor in sensors:
        grid = WindowGrid(sensor.rate_hz, front_end)
        verdicts: list[WindowVerdict] = []
        for index in range(grid.count(len(sensor.samples))):
            first, end = grid.span(index)
            verdict = classifier.classify(grid.window(index, sensor.samples[first:end]))
            verdicts.append(verdict)
            smoothed = smooth(verdicts[-classifier.bundle.fusion.smoothing_windows :], classifier.bundle)
            prediction = live[sensor.device, verdict.first_sample]
            expected += 1
            assert prediction.scene == verdict.scene
            assert prediction.level_dbfs == pytest.approx(verdict.level_dbfs, abs=1e-6)
            np.testing.assert_allclose(list(prediction.scores.values()), verdict.scores, atol=1e-5)
            assert prediction.smoothed_score == pytest.approx(smoothed.max(), abs=1e-5)
            assert prediction.start == EPOCH + timedelta(seconds=first / sensor.rate_hz)
    assert len(live) == expected == 3 * 4


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 7, 8])
def test_a_killed_worker_leaves_no_trace(
    cluster: MemoryCluster, start: Start, undisturbed: set[str], turns: int
) -> None:
    """Workers that die after any number of turns, one after another, give the results of one that never died."""
    for _ in range(3):
        worker = start()
        run_to_the_end(worker, turns)
        assert isinstance(worker.consumer, MemoryConsumer)
        cluster.crash(worker.consumer)
    run_to_the_end(start())
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed


@pytest.mark.parametrize("fault", ["refuse_next_commit", "fail_next_delivery", "expire", "outage"])
@pytest.mark.parametrize("at", [2, 4, 6])
def test_a_fault_of_the_broker_leaves_no_trace(
    cluster: MemoryCluster, start: Start, undisturbed: set[str], fault: str, at: int
) -> None:
    """Refused commits, lost records, expulsion from the group and outages cost time and nothing else."""
    worker = start()
    run_to_the_end(worker, at)
    if fault == "expire":
        assert isinstance(worker.consumer, MemoryConsumer)
        cluster.expire(worker.consumer)
    elif fault == "outage":
        cluster.outage()
        run_to_the_end(worker, 2)
        cluster.outage(False)
    else:
        getattr(cluster, fault)()
    run_to_the_end(worker)
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed


def test_workers_that_join_and_leave_share_the_work(
    cluster: MemoryCluster, start: Start, undisturbed: set[str]
) -> None:
    """Partitions move between workers, and every window comes out."""
    first = start()
    run_to_the_end(first, 3)
    second = start()
    for _ in range(4):
        first.turn()
        second.turn()
    second.consumer.close()
    run_to_the_end(first)
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed


def test_a_bad_record_costs_nothing_but_itself(cluster: MemoryCluster, start: Start, undisturbed: set[str]) -> None:
    """It is counted and reported with its origin, without its payload, and everything else goes on."""
    cluster.producer().send(CHUNKS, b"a", b"not sound", [("ce_type", b"nonsense")])
    worker = start()
    run_to_the_end(worker)
    letters = list(cluster.read_to_end(DEAD_LETTERS))
    assert len(letters) == 1
    assert not letters[0].value
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed


def test_a_dead_letter_topic_that_is_gone_holds_up_nothing(
    cluster: MemoryCluster, start: Start, undisturbed: set[str]
) -> None:
    """Word of bad records cannot be sent: that is counted, and every prediction is published and committed."""
    for _ in range(5):
        cluster.producer().send(CHUNKS, b"a", b"not sound", [("ce_type", b"nonsense")])
    del cluster.topics[DEAD_LETTERS]
    worker = start()
    run_to_the_end(worker)
    worker.letter_post.close()
    assert worker.letter_post._thread is not None
    worker.letter_post._thread.join(60)
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed
    assert start.value("soundscene_dead_letters_total", outcome="failed") == 5
    assert start.value("soundscene_deliveries_failed_total") == 0
    assert start.value("soundscene_commits_total", outcome="stored") > 0


def test_a_worker_without_a_partition_counts_no_commit(start: Start) -> None:
    """There are two partitions: a third worker has nothing to commit, and says so."""
    _ = start(), start()
    run_to_the_end(start(), turns=2)
    assert start.value("soundscene_partitions_assigned") == 0
    assert start.value("soundscene_commits_total", outcome="stored") == 0


def test_a_stopped_worker_has_committed(cluster: MemoryCluster, start: Start) -> None:
    """After a clean stop nothing is published twice."""
    worker = start()
    run_to_the_end(worker)
    worker.stop()
    worker.run()
    before = len(published(cluster))
    worker.consumer.close()
    run_to_the_end(start())
    assert len(published(cluster)) == before


def test_work_longer_than_a_turn_waits_with_partitions_paused(
    cluster: MemoryCluster, start: Start, undisturbed: set[str]
) -> None:
    """Inference slower than arrival: the group is polled after every turn, nothing more is fetched, nothing is lost."""
    worker = start()
    worker.settings = replace(worker.settings, turn_seconds=1e-9, poll_records=7)
    paused, processed = [], []
    for _ in range(3 * SECONDS + 10):
        worker.turn()
        paused.append(start.value("soundscene_partitions_paused"))
        processed.append(sum(state.position for state in worker._partitions.values()))
    assert max(paused) == 2.0
    assert all(after - before <= 1 for before, after in itertools.pairwise(processed)), "a turn ends with its record"
    assert processed[-1] == 3 * SECONDS
    assert paused[-1] == 0.0
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed


@pytest.mark.parametrize("turns", [3, 6, 11])
def test_records_that_wait_go_with_their_partition(
    cluster: MemoryCluster, start: Start, undisturbed: set[str], turns: int
) -> None:
    """What was polled but not processed is read again by the new owner, and by nobody else."""
    first = start()
    first.settings = replace(first.settings, turn_seconds=1e-9)
    run_to_the_end(first, turns)
    second = start()
    for _ in range(60):
        first.turn()
        second.turn()
    results = [str(without_latency(p)) for p in published(cluster)]
    assert set(results) == undisturbed


def test_a_session_that_comes_back_with_a_whole_window_starts_afresh(
    cluster: MemoryCluster, start: Start, sensors: list[Sensor]
) -> None:
    """A chunk that is itself a window, after the session was closed for silence, is averaged with nothing before."""
    for log in cluster.topics[CHUNKS]:
        log.records.clear()
    count = 6 * 44_100
    producer, sound = cluster.producer(), sensors[0].samples[:count]
    clock_ms = itertools.count(step=6_000)

    def send(device: str, index: int) -> None:
        header = replace(Sensor(device, 44_100, sound).header(index * count, count), encoding="pcm_s16le")
        producer.send(CHUNKS, *encode_chunk(header, sound), timestamp_ms=10**9 + next(clock_ms), partition=0)

    send("a", 0)
    for index in range(30):  # 180 s of somebody else's sound move the log's clock
        send("clock", index)
    for index in (1, 2):
        send("a", index)
    run_to_the_end(start())
    windows = sorted(p.first_sample // 102_400 for p in published(cluster) if p.device == "a")
    assert windows == [0, 3, 4, 5]


def test_the_device_that_holds_most_is_closed_when_memory_runs_out(
    cluster: MemoryCluster, start: Start, undisturbed: set[str]
) -> None:
    """A sensor whose windows never become complete pays for it; the others lose nothing."""
    sensor = Sensor("hoarder", 44_100, np.zeros(44_100, np.float32))
    producer = cluster.producer()
    for number in range(30):
        header = sensor.header(2 * 44_100 * number, 44_100)
        producer.send(CHUNKS, *encode_chunk(header, sensor.samples))
    worker = start()
    policy = replace(worker.settings.policy, hold_back_seconds=60.0)
    worker.settings = replace(worker.settings, policy=policy, buffered_bytes=6_000_000)
    run_to_the_end(worker)
    assert start.value("soundscene_sessions_closed_total", cause="oversized") > 0
    assert start.value("soundscene_buffered_bytes") <= 6_000_000
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed


def test_a_topic_made_anew_is_read_from_its_beginning(
    cluster: MemoryCluster, start: Start, undisturbed: set[str]
) -> None:
    """A commit that speaks of an older, longer log holds nothing back."""
    worker = start()
    stale = {partition: Commit(9_000, '{"v":1,"done":9500,"clock":0}') for partition in cluster.partitions(CHUNKS)}
    cluster.store_commits("g", stale)
    run_to_the_end(worker)
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed


@pytest.mark.parametrize("restarted", [False, True])
def test_a_topic_made_anew_under_a_running_worker_is_read_from_its_beginning(
    cluster: MemoryCluster, start: Start, undisturbed: set[str], restarted: bool
) -> None:
    """Though its offsets are those at which the worker began, nothing of the new log counts as taken or published."""
    fresh = [list(log.records) for log in cluster.topics[CHUNKS]]
    for log in cluster.topics[CHUNKS]:
        log.records[:] = [record for record in log.records if record.timestamp_ms < 8_000]  # all within the hold-back
    worker = start()
    run_to_the_end(worker, 20)
    if restarted:
        assert isinstance(worker.consumer, MemoryConsumer)
        cluster.crash(worker.consumer)
        worker = start()
        run_to_the_end(worker, 20)
    for topic in (CHUNKS, PREDICTIONS):
        for log in cluster.topics[topic]:
            log.records.clear()
    run_to_the_end(worker, 3)
    for log, records in zip(cluster.topics[CHUNKS], fresh, strict=True):
        log.records.extend(records)
    run_to_the_end(worker)
    assert {str(without_latency(p)) for p in published(cluster)} == undisturbed


@pytest.mark.parametrize("behind_seconds", [0, 3, 5])
def test_a_device_in_two_partitions_is_a_session_in_each(
    cluster: MemoryCluster, start: Start, sensors: list[Sensor], undisturbed: set[str], behind_seconds: int
) -> None:
    """Two gateways send one device to two partitions: each partition gives what it gives alone, also after a death."""
    for log in cluster.topics[CHUNKS]:
        log.records.clear()
    worker = start()
    for second in range(SECONDS + behind_seconds):
        send_second(cluster, sensors[0], second, second, 0)
        send_second(cluster, sensors[0], second - behind_seconds, second, 1)
        worker.turn()
        if second == 12:
            assert isinstance(worker.consumer, MemoryConsumer)
            cluster.crash(worker.consumer)
            worker = start()
    run_to_the_end(worker)
    results = Counter(str(without_latency(p)) for p in published(cluster))
    assert set(results) == {text for text in undisturbed if "device='a'" in text}
    assert min(results.values()) == 2, "once for each partition, and again what was not committed"


def test_a_session_that_ends_in_one_partition_goes_on_in_another(
    cluster: MemoryCluster, start: Start, sensors: list[Sensor]
) -> None:
    """A device moves to another partition: that its old session is closed for silence costs the new one nothing."""
    for log in cluster.topics[CHUNKS]:
        log.records.clear()
    worker = start()
    sensor, clock = (Sensor(device, 4_000, np.tile(sensors[0].samples, 3)) for device in ("a", "clock"))
    for second in range(150):
        send_second(cluster, sensor, second, second, partition=second >= 14)
        send_second(cluster, clock, second, second, partition=0)
        worker.turn()
    run_to_the_end(worker)
    assert start.value("soundscene_sessions_closed_total", cause="idle") == 1
    last = max(p.start for p in published(cluster) if p.device == "a")
    assert last > EPOCH + timedelta(seconds=140)


def test_a_clock_that_lags_is_told_for_its_partition(
    cluster: MemoryCluster, start: Start, sensors: list[Sensor]
) -> None:
    """After a pause of an hour the clock of that partition, and of no other, is behind its records."""
    for log in cluster.topics[CHUNKS]:
        log.records.clear()
    for index, at_seconds in enumerate((0, 3600, 3601, 3602, 3603)):
        send_second(cluster, sensors[0], index, at_seconds, partition=0)
        send_second(cluster, sensors[1], index, index, partition=1)
    run_to_the_end(start())
    lags = [start.value("soundscene_partition_clock_lag_seconds", topic=CHUNKS, partition=str(p)) for p in (0, 1)]
    assert lags == [3599, 0]


def send_second(cluster: MemoryCluster, sensor: Sensor, index: int, at_seconds: int, partition: int) -> None:
    """Send a second of a sensor's sound, if it has one, to a partition."""
    first = index * sensor.rate_hz
    samples = sensor.samples[first : first + sensor.rate_hz]
    if index >= 0 and len(samples) == sensor.rate_hz:
        record = encode_chunk(sensor.header(first, sensor.rate_hz), samples)
        cluster.producer().send(CHUNKS, *record, timestamp_ms=1000 * at_seconds, partition=partition)
