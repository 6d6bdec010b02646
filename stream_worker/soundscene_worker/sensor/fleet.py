"""Many sensors in one process: who they are, what they hear, and when each chunk is due."""

from __future__ import annotations

import heapq
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from soundscene.errors import SettingsError
from soundscene.synthesis import SCENE_NAMES
from soundscene_worker.messages.header_fields import is_name
from soundscene_worker.messages.limits import ChunkLimits
from soundscene_worker.sensor.chunks import ChunkFormat, Outgoing, cut, require_rate
from soundscene_worker.sensor.faults import Fault, misbehave
from soundscene_worker.sensor.publisher import Publisher
from soundscene_worker.sensor.sources import Recordings, Scene, Source

__all__ = ["Fleet", "FleetSettings", "Sensor", "publish", "recruit"]

_DEFAULT_RATE_HZ = 44_100


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Which sensors there are.

    Parameters
    ----------
    recordings : tuple of Path
        What they hear; none: scenes.
    scenes : tuple of str
        Which, in turn.
    device_count : int > 0 or None
        How many; None: one per recording or scene, or one per name.
    device_names : tuple of str
        Their ids, as many as there are devices; none: `sensor-01` and so on, or the recordings' names.
    sample_rate_hz : int or None
        Such as a worker takes; None: the recordings' own, 44100 for scenes.
    is_looped : bool
        Recordings begin again at their end.
    chunk_format : ChunkFormat
        How sound is cut.
    most_seconds : float > 0 or None
        Of sound per device; None: to the end of the recordings, for ever with scenes.
    faults : tuple of Fault
        What goes wrong.
    faulty_devices : tuple of str
        With whom; none: with all.
    session : str or None
        None: the time of the start.
    seed : int >= 0
        Of scenes and faults.

    Raises
    ------
    SettingsError
        A value is outside its range, or two do not fit together.
    """

    recordings: tuple[Path, ...] = ()
    scenes: tuple[str, ...] = SCENE_NAMES
    device_count: int | None = None
    device_names: tuple[str, ...] = ()
    sample_rate_hz: int | None = None
    is_looped: bool = False
    chunk_format: ChunkFormat = field(default_factory=ChunkFormat)
    most_seconds: float | None = None
    faults: tuple[Fault, ...] = ()
    faulty_devices: tuple[str, ...] = ()
    session: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the parts cannot."""
        if self.device_count is not None and self.device_count < 1:
            raise SettingsError(f"expected at least one device, got {self.device_count}")
        if self.device_names and self.device_count not in (None, len(self.device_names)):
            raise SettingsError(f"{self.device_count} devices need as many names, got {len(self.device_names)}")
        if len(set(self.device_names)) < len(self.device_names):
            raise SettingsError(f"device names must differ, got {', '.join(self.device_names)}")
        if self.most_seconds is not None and self.most_seconds <= 0:
            raise SettingsError(f"expected more than 0 seconds, got {self.most_seconds:g}")
        if self.sample_rate_hz is not None:
            require_rate(self.sample_rate_hz)
        for name in (*self.device_names, *([] if self.session is None else [self.session])):
            if not is_name(name, ChunkLimits(max_name_length=100)):  # a restart adds to a session's name
                raise SettingsError(
                    f"expected a name of at most 100 ASCII letters, digits and ._:@+/-, a letter or digit first; "
                    f"got {name!r}"
                )
        strangers = set(self.faulty_devices) - set(self.names())
        if strangers:
            raise SettingsError(f"no devices {', '.join(sorted(strangers))}; there are {', '.join(self.names())}")

    def names(self) -> tuple[str, ...]:
        """Return the ids of all devices."""
        if self.device_names:
            return self.device_names
        if self.recordings and self.device_count is None:
            return _unique([_as_device(path.stem) for path in self.recordings])
        count = self.device_count or len(self.scenes)
        return tuple(f"sensor-{number:02d}" for number in range(1, count + 1))


def _as_device(stem: str) -> str:
    """Make a device id of a file name."""
    return re.sub(r"[^A-Za-z0-9._:@+/-]+", "-", stem).lstrip("-._:@+")[:100] or "sensor"


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Number repetitions, past every name that is another's own."""
    found: list[str] = []
    for index, name in enumerate(names):
        numbered = (f"{name}-{number}" for number in itertools.count(index))
        found.append(name if name not in found else next(n for n in numbered if n not in found and n not in names))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Sensor:
    """One device and what it hears."""

    device: str
    source: Source
    generator: np.random.Generator


