"""A whole worker in this process, on the broker in memory: ready when it can work, never dead of an outage."""

from __future__ import annotations

import gc
import io
import json
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from soundscene.bundle import Bundle, write_bundle
from soundscene.errors import BundleError, SettingsError
from soundscene_worker.broker.errors import AccessDenied, TopicMissing
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.broker.rights import Right, of_worker
from soundscene_worker.logs import EventLog
from soundscene_worker.service import WorkerService
from soundscene_worker.settings import WorkerSettings
from tests.conftest import make_tiny_manifest, read_tiny_networks

PATIENCE_SECONDS = 30.0
SETTINGS = WorkerSettings(http_port=0, poll_seconds=0.02)


@pytest.fixture
def cluster() -> Iterator[MemoryCluster]:
    with MemoryCluster() as cluster:
        cluster.admin().ensure_topics({"audio.chunks": 2, "scene.predictions": 1, "audio.dead-letters": 1})
        yield cluster


@contextmanager
def running(cluster: MemoryCluster, log: EventLog, settings: WorkerSettings = SETTINGS) -> Iterator[WorkerService]:
    with WorkerService(settings, cluster, log) as service:
        thread = threading.Thread(target=service.run)
        thread.start()
        try:
            yield service
        finally:
            service.stop()
            thread.join()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def status(service: WorkerService, path: str) -> tuple[int, dict[str, bool]]:
    try:
        with urlopen(f"{service.url}{path}") as response:
            return response.status, json.load(response)["checks"]
    except HTTPError as error:
        with error:
            return error.code, json.load(error)["checks"]


def test_a_worker_is_ready_when_it_has_joined_and_unready_in_an_outage(cluster: MemoryCluster) -> None:
    """Readiness follows the group and the broker, liveness only the loop; the end is in order."""
    lines = io.StringIO()
    log = EventLog(lines, format="json")
    with WorkerService(SETTINGS, cluster, log) as waiting:
        assert status(waiting, "/ready") == (503, {"loop": True, "group": False, "broker": False})
        assert status(waiting, "/live") == (200, {"loop": True})
    with running(cluster, log) as service:
        wait_for(lambda: status(service, "/ready")[0] == 200)
        assert status(service, "/ready") == (200, {"loop": True, "group": True, "broker": True})
        cluster.outage()
        assert status(service, "/ready") == (503, {"loop": True, "group": True, "broker": False})
        assert status(service, "/live")[0] == 200
        cluster.outage(is_down=False)
        wait_for(lambda: status(service, "/ready")[0] == 200)
        with urlopen(f"{service.url}/metrics") as response:
            assert b"soundscene_partitions_assigned 2.0" in response.read()
    events = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    assert events[-1] == "worker_stopped"
    assert "bundle_loaded" in events


def test_the_start_says_what_the_worker_knows(cluster: MemoryCluster) -> None:
    """The first lines and the front page list the sounds of the bundle, so that nobody takes them for city scenes."""
    lines = io.StringIO()
    with WorkerService(SETTINGS, cluster, EventLog(lines, format="json")) as service:
        loaded = json.loads(lines.getvalue().splitlines()[0])
        assert loaded["event"] == "bundle_loaded"
        assert "It tells apart: " in loaded["knows"]
        assert len(loaded["hash"]) == 64
        with urlopen(service.url) as response:
            assert loaded["knows"].split(":")[0] in response.read().decode()


def test_a_worker_that_was_stopped_before_it_ran_ends_at_once(cluster: MemoryCluster) -> None:
    """A signal that arrives during the start is not forgotten."""
    with WorkerService(SETTINGS, cluster, EventLog(io.StringIO())) as service:
        service.stop()
        service.run()


@pytest.mark.parametrize("topic", ["audio.chunks", "scene.predictions", "audio.dead-letters"])
def test_every_topic_must_be_there(topic: str) -> None:
    """A missing topic is named before anything is consumed."""
    everything = {"audio.chunks", "scene.predictions", "audio.dead-letters"}
    with MemoryCluster() as cluster, WorkerService(SETTINGS, cluster, EventLog(io.StringIO())) as service:
        cluster.admin().ensure_topics(dict.fromkeys(everything - {topic}, 1))
        with pytest.raises(TopicMissing, match=f"'{topic}'.*create the topic"):
            service.run()


