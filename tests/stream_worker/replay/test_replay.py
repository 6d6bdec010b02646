"""Replays: parts of a log scored again, beside what a worker has published."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from soundscene.bundle import Bundle, write_bundle
from soundscene.classifier import SceneClassifier
from soundscene.synthesis import SCENE_NAMES, synthesise
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.broker.protocol import Record, TopicPartition
from soundscene_worker.letter_post import DeadLetterPost
from soundscene_worker.logs import EventLog
from soundscene_worker.loop import Worker
from soundscene_worker.messages.chunk import ChunkHeader, ChunkLimits, encode_chunk
from soundscene_worker.messages.dead_letter import DeadLetterOffice, DeadLetterPolicy
from soundscene_worker.messages.prediction import ScenePrediction, decode_prediction
from soundscene_worker.messages.times import format_time
from soundscene_worker.metrics import Registry, WorkerMetrics
from soundscene_worker.replay import command, replayer
from soundscene_worker.scoring import SceneScorer
from soundscene_worker.service import loop_settings
from soundscene_worker.settings import WorkerSettings
from tests.conftest import make_tiny_manifest, read_tiny_networks

EPOCH = datetime(2026, 5, 1, tzinfo=UTC)
CHUNKS, PREDICTIONS, DEAD_LETTERS = "audio.chunks", "scene.predictions", "audio.dead-letters"
SECONDS = 16
RATES = {"a": 44_100, "b": 16_000, "c": 48_000}
USUAL, SMALL = ChunkLimits(), ChunkLimits(max_bytes=2 * 44_100)
"""Too small for the chunks of `c`."""


def at(seconds: float) -> str:
    return format_time(EPOCH + timedelta(seconds=seconds))


@pytest.fixture(scope="module")
def records() -> list[tuple[bytes, bytes, list[tuple[str, bytes]], int]]:
    """Chunks of a second of all sensors, interleaved; their records come every second too."""
    found = []
    sounds = {
        d: synthesise(SCENE_NAMES[i], SECONDS, r, np.random.default_rng(i)) for i, (d, r) in enumerate(RATES.items())
    }
    for second in range(SECONDS):
        for device, rate_hz in RATES.items():
            first = second * rate_hz
            header = ChunkHeader(
                device=device,
                session="s1",
                sequence=second,
                first_sample=first,
                sample_count=rate_hz,
                sample_rate_hz=rate_hz,
                channels=1,
                encoding="pcm_s16le",
                capture_time=EPOCH + timedelta(seconds=second),
            )
            time_ms = round(1000 * (EPOCH.timestamp() + second))
            found.append((*encode_chunk(header, sounds[device][first : first + rate_hz]), time_ms))
    return found


@pytest.fixture
def cluster(records: list[tuple[bytes, bytes, list[tuple[str, bytes]], int]]) -> Iterator[MemoryCluster]:
    with MemoryCluster() as cluster:
        cluster.admin().ensure_topics({CHUNKS: 2, PREDICTIONS: 1, DEAD_LETTERS: 1})
        for key, value, headers, time_ms in records:
            cluster.producer().send(CHUNKS, key, value, headers, timestamp_ms=time_ms)
        yield cluster


def run_worker(cluster: MemoryCluster, bundle: Bundle, limits: ChunkLimits = USUAL) -> None:
    """Let a worker do everything there is, and take it away."""
    settings = loop_settings(WorkerSettings(predictions_topic=PREDICTIONS), bundle)
    metrics = WorkerMetrics(Registry(), bundle)
    worker = Worker(
        settings=replace(settings, limits=limits, poll_seconds=0.0),
        consumer=cluster.consumer("g", [CHUNKS]),
        producer=cluster.producer(),
        scorer=SceneScorer(SceneClassifier(bundle)),
        dead_letters=DeadLetterOffice(DeadLetterPolicy()),
        letter_post=DeadLetterPost(cluster.producer(), DEAD_LETTERS, metrics, EventLog(), settings.delivery_seconds),
        metrics=metrics,
        log=EventLog(),
    )
    for _ in range(10):
        worker.turn()
    worker.consumer.close()


def published(cluster: MemoryCluster, topic: str = PREDICTIONS) -> list[ScenePrediction]:
    return [decode_prediction(record.value or b"") for record in cluster.read_to_end(topic)]


def said(prediction: ScenePrediction) -> str:
    """Everything that must not differ between two runs, as text."""
    rounded = {label: round(score, 4) for label, score in prediction.scores.items()}
    plain = replace(prediction, latency_seconds={}, scores=rounded, score=0.0)
    return str(replace(plain, smoothed_score=round(plain.smoothed_score, 4), level_dbfs=round(plain.level_dbfs, 3)))


def take_predictions(cluster: MemoryCluster) -> list[str]:
    """Return what is published, and empty the topic."""
    found = sorted(map(said, published(cluster)))
    cluster.topics[PREDICTIONS][0].records.clear()
    return found


@dataclass
class Replay:
    """Runs the command as a user does, with the log in memory."""

    cluster: MemoryCluster
    bundle: Bundle
    capsys: pytest.CaptureFixture[str]
    errors: str = ""

    def __call__(self, *options: str) -> tuple[int, dict[str, object]]:
        chosen = () if "--bundle" in options else ("--bundle", str(self.bundle.directory))
        arguments = [*options, *chosen, "--json"]
        code = command.main(arguments, {}, "1", connect=lambda settings: self.cluster)
        captured = self.capsys.readouterr()
        self.errors = captured.err
        return code, json.loads(captured.out or "{}")


@pytest.fixture
def replay(cluster: MemoryCluster, tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> Replay:
    return Replay(cluster, tiny_bundle, capsys)


def test_a_replay_says_what_the_worker_said(cluster: MemoryCluster, replay: Replay, tiny_bundle: Bundle) -> None:
    """The same model gives the same windows, ids, scenes, smoothed scenes and scores; the group stays as it was."""
    run_worker(cluster, tiny_bundle)
    commits = dict(cluster.groups["g"].commits)
    first = take_predictions(cluster)
    code, summary = replay("--since", at(0))
    assert take_predictions(cluster) == first
    assert (code, summary["published"], summary["refused"]) == (0, len(first), {})
    assert cluster.groups["g"].commits == commits
    assert list(cluster.groups) == ["g"]


@pytest.mark.parametrize("middle", [0.5, 1, 5, 7.25, 9, 15, 17])
def test_adjoining_ranges_are_the_whole(
    cluster: MemoryCluster, replay: Replay, tiny_bundle: Bundle, middle: float
) -> None:
    """Two ranges that share an edge publish every window of both, whole, smoothed as ever, and none twice."""
    run_worker(cluster, tiny_bundle)
    whole = take_predictions(cluster)
    replay("--since", at(0), "--until", at(middle))
    before = len(published(cluster))
    replay("--since", at(middle), "--until", at(SECONDS))
    assert 0 < before < len(whole) or middle not in {7.25, 9}, "the edge lies between windows"
    assert take_predictions(cluster) == whole


def test_another_model_stands_beside_the_first(
    cluster: MemoryCluster, replay: Replay, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """A replay with another bundle adds one prediction per window under its own hash; the first ones stay."""
    run_worker(cluster, tiny_bundle)
    first = published(cluster)
    other = write_bundle(tmp_path / "other", {**make_tiny_manifest(), "version": "2"}, read_tiny_networks())
    replay("--since", at(0), "--bundle", str(other.directory))
    models = Counter(p.model.hash for p in published(cluster))
    assert models == {tiny_bundle.hash: len(first), other.hash: len(first)}
    assert len({p.id for p in published(cluster)}) == 2 * len(first)


def test_another_topic_can_take_them(cluster: MemoryCluster, replay: Replay) -> None:
    """--predictions-topic leaves the usual topic alone."""
    cluster.admin().ensure_topics({"experiment": 1})
    _, summary = replay("--since", at(0), "--predictions-topic", "experiment")
    assert len(published(cluster, "experiment")) == summary["published"] != 0
    assert published(cluster) == []


def test_repaired_dead_letters_complete_the_windows(
    cluster: MemoryCluster, replay: Replay, tiny_bundle: Bundle
) -> None:
    """Chunks refused as too large are read where they lie once the limit is raised; no other window comes again."""
    run_worker(cluster, tiny_bundle)
    undisturbed = take_predictions(cluster)
    cluster.groups.clear()
    run_worker(cluster, tiny_bundle, SMALL)
    assert len(published(cluster)) < len(undisturbed)
    code, summary = replay("--dead-letters")
    assert (code, summary["repaired"], summary["refused"], summary["gone"]) == (0, SECONDS, {}, 0)
    assert take_predictions(cluster) == undisturbed


def test_a_single_repaired_chunk_brings_the_windows_it_lies_in(
    cluster: MemoryCluster, replay: Replay, tiny_bundle: Bundle
) -> None:
    """Only windows with sound of the chosen chunk that lies between two times are published."""
    run_worker(cluster, tiny_bundle, SMALL)
    before = len(published(cluster))
    code, summary = replay("--dead-letters", "--since", at(5), "--until", at(6))
    new = published(cluster)[before:]
    assert (code, summary["repaired"]) == (0, 1)
    assert new
    for prediction in new:
        assert prediction.device == "c"
        assert prediction.start < EPOCH + timedelta(seconds=6)
        assert prediction.end > EPOCH + timedelta(seconds=5)


def test_letters_whose_chunks_cannot_be_used_are_exit_code_1(
    cluster: MemoryCluster, replay: Replay, tiny_bundle: Bundle
) -> None:
    """Chunks that are still refused, or deleted meanwhile, are counted, and the exit code tells."""
    run_worker(cluster, tiny_bundle, SMALL)
    code, summary = replay("--dead-letters", "--max-chunk-bytes", str(SMALL.max_bytes))
    assert (code, summary["refused"]) == (1, {"oversized": SECONDS})
    for index in range(2):
        partition = TopicPartition(CHUNKS, index)
        cluster.delete_records(partition, cluster.log(partition).end)
    code, summary = replay("--dead-letters")
    assert (code, summary["gone"], summary["published"]) == (1, SECONDS, 0)


def test_refused_records_are_counted_from_where_windows_are_asked_for(replay: Replay) -> None:
    """What was read before, so that the first windows are whole, is not what the user asked about."""
    _, summary = replay("--since", at(8), "--max-chunk-bytes", str(SMALL.max_bytes))
    assert (summary["records"], summary["refused"]) == (len(RATES) * SECONDS, {"oversized": SECONDS - 8})


def test_a_letter_that_is_none_is_passed_over(cluster: MemoryCluster, replay: Replay) -> None:
    """Strange records in the dead-letter topic are counted and cost nothing."""
    cluster.producer().send(DEAD_LETTERS, None, b"hello", [("origin_offset", b"many")])
    beyond = [("origin_topic", CHUNKS.encode()), ("origin_partition", b"0"), ("origin_timestamp_ms", b"0")]
    cluster.producer().send(DEAD_LETTERS, None, b"", [*beyond, ("origin_offset", b"9" * 30)])
    code, summary = replay("--dead-letters")
    assert (code, summary["unreadable_letters"]) == (0, 2)


def test_an_interrupted_replay_can_be_repeated(
    cluster: MemoryCluster, replay: Replay, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is exit code 130 with a summary; the same command again leaves the whole set."""
    run_worker(cluster, tiny_bundle)
    whole = take_predictions(cluster)
    run: Callable[..., object] = replayer.Replayer._take
    left = iter(range(30))

    def interrupted(self: replayer.Replayer, record: Record, *rest: object) -> object:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return run(self, record, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(replayer.Replayer, "_take", interrupted)
        code, summary = replay("--since", at(0))
    assert (code, summary["records"]) == (130, 30)
    replay("--since", at(0))
    assert sorted(set(take_predictions(cluster))) == whole


def test_predictions_are_acknowledged_and_counted_as_they_go(
    cluster: MemoryCluster, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long replay waits for the broker every so many windows, and counts each window once."""
    monkeypatch.setattr(replayer, "_UNACKNOWLEDGED_WINDOWS", 2)
    _, summary = replay("--since", at(0))
    assert summary["published"] == len(published(cluster)) > 4


def test_a_delivery_that_fails_on_the_way_ends_it_there(
    cluster: MemoryCluster, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not stored is known soon, not after hours: no record is read beyond the windows that were waited for."""
    monkeypatch.setattr(replayer, "_UNACKNOWLEDGED_WINDOWS", 2)
    cluster.fail_next_delivery()
    code, summary = replay("--since", at(0))
    assert (code, summary["published"]) == (2, 0)
    assert summary["records"] in range(1, len(RATES) * SECONDS // 2)


def test_memory_is_limited_as_in_a_worker(cluster: MemoryCluster, replay: Replay) -> None:
    """Sessions that hold more than `buffered_bytes` are closed: with a single byte no window becomes complete."""
    _, summary = replay("--since", at(0), "--buffered-bytes", "1")
    assert (summary["records"], summary["published"]) == (len(RATES) * SECONDS, 0)


@pytest.mark.parametrize("limit", [("--idle-seconds", "0.5"), ("--buffered-bytes", "1")])
def test_closed_sessions_are_forgotten(replay: Replay, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, str]) -> None:
    """Frames and verdicts of a session go with it, whether it was idle or held too much."""
    closed = []
    monkeypatch.setattr(SceneScorer, "close", lambda _, partition, key: closed.append((partition, key)))
    replay("--since", at(0), *limit)
    assert {key.device for _, key in closed} == set(RATES)


def test_a_prediction_that_is_not_stored_is_not_counted(cluster: MemoryCluster, replay: Replay) -> None:
    """A failed delivery is one line and exit code 2; the summary counts what was acknowledged."""
    cluster.fail_next_delivery()
    code, summary = replay("--since", at(0))
    assert (code, summary["published"]) == (2, 0)
    assert "not acknowledged" in replay.errors


def test_a_device_in_two_partitions_is_a_session_in_each(
    records: list[tuple[bytes, bytes, list[tuple[str, bytes]], int]],
    tiny_bundle: Bundle,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Partitions are read as a broker hands them out, in turns: what one is ahead of the other costs neither."""

    class Interleaved(MemoryCluster):
        def read(self, spans: Mapping[TopicPartition, range]) -> Iterator[Record]:
            return iter(sorted(super().read(spans), key=lambda record: record.timestamp_ms))

    with Interleaved() as cluster:
        cluster.admin().ensure_topics({CHUNKS: 2, PREDICTIONS: 1, DEAD_LETTERS: 1})
        for behind_seconds, partition in ((0, 0), (5, 1)):
            for key, value, headers, time_ms in records:
                late_ms = time_ms + 1000 * behind_seconds
                cluster.producer().send(CHUNKS, key, value, headers, timestamp_ms=late_ms, partition=partition)
        code, _ = Replay(cluster, tiny_bundle, capsys)("--since", at(0))
        found = Counter(map(said, published(cluster)))
    assert code == 0
    assert found
    assert set(found.values()) == {2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--since TIME"),
        (["--until", at(1)], "--since TIME"),
        (["--since", "yesterday"], "--since: expected an RFC 3339 time"),
        (["--since", at(1), "--until", at(1)], "--since before --until"),
        (["--since", at(1), "--margin-seconds", "-1"], "--margin-seconds"),
        (["--since", at(1), "--idle-seconds", "0"], "idle_seconds"),
        (["--since", at(1), "--chunks-topic", "nowhere"], "'nowhere'"),
    ],
)
def test_wrong_options_are_exit_code_2(replay: Replay, options: list[str], message: str) -> None:
    """One line says what was expected; nothing is published."""
    code, _ = replay(*options)
    assert code == 2
    assert message in replay.errors
    assert published(replay.cluster) == []
