"""Many sensors from one process: chunks encoded beforehand, sent at the pace of real microphones, or without one.

Only the header is made per chunk, so that one core carries hundreds of sensors besides the broker.
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.broker.protocol import Producer
from soundscene_worker.messages.chunk import ChunkHeader, encode_chunk

RATE_HZ = 44_100
PAYLOADS = 8  # different seconds of noise, taken in turn


def payloads() -> list[bytes]:
    """Return some seconds of noise at -20 dBFS, encoded."""
    generator = np.random.default_rng(7)
    header = first_header("payload", datetime.now(UTC))
    seconds = 0.1 * generator.standard_normal((PAYLOADS, RATE_HZ)).astype(np.float32)
    return [encode_chunk(header, second)[1] for second in seconds]


def first_header(device: str, capture_time: datetime, session: str = "bench") -> ChunkHeader:
    """Return the header of a device's first chunk: one second, 16 bits, mono."""
    return ChunkHeader(
        device=device,
        session=session,
        sequence=0,
        first_sample=0,
        sample_count=RATE_HZ,
        sample_rate_hz=RATE_HZ,
        channels=1,
        encoding="pcm_s16le",
        capture_time=capture_time,
    )


@dataclass(frozen=True)
class Plan:
    """What to send: so many chunks of a second per device, in real time or as fast as the broker takes them."""

    devices: int
    seconds: int
    session: str = "bench"
    in_real_time: bool = True


def publish(producer: Producer, topic: str, plan: Plan) -> float:
    """Send everything; return the largest delay behind the schedule in seconds."""
    encoded = payloads()
    start, worst = time.time() + 1.0, 0.0  # chunk k of device i is recorded over [start + i/devices + k, ... + 1)
    begins = [datetime.fromtimestamp(start + index / plan.devices, UTC) for index in range(plan.devices)]
    headers = [first_header(f"device-{index:04}", begin, plan.session) for index, begin in enumerate(begins)]
    for second in range(plan.seconds):
        for index, header in enumerate(headers):
            wait = start + index / plan.devices + second + 1 - time.time()
            if plan.in_real_time and wait > 0.002:
                time.sleep(wait)
            worst = max(worst, -wait)
            chunk = replace(
                header,
                sequence=second,
                first_sample=second * RATE_HZ,
                capture_time=begins[index] + timedelta(seconds=second),
            )
            value = encoded[(second + index) % PAYLOADS]
            producer.send(topic, header.device.encode(), value, chunk.pack(), partition=index % 4)
    producer.flush(30)
    return worst


def main() -> int:
    """Publish until all is sent, then print the largest delay behind the schedule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--session", default="bench")
    parser.add_argument("--at-once", action="store_true", help="not in real time")
    arguments = parser.parse_args()
    plan = Plan(arguments.devices, arguments.seconds, arguments.session, not arguments.at_once)
    with KafkaCluster(KafkaConnection((arguments.bootstrap_servers,))) as cluster:
        worst = publish(cluster.producer(), arguments.topic, plan)
    print(f"{worst:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
