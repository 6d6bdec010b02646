"""Whatever stands in the log, the loop takes all of it: nothing is raised, every offset is committed past."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from soundscene.classifier import SceneClassifier
from soundscene_worker import loop
from soundscene_worker.audit.auditor import Auditor
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.broker.protocol import Record
from soundscene_worker.messages.chunk import ChunkHeader, encode_chunk
from soundscene_worker.messages.prediction import decode_prediction
from soundscene_worker.streams.partition import CommitPoint
from tests.stream_worker.loop_stage import CHUNKS, DEAD_LETTERS, PREDICTIONS, Start

Content = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]

RATES_HZ = (4_000, 16_000, 44_100, 384_000)
NAMES = ["specversion", "type", "source", "id", "time", "session", "sequence", "firstsample", "samplecount",
         "samplerate", "channels", "encoding", "caldb"]  # fmt: skip
TIMES = ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "2026-05-01T00:00:00Z",
         "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z"]  # fmt: skip
FIRST_SAMPLES = st.sampled_from([0, 1, 44_100, 2**31, 2**53 - 1]) | st.integers(0, 2**53 - 1)
TIMESTAMPS_MS = st.sampled_from([-1, 0, 10**12, 2**62]) | st.integers(-(2**63), 2**63 - 1)
HOSTILE = st.sampled_from(["", "a" * 500, "9" * 5_000, "-1", "1e9", "nan", "\x00", "\n", "٣", "-0"]) | st.text(
    max_size=20
)


@dataclass(frozen=True)
class Sound:
    """A chunk that is right but for a few headers."""

    device: str
    session: str
    rate_hz: int
    seconds: float
    kind: str
    encoding: str
    sequence: int
    first: int
    spoilt: dict[str, str]

    def record(self) -> Content:
        count = max(1, round(self.seconds * self.rate_hz))
        samples = {
            "silence": np.zeros(count),
            "full": np.ones(count),
            "tiny": np.full(count, 1e-38),
            "noise": np.random.default_rng(0).standard_normal(count) * 900,
        }[self.kind].astype(np.float32)
        header = ChunkHeader(
            device=self.device,
            session=self.session,
            sequence=self.sequence,
            first_sample=min(self.first, 2**53 - 1 - count),
            sample_count=count,
            sample_rate_hz=self.rate_hz,
            channels=1,
            encoding="pcm_s16le" if self.encoding == "flac" and self.rate_hz == 384_000 else self.encoding,
            capture_time=datetime(2026, 5, 1, tzinfo=UTC),
        )
        key, value, headers = encode_chunk(header, samples)
        spoilt = {f"ce_{name}": text.encode() for name, text in self.spoilt.items()}
        return key, value, list((dict(headers) | spoilt).items())


@dataclass(frozen=True)
class Noise:
    """Anything."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    def record(self) -> Content:
        return self.key, self.value, self.headers


SOUNDS = st.builds(
    Sound,
    device=st.sampled_from(["a", "b", "c" * 40]),
    session=st.sampled_from(["1", "2"]),
    rate_hz=st.sampled_from(RATES_HZ),
    seconds=st.sampled_from([0.001, 1.0, 6.0]),
    kind=st.sampled_from(["silence", "full", "tiny", "noise"]),
    encoding=st.sampled_from(["pcm_f32le", "pcm_s16le", "flac"]),
    sequence=st.integers(0, 2**53 - 1),
    first=FIRST_SAMPLES,
    spoilt=st.just({})
    | st.fixed_dictionaries({"time": st.sampled_from(TIMES)})
    | st.dictionaries(st.sampled_from(NAMES), HOSTILE, max_size=2),
)
NOISE = st.builds(
    Noise,
    key=st.none() | st.binary(max_size=300),
    value=st.none() | st.binary(max_size=300),
    headers=st.lists(st.tuples(st.sampled_from([f"ce_{name}" for name in NAMES]) | st.text(), st.binary()), max_size=5),
)
LOGS = st.lists(st.tuples(SOUNDS | SOUNDS | NOISE, TIMESTAMPS_MS, st.sampled_from(["", "", "", "torn"])), max_size=8)
Log = list[tuple[Sound | Noise, int, str]]


@pytest.fixture
def check(classifier: SceneClassifier) -> Callable[[Log], None]:
    def take(log: Log) -> None:
        with MemoryCluster() as cluster:
            cluster.admin().ensure_topics({CHUNKS: 1, PREDICTIONS: 1, DEAD_LETTERS: 1})
            records = cluster.topics[CHUNKS][0].records
            for offset, (content, timestamp_ms, fault) in enumerate(log):
                key, value, headers = content.record()
                records.append(Record(CHUNKS, 0, offset, timestamp_ms, key, value, tuple(headers), fault))
            start = Start(cluster, classifier)
            worker = start()
            with closing(worker.letter_post):
                for _ in range(len(log) + 4):
                    worker.turn()
            commit = next(iter(cluster.groups["g"].commits.values()))
            assert CommitPoint.parse(commit.offset, commit.metadata).done_below == len(log)
            for record in cluster.read_to_end(PREDICTIONS):
                assert decode_prediction(record.value or b"").end.tzinfo is not None
            refused = sum(
                sample.value
                for metric in start.registry.collect()
                for sample in metric.samples
                if sample.name == "soundscene_chunks_rejected_total"
            )
            assert len(list(cluster.read_to_end(DEAD_LETTERS))) == refused
            assert refused >= sum(fault != "" for _, _, fault in log)
            generate_latest(start.registry)
            geometry = Geometry.of_manifest(
                {"front_end": classifier.bundle.front_end.to_dict(), "fusion": classifier.bundle.fusion.to_dict()}
            )
            auditor = Auditor(cluster, CHUNKS, PREDICTIONS, geometry, dead_letters_topic=DEAD_LETTERS)
            verdict = auditor.audit()
            assert verdict.is_good, verdict

    return take


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(log=LOGS)
def test_the_loop_takes_whatever_stands_in_the_log(check: Callable[[Log], None], log: Log) -> None:
    """Hostile headers, times, sounds, torn batches: a prediction, a dead letter, or nothing; the auditor agrees."""
    check(log)


def test_the_fuzzer_would_notice(check: Callable[[Log], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that does not say what it refused is found."""
    monkeypatch.setattr(loop.Worker, "_refuse", lambda *_: None)
    search = settings(max_examples=50, phases=[Phase.generate], database=None, derandomize=True, deadline=None,
                      suppress_health_check=list(HealthCheck))  # fmt: skip
    with pytest.raises(AssertionError):
        search(given(log=LOGS)(check))()
