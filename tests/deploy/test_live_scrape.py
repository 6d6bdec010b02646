"""A real worker on a real broker, scraped by a real Prometheus: what dashboards and alerts ask for is there."""

import math
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.dashboard_panels import ROWS
from scripts.pipeline import Topics, WorkerProcess
from scripts.processes import free_port, spawn, stop
from scripts.prometheus_server import PrometheusServer

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "rules.yml"
QUERIES = sorted({query.expression for row in ROWS for panel in row.panels for query in panel.queries})
SOUND = ("--device", "well", "--device", "ill", "--scene", "park", "--scene", "tram", "--calibration-db", "94")
FAULTS = ("--faulty", "ill", "--fault", "drop:0.1", "--fault", "corrupt:0.2", "--fault", "silence@5+10")
PACE = ("--seconds", "400", "--speed", "3", "--seed", "1")

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prometheus_installed")]


@pytest.fixture(scope="module")
def topics() -> Topics:
    """The topics of worker and auditor."""
    return Topics.unique()


@pytest.fixture(scope="module")
def worker(topics: Topics, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that hears two sensors, one of them faulty, for as long as the module's tests last."""
    from soundscene_worker.broker.connection import KafkaConnection
    from soundscene_worker.broker.kafka import KafkaCluster

    with KafkaCluster(KafkaConnection((kafka_bootstrap,))) as cluster:
        cluster.admin().ensure_topics(dict.fromkeys(topics.names, 2))
    started = WorkerProcess(kafka_bootstrap, topics.chunks, topics, tmp_path_factory.mktemp("live") / "worker.log")
    sensor = [sys.executable, "-m", "soundscene_worker.sensor", "--bootstrap-servers", kafka_bootstrap]
    try:
        started.wait_until_ready()
        sensors = spawn([*sensor, "--topic", topics.chunks, *SOUND, *FAULTS, *PACE], output=subprocess.DEVNULL)
        try:
            yield started
        finally:
            stop(sensors)
    finally:
        started.stop()


@pytest.fixture(scope="module")
def auditor(worker: WorkerProcess, topics: Topics, kafka_bootstrap: str) -> Iterator[str]:
    """Where a watching auditor of the same topics serves its metrics."""
    port = free_port()
    program = [sys.executable, "-m", "soundscene_worker.audit", "--follow", "--look-seconds", "1"]
    names = ["--chunks-topic", topics.chunks, "--predictions-topic", topics.predictions]
    names += ["--dead-letters-topic", topics.dead_letters]
    place = ["--bootstrap-servers", kafka_bootstrap, "--http-port", str(port)]
    watching = spawn([*program, *names, *place], output=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        stop(watching)


@pytest.fixture(scope="module")
def prometheus(worker: WorkerProcess, auditor: str) -> Iterator[PrometheusServer]:
    """Prometheus with the project's rules, after some windows and some rejected chunks."""
    with PrometheusServer([worker.address, auditor], rules=[RULES]) as server:
        for happened in (
            'rate(soundscene_device_windows_total{device="well"}[20s]) > 0',
            'rate(soundscene_device_windows_total{device="ill"}[20s]) > 0',
            "rate(soundscene_chunks_rejected_total[20s]) > 0",
            "rate(soundscene_commits_total[20s]) > 0",
            "soundscene_audit_windows_published > 0",
        ):
            server.wait_for(happened, timeout_seconds=60)
        yield server


@pytest.mark.parametrize("expression", QUERIES)
def test_every_query_of_the_dashboard_has_an_answer(prometheus: PrometheusServer, expression: str) -> None:
    """A panel's query, with Grafana's variables filled in, gives numbers."""
    filled = expression.replace("$__rate_interval", "20s").replace("$device", ".*")
    values = [float(series["value"][1]) for series in prometheus.query(filled)]
    assert [value for value in values if math.isfinite(value)], filled


def test_the_rules_run(prometheus: PrometheusServer) -> None:
    """Every recorded series of the rules exists, and no alert of a dead or stuck worker fires."""
    for name in (
        "soundscene:lag_records:sum",
        "soundscene:latency_seconds:p95",
        "soundscene:device_last_audio_timestamp_seconds:max",
    ):
        assert prometheus.wait_for(name)
    assert prometheus.query('ALERTS{alertname=~"SoundsceneWorker.*|SoundsceneBroker.*"}') == []


def test_prometheus_takes_both_pages_as_they_are(
    prometheus: PrometheusServer, worker: WorkerProcess, auditor: str, promtool: str
) -> None:
    """Worker and auditor are up, nothing on their pages is dropped, and promtool finds no fault with the names."""
    assert [series["value"][1] for series in prometheus.query("up")] == ["1", "1"]
    for address in (worker.address, auditor):
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as page:
            text = page.read()
        outcome = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
