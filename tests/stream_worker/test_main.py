"""The command: its exit codes, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soundscene.bundle import Bundle, write_bundle
from soundscene_worker.__main__ import EXIT_BROKER, EXIT_SETTINGS, main
from tests.conftest import make_tiny_manifest, read_tiny_networks

CreateTopics = Callable[..., list[str]]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "soundscene_worker", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_wrong_setting_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, nothing on standard output."""
    assert main(["--http-port", "high"], {}) == EXIT_SETTINGS
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("soundscene-worker: http_port: ")


def test_a_bundle_that_is_none_is_exit_code_2(tmp_path: Path) -> None:
    """The last line names the folder."""
    outcome = run("--bundle", str(tmp_path))
    last = json.loads(outcome.stderr.splitlines()[-1])
    assert (outcome.returncode, last["event"]) == (EXIT_SETTINGS, "worker_failed")
    assert str(tmp_path) in last["error"]


def test_an_absent_broker_is_exit_code_3() -> None:
    """The last line names the address and the way out, and the process ends although the client keeps trying."""
    outcome = run("--bootstrap-servers", "127.0.0.1:1", "--connect-timeout-seconds", "0.5", "--http-port", "0")
    last = json.loads(outcome.stderr.splitlines()[-1])
    assert (outcome.returncode, last["event"]) == (EXIT_BROKER, "worker_failed")
    assert "127.0.0.1:1" in last["error"]
    assert "check that a broker runs there" in last["error"]


@pytest.mark.integration
def test_a_missing_topic_is_exit_code_3(kafka_bootstrap: str) -> None:
    """The last line names the topic."""
    outcome = run("--bootstrap-servers", kafka_bootstrap, "--http-port", "0", "--chunks-topic", "nowhere")
    assert outcome.returncode == EXIT_BROKER
    assert "'nowhere'" in json.loads(outcome.stderr.splitlines()[-1])["error"]


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(kafka_bootstrap: str, create_topics: CreateTopics, number: signal.Signals) -> None:
    """The worker finishes its turn, leaves the group, says so and exits with 0."""
    chunks, predictions, letters = create_topics("chunks", "predictions", "letters")
    words = ["--bootstrap-servers", kafka_bootstrap, "--group-id", chunks, "--chunks-topic", chunks]
    words += ["--predictions-topic", predictions, "--dead-letters-topic", letters, "--http-port", "0"]
    command = [sys.executable, "-m", "soundscene_worker", *words]
    environment = os.environ | {"SOUNDSCENE_WORKER_LOG_FORMAT": "json"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as worker:
        assert worker.stderr is not None
        events = []
        for line in worker.stderr:
            events.append(json.loads(line)["event"])
            if events[-1] == "partition_assigned":
                worker.send_signal(number)
        assert worker.wait(60) == 0
    assert events[-2:] == ["worker_stopping", "worker_stopped"]


@pytest.mark.integration
def test_hangup_changes_the_bundle(
    kafka_bootstrap: str, create_topics: CreateTopics, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """On SIGHUP the worker looks for a new bundle, changes to it on the real broker, and goes on."""
    chunks, predictions, letters = create_topics("chunks", "predictions", "letters")
    folder = shutil.copytree(tiny_bundle.directory, tmp_path / "served")
    words = ["--bootstrap-servers", kafka_bootstrap, "--group-id", chunks, "--chunks-topic", chunks]
    words += ["--predictions-topic", predictions, "--dead-letters-topic", letters, "--http-port", "0"]
    command = [sys.executable, "-m", "soundscene_worker", *words, "--bundle", str(folder)]
    environment = os.environ | {"SOUNDSCENE_WORKER_LOG_FORMAT": "json", "SOUNDSCENE_WORKER_BUNDLE_CHECK_SECONDS": "0"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as worker:
        assert worker.stderr is not None
        events = []
        for line in worker.stderr:
            events.append(json.loads(line)["event"])
            if events[-1] == "partition_assigned" and "bundle_changed" not in events:
                write_bundle(folder, {**make_tiny_manifest(), "version": "2"}, read_tiny_networks())
                worker.send_signal(signal.SIGHUP)
            elif events[-1] == "partition_assigned":
                worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    assert events[events.index("bundle_changed") :].count("partition_assigned") >= 1
    assert events[-2:] == ["worker_stopping", "worker_stopped"]


def test_the_module_itself_loads_nothing_heavy() -> None:
    """Importing the command must be instant: numpy, Kafka and the networks load when it runs."""
    script = "import sys, soundscene_worker.__main__; print(sorted({'numpy', 'kafka', 'pydantic'} & set(sys.modules)))"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