def test_a_worker_waits_for_the_rights_it_lacks(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing, each time that changes, consumes nothing, and starts when everything is granted."""
    monkeypatch.setattr("soundscene_worker.service._RIGHTS_SECONDS", 0.01)
    lines = io.StringIO()
    rights = of_worker("audio.chunks", "scene.predictions", "audio.dead-letters", "soundscene")
    cluster.denied.update(rights[:2])
    with running(cluster, EventLog(lines, format="json")) as service:
        wait_for(lambda: "READ on group soundscene" in lines.getvalue())
        cluster.denied.remove(rights[0])
        wait_for(lambda: lines.getvalue().count("access_missing") == 2)
        assert status(service, "/live")[0] == 200
        assert status(service, "/ready")[0] == 503
        assert not cluster.groups
        cluster.denied.clear()
        wait_for(lambda: status(service, "/ready")[0] == 200)
    missing = [json.loads(line).get("missing") for line in lines.getvalue().splitlines() if "access_missing" in line]
    assert missing == ["READ on topic audio.chunks, READ on group soundscene", "READ on group soundscene"]


def test_rights_that_never_come_end_the_start(cluster: MemoryCluster) -> None:
    """After the patience the error names the right and the way out; a stop ends the waiting at once."""
    cluster.denied.add(Right("WRITE", "TOPIC", "scene.predictions"))
    impatient = SETTINGS.model_copy(update={"access_patience_seconds": 0.0})
    with (
        WorkerService(impatient, cluster, EventLog(io.StringIO())) as service,
        pytest.raises(AccessDenied, match=r"WRITE on topic scene\.predictions; grant it with kafka-acls"),
    ):
        service.run()
    with running(cluster, EventLog(io.StringIO())):
        pass
    assert not cluster.groups


def test_the_settings_protect_the_metrics(cluster: MemoryCluster, tmp_path: Path) -> None:
    """With a password file, metrics ask for the password and the probes do not."""
    file = tmp_path / "password"
    file.write_text("hunter2")
    file.chmod(0o600)
    guarded = SETTINGS.model_copy(update={"http_password_file": file})
    lines = io.StringIO()
    with WorkerService(guarded, cluster, EventLog(lines, format="json")) as service:
        assert status(service, "/live")[0] == 200
        with pytest.raises(HTTPError, match="401") as refused:
            urlopen(f"{service.url}/metrics")
        refused.value.close()
    assert "hunter2" not in lines.getvalue()


def test_what_cannot_be_used_stops_the_start(cluster: MemoryCluster, tmp_path: Path) -> None:
    """Nothing is consumed with networks that are not there, unseen metrics, or chunks that a restart may judge anew."""
    log = EventLog(io.StringIO())
    with pytest.raises(BundleError, match=str(tmp_path)):
        WorkerService(SETTINGS.model_copy(update={"bundle": tmp_path}), cluster, log)
    with pytest.raises(SettingsError, match="cannot listen"):
        WorkerService(SETTINGS.model_copy(update={"http_host": "192.0.2.1"}), cluster, log)
    with pytest.raises(SettingsError, match=r"max_chunk_seconds \(20\) must not exceed hold_back_seconds \(10\)"):
        WorkerService(SETTINGS.model_copy(update={"max_chunk_seconds": 20.0}), cluster, log)


def test_a_new_bundle_takes_over_while_the_worker_runs(
    cluster: MemoryCluster, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """Asked to look, a running worker changes to the bundle it finds, and stays with it when the next is broken."""
    folder = shutil.copytree(tiny_bundle.directory, tmp_path / "served")
    lines = io.StringIO()
    settings = SETTINGS.model_copy(update={"bundle": folder, "bundle_check_seconds": 0.0})
    with running(cluster, EventLog(lines, format="json"), settings) as service:
        old = weakref.ref(service._classifier)
        renamed = {"version": "2", "labels": ["bus", "park", "square", "ferry"]}
        fresh = write_bundle(folder, {**make_tiny_manifest(), **renamed}, read_tiny_networks())
        service.reload()
        wait_for(lambda: '"event": "bundle_changed"' in lines.getvalue())
        with urlopen(service.url) as response:
            assert "bus, park, square, ferry" in response.read().decode(), "the front page tells of the new one"
        gc.collect()
        assert old() is None, "the old networks are let go"
        (folder / "cqt.tflite").unlink()
        service.reload()
        wait_for(lambda: '"event": "bundle_refused"' in lines.getvalue())
        with urlopen(f"{service.url}/metrics") as response:
            metrics = response.read().decode()
    assert f'soundscene_bundle_info{{hash="{fresh.hash}",name="tiny",version="2"}} 1.0' in metrics
    assert metrics.count("soundscene_bundle_info{") == 1
    for outcome in ("loaded", "refused"):
        assert f'soundscene_bundle_reloads_total{{outcome="{outcome}"}} 1.0' in metrics
