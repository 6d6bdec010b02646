"""The command: what it sends and how it ends."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.messages.chunk import ENCODINGS, decode_chunk
from soundscene_worker.sensor.__main__ import main


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds of noise in stereo."""
    path = tmp_path / "hall.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (16_000, 2)), 8_000, subtype="PCM_16")
    return path


def run(cluster: MemoryCluster, *options: str | Path) -> int:
    return main([*map(str, options)], connect=lambda _: cluster)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_recording_is_sent(
    recording: Path, tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every encoding, with the options in the headers, a journal and a summary."""
    cluster = MemoryCluster()
    journal = tmp_path / "sent.jsonl"
    options = ["--speed=0", "--create-topic=2", "--topic=t", f"--encoding={encoding}", "--channels=2", "--rate=16000",
               "--chunk-seconds=0.5", "--calibration-db=94", "--session=x", f"--journal={journal}"]  # fmt: skip
    assert run(cluster, recording, *options) == 0
    chunks = [decode_chunk(record.key, record.value, record.headers) for record in cluster.read_to_end("t")]
    places = [(c.device, c.session, c.sequence, c.first_sample) for c in chunks]
    assert places == [("hall", "x", number, 8_000 * number) for number in range(4)]
    formats = {(c.encoding, c.channels, c.sample_rate_hz, c.calibration_db) for c in chunks}
    assert formats == {(encoding, 2, 16_000, 94.0)}
    assert len([json.loads(line) for line in journal.read_text().splitlines()]) == 4
    assert "4 chunks sent" in capsys.readouterr().err
    assert cluster.admin().topics() == {"t": 2}


def test_scenes_are_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any recording, as many devices as asked for, with faults that are counted."""
    cluster = MemoryCluster()
    options = ["--scene=park", "--devices=2", "--rate=8000", "--seconds=4", "--speed=0", "--fault=drop@1"]
    assert run(cluster, "--create-topic=1", *options) == 0
    assert len(list(cluster.read_to_end("audio.chunks"))) == 6
    assert "6 chunks sent, 2 drop" in capsys.readouterr().err


def test_a_signal_ends_it_in_good_order(recording: Path) -> None:
    """SIGTERM is the normal end of a sensor that plays for ever: everything sent is acknowledged, exit code 0."""
    cluster = MemoryCluster()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    handler = signal.getsignal(signal.SIGTERM)
    assert run(cluster, recording, "--loop", "--create-topic=1", "--chunk-seconds=0.05") == 0
    timer.join()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert list(cluster.read_to_end("audio.chunks"))


@pytest.mark.parametrize(
    "options",
    [
        ["nowhere.wav"],
        ["--scene=beach"],
        ["--fault=explode:1"],
        ["--encoding=flac", "--rate=65537", "--seconds=1", "--create-topic=1"],
        ["--chunk-seconds=20"],
        ["--speed=-1"],
        ["--start-time=yesterday"],
        ["--journal=/nonexistent/j", "--seconds=1"],
        ["--bootstrap-servers=nonsense"],
        ["--seconds=1", "--topic=missing", "--speed=0"],
        ["--scene=park", __file__],
        [__file__],
    ],
)  # fmt: skip
def test_what_cannot_be_used_ends_with_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, no traceback."""
    scene = [] if any("scene" in option or not option.startswith("-") for option in options) else ["--scene=park"]
    assert run(MemoryCluster(), *options, *scene, "--devices=1") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("soundscene-sensor: ")
    assert len(lines) <= 2
