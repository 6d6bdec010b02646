"""A worker under load for a long time: does anything grow, and is anything lost?

Hundreds of sensors, more than one core carries, push their sound for some time, then the worker catches up, again and
again, on a real Kafka. Memory, threads, open files, lag and backlog are sampled all the while; at the end the auditor
reads both topics. Kafka keeps all of the sound until then: about 1.6 GB per minute.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results import machine, write_section
from benchmarks.worker import PARTITIONS, peak_memory_bytes, processor_seconds
from scripts.kafka_broker import KafkaBroker
from scripts.pipeline import Topics, WorkerProcess, scrape
from scripts.processes import Child, spawn
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster

SAMPLE_SECONDS = 2.0
WAVE_SECONDS = 60  # of sound from each sensor, then the worker catches up
SETTLED_SHARE = 0.3  # of the run, before memory is expected to stay
LARGEST_GROWTH = 0.05  # of memory, from there to the end
DISK_BYTES_PER_MINUTE = 2e9  # what one core takes in, 300 times 88.2 kB per second, and some more
LAG, BACKLOG = "soundscene_consumer_lag_records", "soundscene_consumer_backlog_seconds"
HELD = "soundscene_buffered_bytes"


@dataclass(frozen=True)
class Sample:
    """The worker at one moment."""

    at_seconds: float
    resident_bytes: int
    threads: int
    files: int
    lag_records: float
    backlog_seconds: float
    held_bytes: float


@dataclass(frozen=True)
class Soak:
    """A whole run."""

    devices: int
    samples: tuple[Sample, ...]
    catch_up: tuple[float, ...]  # seconds of sound per second, while no sensor sent
    core_share: float
    peak_bytes: int
    audit: str
    audit_is_good: bool

    @property
    def settled(self) -> tuple[Sample, ...]:
        """The samples after the start."""
        begin = SETTLED_SHARE * self.samples[-1].at_seconds
        return tuple(sample for sample in self.samples if sample.at_seconds >= begin)

    @property
    def growth(self) -> float:
        """How much memory grew from the settled start to the end, as a share: a straight line fitted to all samples."""
        at = np.array([sample.at_seconds for sample in self.settled])
        size = np.array([sample.resident_bytes for sample in self.settled], np.float64)
        slope, first = np.polyfit(at - at[0], size, 1)
        return float(slope * (at[-1] - at[0]) / first)

    @property
    def is_good(self) -> bool:
        """Nothing was lost and nothing grew."""
        first, last = self.settled[0], self.settled[-1]
        steady = last.threads <= first.threads + 1 and last.files <= first.files + 4
        return self.audit_is_good and self.growth <= LARGEST_GROWTH and steady


def look(worker: WorkerProcess, began: float) -> Sample:
    """Read the process and its metrics."""
    proc = Path(f"/proc/{worker.child.pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    scraped = scrape(worker.address)

    def values(name: str) -> list[float]:
        return [sample.value for sample in scraped if sample.name == name] or [0.0]

    return Sample(
        at_seconds=time.monotonic() - began,
        resident_bytes=1024 * int(status["VmRSS"].split()[0]),
        threads=int(status["Threads"]),
        files=len(list((proc / "fd").iterdir())),
        lag_records=sum(values(LAG)),
        backlog_seconds=max(values(BACKLOG)),
        held_bytes=sum(values(HELD)),
    )


def publish(bootstrap: str, topic: str, devices: int, wave: int) -> Child:
    """Start a wave: each sensor sends a minute of sound as a session of its own, as fast as the broker takes it."""
    command = [sys.executable, "-m", "benchmarks.fleet", "--bootstrap-servers", bootstrap, "--topic", topic]
    options = ["--devices", str(devices), "--seconds", str(WAVE_SECONDS), "--at-once", "--session", f"wave-{wave}"]
    return spawn([*command, *options], output=subprocess.DEVNULL)


def waves(bootstrap: str, topics: Topics, worker: WorkerProcess, devices: int, minutes: float) -> Iterator[Sample]:
    """Publish and wait in turn until the time is up and nothing is left to do; yield what the worker looks like."""
    began, wave = time.monotonic(), 0
    while time.monotonic() - began < 60 * minutes:
        publisher = publish(bootstrap, topics.chunks, devices, wave)
        try:
            while publisher.poll() is None:
                time.sleep(SAMPLE_SECONDS)
                yield look(worker, began)
        finally:
            publisher.kill()
        while (sample := look(worker, began)).lag_records:
            yield sample
            time.sleep(SAMPLE_SECONDS)
        yield sample
        wave += 1
        print(f"wave {wave}: {sample.at_seconds:.0f} s, {sample.resident_bytes / 1e6:.0f} MB", flush=True)


def catch_up_rates(samples: tuple[Sample, ...]) -> tuple[float, ...]:
    """Return seconds of sound taken per second, of every stretch in which the lag fell all the while."""
    rates, stretch = [], [samples[0]]
    for sample in samples[1:]:
        if sample.lag_records < stretch[-1].lag_records:
            stretch.append(sample)
            continue
        if len(stretch) >= 5:
            taken = stretch[0].lag_records - stretch[-1].lag_records  # records of one second each
            rates.append(taken / (stretch[-1].at_seconds - stretch[0].at_seconds))
        stretch = [sample]
    return tuple(rates)


def audit(bootstrap: str, topics: Topics) -> tuple[str, bool]:
    """Let the auditor compare both topics; return its last line and its verdict."""
    command = [sys.executable, "-m", "soundscene_worker.audit", "--bootstrap-servers", bootstrap]
    command += ["--chunks-topic", topics.chunks, "--predictions-topic", topics.predictions, "--wait-seconds", "60"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    return (outcome.stdout.strip() or outcome.stderr.strip()).splitlines()[-1], outcome.returncode == 0


def soak(devices: int, minutes: float, folder: Path) -> Soak:
    """Run everything."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[1:] or cores)  # inherited by broker and publisher
    topics = Topics.unique()
    with KafkaBroker() as broker:
        with KafkaCluster(KafkaConnection((broker.bootstrap_servers,))) as cluster:
            cluster.admin().ensure_topics(dict.fromkeys(topics.names, PARTITIONS))
        worker = WorkerProcess(broker.bootstrap_servers, "soak", topics, folder / "worker.log", core=cores[0])
        try:
            worker.wait_until_ready()
            used, began = processor_seconds(worker.child.pid), time.monotonic()
            samples = tuple(waves(broker.bootstrap_servers, topics, worker, devices, minutes))
            share = (processor_seconds(worker.child.pid) - used) / (time.monotonic() - began)
            peak = peak_memory_bytes(worker.child.pid)
            text, is_good = audit(broker.bootstrap_servers, topics)
        finally:
            worker.stop()
    return Soak(devices, samples, catch_up_rates(samples), share, peak, text, is_good)


