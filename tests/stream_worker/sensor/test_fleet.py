"""Many sensors keep time together, and what they sent is what the journal says and the auditor finds."""

from __future__ import annotations

import io
import json
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundscene.errors import SettingsError
from soundscene_worker.audit.expectation import ChunkAudit
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.intervals import IntervalSet
from soundscene_worker.audit.session import ExpectedWindow
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.messages.chunk import RejectedChunk, decode_chunk
from soundscene_worker.sensor.chunks import ChunkFormat
from soundscene_worker.sensor.faults import Fault
from soundscene_worker.sensor.fleet import Fleet, FleetSettings, publish, recruit
from soundscene_worker.sensor.publisher import Publisher

START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def recordings(tmp_path: Path) -> tuple[Path, ...]:
    """Three recordings of one to three seconds; two have the same name but for a sign that ids cannot have."""
    names = ("hall.wav", "old town.wav", "old-town.wav")
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * 8_000)
    for seconds, name in enumerate(names, 1):
        soundfile.write(tmp_path / name, noise[: seconds * 8_000], 8_000)
    return tuple(tmp_path / name for name in names)


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


def send(fleet: Fleet, speed: float = 0.0, **options: Any) -> tuple[MemoryCluster, list[dict[str, Any]]]:
    cluster = MemoryCluster()
    cluster.admin().ensure_topics({"chunks": 3})
    journal = io.StringIO()
    publisher = Publisher(cluster.producer(), "chunks", threading.Event(), journal, warn=pytest.fail)
    publish(fleet, publisher, speed, **options)
    return cluster, [json.loads(line) for line in journal.getvalue().splitlines()]


def test_each_recording_is_a_device(recordings: tuple[Path, ...]) -> None:
    """Named after it, and never two alike."""
    settings = FleetSettings(recordings)
    assert settings.names() == ("hall", "old-town", "old-town-2")
    alike = FleetSettings(recordings=tuple(map(Path, ("1/a.wav", "2/a.wav", "a-1.wav", "3/a.wav"))))
    assert alike.names() == ("a", "a-2", "a-1", "a-3")
    assert recruit(settings).seconds == pytest.approx(3.0)


def test_devices_share_recordings(recordings: tuple[Path, ...]) -> None:
    """In turn when there are fewer devices, the same ones again when there are more."""
    few = recruit(FleetSettings(recordings, device_count=2))
    assert [sensor.source.name for sensor in few.sensors] == ["hall.wav, old-town.wav", "old town.wav"]
    many = recruit(FleetSettings(recordings, device_names=("a", "b", "c", "d")))
    assert [sensor.source.name for sensor in many.sensors] == ["hall.wav", "old town.wav", "old-town.wav", "hall.wav"]


def test_without_recordings_there_are_scenes_without_end() -> None:
    """One device per scene, at 44.1 kHz."""
    settings = FleetSettings()
    assert settings.names() == tuple(f"sensor-{number:02d}" for number in range(1, 11))
    fleet = recruit(FleetSettings(scenes=("park", "tram"), device_count=3, sample_rate_hz=8_000))
    assert [sensor.source.name for sensor in fleet.sensors] == ["park", "tram", "park"]
    assert fleet.seconds is None
    assert recruit(FleetSettings(scenes=("park",))).sensors[0].source.sample_rate_hz == 44_100


def test_chunks_are_sent_when_they_are_due(recordings: tuple[Path, ...]) -> None:
    """At their ends by the clock of the speed, all devices interleaved and none at the same moment."""
    clock = Clock()
    sent: list[float] = []
    cluster = MemoryCluster(now_ms=lambda: sent.append(clock.seconds) or 0)  # type: ignore[func-returns-value]
    cluster.admin().ensure_topics({"chunks": 1})
    publisher = Publisher(cluster.producer(), "chunks", threading.Event(), monotonic=clock.monotonic)
    publish(recruit(FleetSettings(recordings)), publisher, 2.0, monotonic=clock.monotonic, wait=clock.wait)
    expected = sorted(
        (number + device / 3) / 2 for device, count in enumerate((1, 2, 3)) for number in range(1, count + 1)
    )
    assert sent == pytest.approx(expected)


def test_capture_times_are_those_of_the_sound(recordings: tuple[Path, ...]) -> None:
    """In real time they begin now; a faster replay was recorded before, so that nothing comes from the future."""
    fleet = recruit(FleetSettings(recordings[2:]))
    clock = Clock()
    for speed, begin in ((1.0, START), (4.0, START - timedelta(seconds=3)), (0.0, START - timedelta(seconds=3))):
        _, lines = send(fleet, speed, now=lambda: START, monotonic=clock.monotonic, wait=clock.wait)
        times = [datetime.fromisoformat(line["capture_time"]) for line in lines]
        assert times == [begin + timedelta(seconds=second) for second in range(3)]