@dataclass(frozen=True, slots=True)
class Fleet:
    """Sensors that are ready to begin."""

    settings: FleetSettings
    sensors: tuple[Sensor, ...]

    @property
    def seconds(self) -> float | None:
        """How much sound there is of the longest; None when there is no end."""
        lengths = [sensor.source.seconds for sensor in self.sensors]
        known = [length for length in lengths if length is not None]
        longest = None if len(known) < len(lengths) else max(known)
        most = self.settings.most_seconds
        return longest if most is None else most if longest is None else min(most, longest)

    def chunks(self, start: datetime) -> Iterator[Outgoing]:
        """Yield the chunks of all sensors by the time they are due, their beginnings spread over a chunk."""
        session = self.settings.session or start.strftime("%Y%m%dT%H%M%S.%fZ")
        spread_seconds = self.settings.chunk_format.chunk_seconds / len(self.sensors)
        streams = [self._stream(sensor, session, start, i * spread_seconds) for i, sensor in enumerate(self.sensors)]
        return heapq.merge(*streams, key=lambda chunk: chunk.due_seconds)

    def _stream(self, sensor: Sensor, session: str, start: datetime, offset_seconds: float) -> Iterator[Outgoing]:
        settings = self.settings
        chunks = cut(
            sensor.source,
            sensor.device,
            session,
            settings.chunk_format,
            start=start,
            offset_seconds=offset_seconds,
            most_seconds=settings.most_seconds,
        )
        is_faulty = not settings.faulty_devices or sensor.device in settings.faulty_devices
        return misbehave(chunks, settings.faults if is_faulty else (), sensor.generator)


def recruit(settings: FleetSettings) -> Fleet:
    """Make the sensors: open every recording, make the beginning of every scene.

    Raises
    ------
    AudioError, SettingsError
        A recording cannot be read; a scene is unknown.
    """
    names = settings.names()
    sensors = []
    for index, name in enumerate(names):
        generator = np.random.default_rng([settings.seed, index])
        sensors.append(Sensor(name, _source(settings, index, len(names), generator), generator))
    return Fleet(settings, tuple(sensors))


def _source(settings: FleetSettings, index: int, count: int, generator: np.random.Generator) -> Source:
    """Give recordings out in turn, or the same ones again when there are more devices than recordings."""
    files = settings.recordings
    if files:
        own = files[index::count] or (files[index % len(files)],)
        return Recordings(own, settings.sample_rate_hz, settings.is_looped)
    scene = settings.scenes[index % len(settings.scenes)]
    return Scene(scene, settings.sample_rate_hz or _DEFAULT_RATE_HZ, generator)


def publish(
    fleet: Fleet,
    publisher: Publisher,
    speed: float = 1.0,
    *,
    start: datetime | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
    wait: Callable[[float], object] | None = None,
) -> None:
    """Send every chunk when it is due, until the sound ends or `publisher.stopping` is set.

    Parameters
    ----------
    fleet : Fleet
        The sensors.
    publisher : Publisher
        Where to.
    speed : float >= 0
        1 is real time; 0 as fast as the broker takes it.
    start : datetime or None
        Capture time of the first sample. None: now; with another speed than 1 and a known length, so long ago that
        the sound ends now, because nothing can have been recorded in the future.
    now, monotonic, wait : callable
        The clocks, and how to wait for a number of seconds; None waits on `publisher.stopping`.

    Raises
    ------
    SettingsError
        The speed is negative.
    BrokerError
        Nothing that waiting could cure.
    """
    if not 0 <= speed < float("inf"):
        raise SettingsError(f"expected a speed of 0 or more, got {speed:g}")
    stopping: threading.Event = publisher.stopping
    pause = wait or stopping.wait
    begin = start or now() - timedelta(seconds=0.0 if speed == 1 else fleet.seconds or 0.0)
    origin_seconds = monotonic()
    for chunk in fleet.chunks(begin):
        ahead_seconds = origin_seconds + chunk.due_seconds / speed - monotonic() if speed else 0.0
        if ahead_seconds > 0:
            pause(ahead_seconds)
        if stopping.is_set():
            break
        publisher.send(chunk)
    publisher.flush()
