"""Compressed sound on the real broker, and bombs among it: every window comes out, and memory stays where it was."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import kafka
import numpy as np
import pytest

from soundscene.settings import FrontEndSettings
from soundscene.windows import WindowGrid
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.messages.chunk import encode_chunk
from soundscene_worker.messages.prediction import decode_prediction
from tests.stream_worker.loop_stage import SECONDS, Sensor

CODECS = ("snappy", "gzip", "lz4", "zstd")
BOMB_CODECS = ("gzip", "lz4", "zstd")  # snappy packs 32 MiB into no record that a broker takes by default
BOMB_BYTES = 128 * 1024**2
PATIENCE_SECONDS = 120
RATE_HZ = 44_100

CreateTopics = Callable[..., list[str]]


def send(bootstrap: str, topic: str, codec: str, sensor: Sensor) -> None:
    """Send a sensor's sound, and a bomb in its middle, each in a batch of its own."""
    producer = kafka.KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=codec,
        max_request_size=2 * BOMB_BYTES,
        request_timeout_ms=60_000,
        linger_ms=0,
    )
    try:
        for second in range(SECONDS):
            first = second * RATE_HZ
            key, value, headers = encode_chunk(sensor.header(first, RATE_HZ), sensor.samples[first : first + RATE_HZ])
            producer.send(topic, key=key, value=value, headers=list(headers), partition=0)
            producer.flush()
            if second == SECONDS // 2 and codec in BOMB_CODECS:
                producer.send(topic, key=key, value=bytes(BOMB_BYTES), partition=0).get(60)
    finally:
        producer.close()


@contextmanager
def working(bootstrap: str, chunks: str, predictions: str, letters: str) -> Iterator[int]:
    """Run a worker process; yield its id."""
    words = ["--bootstrap-servers", bootstrap, "--group-id", chunks, "--chunks-topic", chunks, "--http-port", "0"]
    words += ["--predictions-topic", predictions, "--dead-letters-topic", letters]
    with subprocess.Popen([sys.executable, "-m", "soundscene_worker", *words], stderr=subprocess.DEVNULL) as worker:
        try:
            yield worker.pid
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()


def peak_bytes(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return 1024 * int(found[1])


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_bombs_among_compressed_sound_cost_nothing_else(kafka_bootstrap: str, create_topics: CreateTopics) -> None:
    """Four codecs, a bomb in three of them: all windows of all sensors, one letter for each bomb, bounded memory."""
    chunks, predictions, letters = create_topics("chunks", "predictions", "letters")
    each = WindowGrid(RATE_HZ, FrontEndSettings()).count(SECONDS * RATE_HZ)
    generator = np.random.default_rng(0)
    with KafkaCluster(KafkaConnection((kafka_bootstrap,))) as cluster:

        def wait_for(codecs: Iterable[str]) -> None:
            deadline = time.monotonic() + PATIENCE_SECONDS
            found: Counter[str] = Counter()
            while found != dict.fromkeys(codecs, each):
                assert time.monotonic() < deadline, found
                time.sleep(0.5)
                records = cluster.read_to_end(predictions)
                found = Counter(decode_prediction(record.value or b"").device for record in records)

        with working(kafka_bootstrap, chunks, predictions, letters) as worker:
            peaks_bytes = []
            for number, codec in enumerate(CODECS, start=1):
                samples = 0.1 * generator.standard_normal(SECONDS * RATE_HZ).clip(-4, 4)
                send(kafka_bootstrap, chunks, codec, Sensor(codec, RATE_HZ, samples.astype(np.float32)))
                wait_for(CODECS[:number])
                peaks_bytes.append(peak_bytes(worker))
        reasons = Counter(dict(letter.headers)["reason"] for letter in cluster.read_to_end(letters))
    assert reasons == {b"unreadable": len(BOMB_CODECS)}
    assert peaks_bytes[-1] - peaks_bytes[0] < BOMB_BYTES
    print(", ".join(f"{codec}: {peak / 2**20:.0f} MiB" for codec, peak in zip(CODECS, peaks_bytes, strict=True)))
