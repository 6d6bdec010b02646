"""How many sensors one core carries: a real worker, pinned to one core, on a real Kafka, in real time.

Publisher and broker run on the other cores. A fleet counts as sustained when the time from the end of a window to its
prediction does not grow: its slope over the run, fitted by least squares, is below 1 % of real time, and the worker's
lag at the end is below one chunk per sensor.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results import machine, write_section
from scripts.kafka_broker import KafkaBroker
from scripts.pipeline import Topics, WorkerProcess, scrape
from scripts.processes import Child, spawn
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster

WARM_UP_SECONDS = 15
MEASURED_SECONDS = 45
LARGEST_SLOPE = 0.01
PARTITIONS = 4
FIRST_FLEET = 48
SHARES = (0.8, 1.0, 1.15, 1.3, 1.45, 1.6)  # of the fleet that the first run promises: larger polls cost less per record
LEAST_CORE_SHARE = 0.85  # a worker that falls behind with less than this was not alone on its core
LAG_METRIC = "soundscene_consumer_lag_records"


@dataclass(frozen=True)
class Run:
    """What one fleet did to the worker."""

    devices: int
    windows: int
    core_share: float
    median_latency_seconds: float
    p99_latency_seconds: float
    slope: float
    lags: list[int]
    publisher_delay_seconds: float
    peak_memory_bytes: int

    @property
    def sustained(self) -> bool:
        """Whether the worker kept pace."""
        return self.slope < LARGEST_SLOPE and self.lags[-1] <= self.devices

    def row(self) -> str:
        """Return the run as a row of the table."""
        lags = " ".join(str(lag) for lag in self.lags[:: max(1, len(self.lags) // 5)])
        return (
            f"| {self.devices} | {self.windows} | {100 * self.core_share:.0f} % | {self.median_latency_seconds:.2f} s "
            f"| {self.p99_latency_seconds:.2f} s | {self.slope:+.4f} | {lags} | {self.publisher_delay_seconds:.2f} s "
            f"| {self.peak_memory_bytes / 1e6:.0f} MB | {'yes' if self.sustained else 'no'} |"
        )


def processor_seconds(pid: int) -> float:
    """Return the processor time that all threads of a process have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_bytes(pid: int) -> int:
    """Return the largest resident size a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def total_lag(worker: WorkerProcess) -> int:
    """Return the sum of the worker's lag over its partitions, in records."""
    return int(sum(sample.value for sample in scrape(worker.address) if sample.name == LAG_METRIC))


def latencies(bootstrap: str, topic: str) -> np.ndarray:
    """Return (time of the record in seconds, seconds from the window's end to its prediction) of every prediction."""
    with KafkaCluster(KafkaConnection((bootstrap,))) as cluster:
        records = list(cluster.read_to_end(topic))
    rows = [
        (record.timestamp_ms / 1000, json.loads(record.value or b"")["latency_seconds"]["total"]) for record in records
    ]
    return np.array(sorted(rows), np.float64).reshape(-1, 2)


def measure(bootstrap: str, devices: int, worker_core: int, folder: Path) -> Run:
    """Run a fleet against a new worker and return what was seen after the warm-up."""
    topics = Topics.unique()
    with KafkaCluster(KafkaConnection((bootstrap,))) as cluster:
        cluster.admin().ensure_topics(dict.fromkeys(topics.names, PARTITIONS))
    worker = WorkerProcess(bootstrap, topics.chunks, topics, folder / f"worker-{devices}.log", core=worker_core)
    try:
        worker.wait_until_ready()
        publisher = start_fleet(bootstrap, topics.chunks, devices)
        time.sleep(WARM_UP_SECONDS + 2)
        began, used_before, lags = time.time(), processor_seconds(worker.child.pid), []
        while time.time() < began + MEASURED_SECONDS - 2:
            time.sleep(1)
            lags.append(total_lag(worker))
        ended, used = time.time(), processor_seconds(worker.child.pid) - used_before
        printed, _ = publisher.communicate()
        peak = peak_memory_bytes(worker.child.pid)
    finally:
        worker.stop()
    seen = latencies(bootstrap, topics.predictions)
    seen = seen[(seen[:, 0] >= began) & (seen[:, 0] <= ended)]
    return Run(
        devices=devices,
        windows=len(seen),
        core_share=used / (ended - began),
        median_latency_seconds=float(np.median(seen[:, 1])),
        p99_latency_seconds=float(np.quantile(seen[:, 1], 0.99)),
        slope=float(np.polyfit(seen[:, 0] - began, seen[:, 1], 1)[0]),
        lags=lags,
        publisher_delay_seconds=float(printed.split()[-1]),
        peak_memory_bytes=peak,
    )


def start_fleet(bootstrap: str, topic: str, devices: int) -> Child:
    """Start publishing in real time for warm-up and measurement."""
    seconds = str(WARM_UP_SECONDS + MEASURED_SECONDS)
    command = [sys.executable, "-m", "benchmarks.fleet", "--bootstrap-servers", bootstrap, "--topic", topic]
    return spawn([*command, "--devices", str(devices), "--seconds", seconds], output=subprocess.PIPE)


def find_capacity(bootstrap: str, worker_core: int, folder: Path) -> list[Run]:
    """Measure a small fleet, then growing shares of what it promises, until one is too much."""
    runs = [measure(bootstrap, FIRST_FLEET, worker_core, folder)]
    print(runs[0].row(), flush=True)
    promised = FIRST_FLEET / runs[0].core_share
    for share in SHARES:
        runs.append(measure(bootstrap, round(share * promised), worker_core, folder))
        print(runs[-1].row(), flush=True)
        if not runs[-1].sustained:
            break
    return runs


COLUMNS = (
    "sensors",
    "windows",
    "of the core",
    "median latency",
    "p99 latency",
    "slope, s/s",
    "lag over the run, records",
    "publisher late",
    "peak memory",
    "sustained",
)


def table(runs: list[Run]) -> str:
    """Return the runs as a Markdown table."""
    return "\n".join([f"| {' | '.join(COLUMNS)} |", f"|{'---:|' * len(COLUMNS)}", *(run.row() for run in runs)])


def report(runs: list[Run]) -> str:
    """Return the section of RESULTS.md."""
    best = max((run for run in runs if run.sustained), key=lambda run: run.devices)
    return f"""\
`python -m benchmarks.worker` on {machine()}.

One worker on one core; broker and publisher on the others. Each sensor sends one second of 44.1 kHz 16-bit mono
per second (88 KB); a window is due every 2.32 s per sensor. Measured for {MEASURED_SECONDS - 2} s after a warm-up.
Latency is from the capture of a window's last sample to its prediction, so it holds the wait for the rest of the
one-second chunk.

{table(runs)}

**{best.devices} sensors sustained on one core**, {best.peak_memory_bytes / 1e6:.0f} MB at most."""


def main() -> int:
    """Measure, print and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, help="measure this fleet only, and write nothing")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("One core is for the worker alone, so at least two are needed.", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, cores[1:])  # inherited by broker and publisher
    with tempfile.TemporaryDirectory() as folder, KafkaBroker() as broker:
        if arguments.devices:
            run = measure(broker.bootstrap_servers, arguments.devices, cores[0], Path(folder))
            print(table([run]))
            return 0 if run.sustained else 1
        runs = find_capacity(broker.bootstrap_servers, cores[0], Path(folder))
    if not runs[-1].sustained and runs[-1].core_share < LEAST_CORE_SHARE:
        print(f"{table(runs)}\nSomething else used the worker's core: measure again on a quiet machine.")
        return 1
    text = report(runs)
    print(text)
    write_section("The worker, end to end", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