ROWS = (
    ("resident memory, MB", "resident_bytes", 1e-6),
    ("of it held for open windows, MB", "held_bytes", 1e-6),
    ("threads", "threads", 1.0),
    ("open files", "files", 1.0),
    ("lag, records of one second", "lag_records", 1.0),
    ("backlog, s", "backlog_seconds", 1.0),
)


def table(run: Soak) -> str:
    """Return how each quantity was when the run had settled, at its end and at its highest."""
    lines = [f"| | after {100 * SETTLED_SHARE:.0f} % of the run | at the end | highest |", "|---|---:|---:|---:|"]
    for title, name, scale in ROWS:
        values = [scale * getattr(sample, name) for sample in run.samples]
        first, last = scale * getattr(run.settled[0], name), values[-1]
        lines.append(f"| {title} | {first:.0f} | {last:.0f} | {max(values):.0f} |")
    return "\n".join(lines)


def report(run: Soak, minutes: float) -> str:
    """Return the section of RESULTS.md."""
    rate = float(np.median(run.catch_up)) if run.catch_up else float("nan")
    verdict = "Nothing was lost and nothing grew." if run.is_good else "FAILED: see the figures above."
    return f"""\
`python -m benchmarks.soak --minutes {minutes:g} --devices {run.devices}` on {machine()}.

{run.devices} sensors send {WAVE_SECONDS} s of 44.1 kHz sound each, as fast as the broker takes it, then the worker (one
process on one core) catches up; again and again for {run.samples[-1].at_seconds / 60:.0f} minutes.

{table(run)}

Memory changed by {100 * run.growth:+.1f} % over the settled part (a line through all samples; limit
{100 * LARGEST_GROWTH:.0f} %), and was {run.peak_bytes / 1e6:.0f} MB at most. It caught up at {rate:.0f} s of sound
per second (median of {len(run.catch_up)} stretches), using {100 * run.core_share:.0f} % of its core over the whole run.
Auditor: {run.audit}

**{verdict}**"""


def main() -> int:
    """Run, print and write the section."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--devices", type=int, default=300, help="sensors (default 300)")
    arguments = parser.parse_args()
    needed_bytes, free_bytes = DISK_BYTES_PER_MINUTE * arguments.minutes, shutil.disk_usage(tempfile.gettempdir()).free
    if free_bytes < needed_bytes:
        print(
            f"The broker's log needs {needed_bytes / 1e9:.0f} GB for {arguments.minutes:g} minutes, but "
            f"{tempfile.gettempdir()} has {free_bytes / 1e9:.0f} GB free. Give fewer --minutes, or name a larger disk "
            f"with TMPDIR.",
            file=sys.stderr,
        )
        return 1
    with tempfile.TemporaryDirectory() as folder:
        run = soak(arguments.devices, arguments.minutes, Path(folder))
    text = report(run, arguments.minutes)
    print(text)
    write_section("Soak", text)
    return 0 if run.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
