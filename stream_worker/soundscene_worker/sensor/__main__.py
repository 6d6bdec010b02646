"""The command `soundscene-sensor`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from soundscene.commands import add_version, run_command
from soundscene.errors import SettingsError
from soundscene_worker import defaults
from soundscene_worker.broker.rights import of_sensor
from soundscene_worker.command_line import (
    Connect,
    add_connection_options,
    connect_kafka,
    read_connection,
    require_rights,
)
from soundscene_worker.messages.chunk import ENCODINGS
from soundscene_worker.messages.times import parse_time

if TYPE_CHECKING:
    from soundscene_worker.sensor.fleet import FleetSettings

__all__ = ["main"]

_EPILOG = """\
faults:
  --fault KIND:PROBABILITY          strikes each chunk with this probability
  --fault KIND@SECONDS              strikes the chunk at this time of the device's sound
  --fault KIND@SECONDS+DURATION     and every chunk for so long
  any of them with =VALUE after it

  drop        the chunk is never sent                 duplicate   it is sent twice
  reorder     the next chunks overtake it; =VALUE says how many (1), more than the worker's hold-back make it late
  restart     a new session begins, numbered from 0   rate        the sample rate changes to =VALUE Hz (48000) and back
  clip        amplified by 40 dB and clipped          silence     zeros
  corrupt     the payload is cut off, or a header is missing, unknown or garbled

examples:
  soundscene-sensor recordings/                     one device per file, in real time, once
  soundscene-sensor --devices 100 --loop hall.wav   a hundred devices, for ever
  soundscene-sensor                                 ten made-up scenes, for ever
  soundscene-sensor --scene tram --seconds 600 --speed 0 --fault drop:0.02 --fault restart@300

Recordings are any files that libsndfile reads. Sequence numbers, sample indices and capture times are those of a
faultless clock; a chunk that the broker did not acknowledge is sent again.
"""


def main(arguments: Sequence[str] | None = None, connect: Connect = connect_kafka) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    return run_command("soundscene-sensor", lambda: _run(options, connect))


def _run(options: argparse.Namespace, connect: Connect) -> int:
    from soundscene_worker.sensor.fleet import publish, recruit  # numpy and scipy: not for --help
    from soundscene_worker.sensor.publisher import Publisher

    connection = read_connection(options, "soundscene-sensor")
    settings = _settings(options)
    start = _start_time(options.start_time)
    fleet = recruit(settings)
    with _stopped_by_signals() as stopping, _journal(options.journal) as journal, connect(connection) as cluster:
        if options.create_topic is not None:
            cluster.admin().ensure_topics({options.topic: options.create_topic})
        require_rights(cluster, of_sensor(options.topic))
        publisher = Publisher(cluster.producer(), options.topic, stopping, journal, warn=_tell)
        _tell(f"{len(fleet.sensors)} device(s) to {options.topic} at {options.bootstrap_servers}")
        publish(fleet, publisher, options.speed, start=start)
    faults = "".join(f", {count} {name}" for name, count in sorted(publisher.counts.items()) if name != "chunks")
    _tell(f"{publisher.counts['chunks']} chunks sent{faults}")
    return 0


def _settings(options: argparse.Namespace) -> FleetSettings:
    from soundscene.synthesis import SCENE_NAMES
    from soundscene_worker.sensor.chunks import ChunkFormat
    from soundscene_worker.sensor.faults import Fault
    from soundscene_worker.sensor.fleet import FleetSettings
    from soundscene_worker.sensor.sources import find_audio

    if options.scene and options.audio:
        raise SettingsError("expected recordings or --scene, got both")
    return FleetSettings(
        recordings=tuple(find_audio(options.audio)),
        scenes=tuple(options.scene) or SCENE_NAMES,
        device_count=options.devices,
        device_names=tuple(options.device),
        sample_rate_hz=options.rate,
        is_looped=options.loop,
        chunk_format=ChunkFormat(options.chunk_seconds, options.encoding, options.channels, options.calibration_db),
        most_seconds=options.seconds,
        faults=tuple(map(Fault.parse, options.fault)),
        faulty_devices=tuple(options.faulty),
        session=options.session,
        seed=options.seed,
    )


def _start_time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


@contextlib.contextmanager
def _journal(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error}") from error
    with file:
        yield file


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Let SIGINT and SIGTERM end the sound in good order: what was sent is still acknowledged and written down."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(text: str) -> None:
    print(f"soundscene-sensor: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="soundscene-sensor",
        description="Publish recordings or made-up scenes to Kafka, as microphones would.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument("audio", nargs="*", type=Path, metavar="AUDIO", help="recordings, or folders of them")
    _add_sound_options(parser.add_argument_group("sound"))
    _add_device_options(parser.add_argument_group("devices"))
    _add_pace_options(parser.add_argument_group("pace"))
    parser.add_argument("--topic", default=defaults.CHUNKS_TOPIC, metavar="TOPIC", help="default: %(default)s")
    parser.add_argument(
        "--create-topic", type=int, metavar="PARTITIONS", help="make the topic with so many partitions if it is missing"
    )
    parser.add_argument("--journal", type=Path, metavar="FILE", help="write one JSON line per chunk that was sent")
    add_connection_options(parser)
    return parser


def _add_sound_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--scene", action="append", default=[], metavar="NAME", help="make up this scene; repeatable (default: all ten)"
    )
    group.add_argument("--rate", type=int, metavar="HZ", help="sample rate (default: the recording's; scenes 44100)")
    group.add_argument("--channels", type=int, default=1, metavar="N", help="default: %(default)s")
    group.add_argument("--encoding", choices=ENCODINGS, default="pcm_s16le", help="default: %(default)s")
    group.add_argument("--chunk-seconds", type=float, default=1.0, metavar="S", help="default: %(default)s")
    group.add_argument("--seconds", type=float, metavar="S", help="stop after so much sound of each device")
    group.add_argument("--loop", action="store_true", help="begin recordings again at their end")
    group.add_argument("--calibration-db", type=float, metavar="DB", help="dB SPL that digital full scale stands for")


def _add_device_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--devices", type=int, metavar="N", help="how many (default: one per recording or scene)")
    group.add_argument("--device", action="append", default=[], metavar="NAME", help="an id; repeatable")
    group.add_argument("--session", metavar="NAME", help="session id (default: the time of the start)")
    group.add_argument(
        "--fault", action="append", default=[], metavar="RULE", help="what goes wrong, see below; repeatable"
    )
    group.add_argument(
        "--faulty", action="append", default=[], metavar="NAME", help="only with this device; repeatable (default: all)"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of scenes and faults (default: %(default)s)")


def _add_pace_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="1 is real time (default), 0 as fast as possible"
    )
    group.add_argument(
        "--start-time",
        metavar="RFC3339",
        help="capture time of the first sample (default: now; at another speed, so that the sound ends now)",
    )


if __name__ == "__main__":
    sys.exit(main())