def test_a_stop_ends_the_sound(recordings: tuple[Path, ...]) -> None:
    """At the next chunk, with everything acknowledged that was sent."""
    cluster = MemoryCluster()
    cluster.admin().ensure_topics({"chunks": 1})
    publisher = Publisher(cluster.producer(), "chunks", threading.Event())
    waits = iter(range(3))

    def wait(_: float) -> None:
        if next(waits, None) is None:
            publisher.stopping.set()

    publish(recruit(FleetSettings(recordings, is_looped=True)), publisher, wait=wait, monotonic=lambda: 0.0)
    assert publisher.counts["chunks"] == 3


@pytest.mark.parametrize("encoding", ["pcm_s16le", "flac"])
def test_the_journal_tells_what_the_broker_has(recordings: tuple[Path, ...], encoding: str) -> None:
    """With every fault at once: each line that was sent is a record, each damage one that is refused."""
    rules = [
        "drop:0.1",
        "duplicate:0.1",
        "reorder:0.1",
        "restart@20",
        "rate@10+5",
        "clip:0.1",
        "silence@3+2",
        "corrupt:0.1",
    ]
    fleet = recruit(
        FleetSettings(
            recordings, is_looped=True, most_seconds=30, faults=tuple(map(Fault.parse, rules)),
            chunk_format=ChunkFormat(0.5, encoding), session="s",
        )
    )  # fmt: skip
    cluster, lines = send(fleet)
    assert {fault for line in lines for fault in line["faults"]} == {rule.split(":")[0].split("@")[0] for rule in rules}
    sent = [line for line in lines if line["sent"]]
    good, refused = [], 0
    for record in cluster.read_to_end("chunks"):
        try:
            good.append(decode_chunk(record.key, record.value, record.headers))
        except RejectedChunk:
            refused += 1
    assert refused == sum(line["damage"] is not None for line in sent)
    names = ("device", "session", "sequence", "first_sample", "sample_count", "sample_rate_hz")
    assert sorted(tuple(getattr(chunk, name) for name in names) for chunk in good) == sorted(
        tuple(line[name] for name in names) for line in sent if line["damage"] is None
    )


def test_the_auditor_finds_what_was_sent(recordings: tuple[Path, ...]) -> None:
    """From the log alone it expects the windows that follow from the journal."""
    geometry = Geometry(8_000, 4_000, 2_000)
    rules = ("drop:0.1", "duplicate:0.1", "reorder:0.1=2", "restart@20", "corrupt:0.05")
    fleet = recruit(FleetSettings(recordings, is_looped=True, most_seconds=60, faults=tuple(map(Fault.parse, rules))))
    cluster, lines = send(fleet)
    audit, found = ChunkAudit(geometry), set[ExpectedWindow]()
    for record in cluster.read_to_end("chunks"):
        found.update(audit.take(record).windows)
    heard: defaultdict[tuple[str, str], IntervalSet] = defaultdict(IntervalSet)
    for line in lines:
        if line["sent"] and line["damage"] is None:
            end = line["first_sample"] + line["sample_count"]
            heard[line["device"], line["session"]].add(line["first_sample"], end)
    expected = {
        (run, index * 2_000)
        for run, samples in heard.items()
        for span in samples
        for index in geometry.indices_within(*span, 8_000)
    }
    assert {((run.device, run.session), first) for run, first in found} == expected
    assert len(expected) > 300


def test_only_the_named_devices_misbehave(recordings: tuple[Path, ...]) -> None:
    """The others are faultless."""
    settings = FleetSettings(recordings, faults=(Fault.parse("drop:1"),), faulty_devices=("hall",))
    _, lines = send(recruit(settings))
    assert {line["device"] for line in lines if not line["sent"]} == {"hall"}


@pytest.mark.parametrize(
    "values",
    [{"device_count": 0}, {"device_count": 2, "device_names": ("a",)}, {"device_names": ("a", "a")},
     {"most_seconds": 0.0}, {"sample_rate_hz": 100}, {"faulty_devices": ("nobody",)}, {"scenes": ("beach",)},
     {"device_names": ("a b",)}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError):
        recruit(FleetSettings(**values))


def test_a_negative_speed_is_refused(recordings: tuple[Path, ...]) -> None:
    """Nobody can send backwards."""
    with pytest.raises(SettingsError, match="speed"):
        send(recruit(FleetSettings(recordings)), -1.0)
