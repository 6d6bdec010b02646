"""The pages about messages say what the code does, and their code runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundscene_worker.messages.chunk import ENCODINGS, RejectionReason, decode_chunk
from soundscene_worker.messages.dead_letter import DeadLetterOffice, DeadLetterPolicy
from soundscene_worker.messages.prediction import (
    ModelReference,
    ScenePrediction,
    encode_prediction,
    prediction_id,
)
from soundscene_worker.messages.schemas import CHUNK_HEADERS, load_schema

DOCS = Path(__file__).resolve().parents[3] / "docs"
MESSAGES = (DOCS / "messages.md").read_text(encoding="utf-8")
CONSUME = (DOCS / "consume.md").read_text(encoding="utf-8")
START = datetime(2026, 5, 1, 12, tzinfo=UTC)

PREDICTION = ScenePrediction(
    id=prediction_id("mic-1", "a", 44_100, 0, "ab" * 32),
    device="mic-1",
    session="a",
    first_sample=0,
    sample_count=220_096,
    sample_rate=44_100,
    start=START,
    end=START + timedelta(seconds=220_096 / 44_100),
    scene="park",
    score=0.75,
    scores={"park": 0.75, "tram": 0.25},
    networks={"mel": "park", "gammatone": "park", "cqt": "tram"},
    smoothed_scene="park",
    smoothed_score=0.75,
    assessable=True,
    reasons=(),
    level_dbfs=-30.0,
    level_dbspl=None,
    model=ModelReference("demo", "1", "ab" * 32),
)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def section(page: str, title: str) -> str:
    """The text from a heading to the next of the same or a higher level."""
    match = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,2}} |\Z)", page, flags=re.MULTILINE | re.DOTALL)
    assert match
    return match[2]


def first_column(text: str) -> list[str]:
    """Names in code type in the first column of the section's tables."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(source, names)
    return names


def test_every_chunk_header_and_encoding_is_described() -> None:
    """In the order of the schema, none too many."""
    table = first_column(section(MESSAGES, "Audio chunks").split("### ")[0])
    headers = [name for name in table if name.startswith("ce_") or name == "content-type"]
    assert headers == list(load_schema(CHUNK_HEADERS)["properties"])
    assert [name for name in table if name not in headers] == list(ENCODINGS)


def test_every_reason_is_described() -> None:
    """The closed set, and nothing else."""
    reasons = first_column(section(MESSAGES, "What is refused"))
    assert sorted(reasons) == sorted(RejectionReason)


def test_every_prediction_field_is_described() -> None:
    """In the order of the message."""
    assert first_column(section(MESSAGES, "Predictions")) == [field.name for field in fields(ScenePrediction)]


def test_every_dead_letter_header_is_described() -> None:
    """In the order of the record."""

    @dataclass
    class Refused:
        topic: str = "audio.chunks"
        partition: int = 0
        offset: int = 1
        timestamp_ms: int = 2
        key: bytes | None = None
        value: bytes | None = None
        headers: tuple[tuple[str, bytes], ...] = ()

    letter = DeadLetterOffice(DeadLetterPolicy()).write(Refused(), "empty", "", 0.0)
    assert letter is not None
    described = [name for name in first_column(section(MESSAGES, "Dead letters")) if name != "original_..."]
    assert described == [name for name, _ in letter.headers]


def test_the_chunk_of_the_page_is_one() -> None:
    """A sensor written from the page alone is understood."""
    (source,) = blocks(section(MESSAGES, "Making one"), "python")
    samples = np.arange(-500, 500, dtype="<i2")
    chunk = decode_chunk(*run(source)["chunk_record"]("mic-1", "a", 7, 7_000, START, samples.tobytes()))
    assert (chunk.device, chunk.session, chunk.sequence, chunk.first_sample) == ("mic-1", "a", 7, 7_000)
    assert chunk.capture_time == START
    np.testing.assert_array_equal(chunk.samples, samples / np.float32(2**15))


@dataclass(frozen=True)
class Received:
    value: bytes


def test_the_latest_scene_is_found() -> None:
    """Whatever the order and the repetitions, and never one that should not be believed."""
    (source,) = blocks(section(CONSUME, "The latest scene of each device"), "python")
    later = replace(PREDICTION, start=START + timedelta(seconds=3), scene="tram")
    silent = replace(PREDICTION, start=START + timedelta(seconds=9), assessable=False)
    records = [Received(encode_prediction(p)[1]) for p in (later, PREDICTION, silent, PREDICTION)]
    newest = run(source)["latest"](records)
    assert {device: prediction["scene"] for device, prediction in newest.items()} == {"mic-1": "tram"}


def test_predictions_can_be_checked() -> None:
    """With the schema of the package."""
    source = blocks(section(CONSUME, "Checking what you receive"), "python")[0]
    run(source)["validator"].validate(json.loads(encode_prediction(PREDICTION)[1]))


def test_three_lines_suffice() -> None:
    """The promise of the page."""
    assert len(blocks(CONSUME, "python")[0].splitlines()) == 3
    assert len(blocks(CONSUME, "sh")[0].splitlines()) <= 3


@pytest.fixture
def predictions_topic(kafka_bootstrap: str, create_topics: Callable[..., list[str]]) -> str:
    """A topic on the real broker that holds one prediction."""
    from kafka import KafkaProducer

    (topic,) = create_topics("scene.predictions")
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    key, value, headers = encode_prediction(PREDICTION)
    producer.send(topic, key=key, value=value, headers=headers).get(timeout=30)
    producer.close()
    return topic


def first_line(command: list[str], bootstrap: str, topic: str) -> str:
    """Run a command of a page, pointed at the test's broker, until it prints a line."""
    pointed = [part.replace("localhost:9092", bootstrap).replace("scene.predictions", topic) for part in command]
    with subprocess.Popen(pointed, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            return process.stdout.readline().strip()
        finally:
            watchdog.cancel()
            os.killpg(process.pid, signal.SIGKILL)


EXPECTED = "2026-05-01T12:00:00.000000Z mic-1: park 0.75"


@pytest.mark.integration
def test_kafka_python_reads_predictions(kafka_bootstrap: str, predictions_topic: str) -> None:
    """The three lines of the page, as they stand there."""
    source = blocks(CONSUME, "python")[0]
    assert first_line([sys.executable, "-c", source], kafka_bootstrap, predictions_topic) == EXPECTED


@pytest.mark.integration
def test_kcat_reads_predictions(kafka_bootstrap: str, predictions_topic: str, kcat: str) -> None:
    """The lines of the page, by a client that shares no code with ours."""
    source = blocks(CONSUME, "sh")[0]
    assert first_line(["sh", "-c", source], kafka_bootstrap, predictions_topic) == EXPECTED
