"""The command `soundscene-audit`."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from soundscene.commands import add_version, run_command
from soundscene.errors import SettingsError
from soundscene_worker import defaults
from soundscene_worker.audit.auditor import Auditor
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.report import print_verdict
from soundscene_worker.audit.rules import Rules
from soundscene_worker.audit.verdict import Verdict
from soundscene_worker.broker.rights import of_auditor
from soundscene_worker.command_line import (
    Connect,
    add_connection_options,
    connect_kafka,
    read_connection,
    require_rights,
)
from soundscene_worker.messages.limits import LARGEST_CHUNK_BYTES, ChunkLimits
from soundscene_worker.messages.times import TimeFormatError, parse_milliseconds
from soundscene_worker.secret_files import read_secret

if TYPE_CHECKING:
    from soundscene_worker.http_server import Protection

__all__ = ["EXIT_LOSS", "main"]

EXIT_LOSS = 1
"""Something is missing, differs or was not to be expected."""

_KNOWS = "It tells which predictions are missing, repeated or wrong."

_EPILOG = """\
exit codes:
  0  every window that must exist was published, and nothing differs
  1  the worker lost a window, predictions of one differ, or one exists whose sound is not in the log;
     windows whose sound was lost before are explained, and are no failure
  2  an option, the bundle or the broker cannot be used

The auditor shares no code with the worker that decides about windows. What it needs to know besides the two topics
is how the worker was configured: its bundle, and its rules if they are not the defaults.
"""


def main(arguments: Sequence[str] | None = None, connect: Connect = connect_kafka) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    return run_command("soundscene-audit", lambda: _run(options, connect))


def _run(options: argparse.Namespace, connect: Connect) -> int:
    if options.wait_seconds < 0:
        raise SettingsError(f"expected --wait-seconds to be 0 or more, got {options.wait_seconds:g}")
    if not (0 <= options.grace_seconds < math.inf and 0 < options.look_seconds < math.inf):
        raise SettingsError("expected --grace-seconds to be 0 or more and --look-seconds above 0, both finite")
    if not 0 < options.max_chunk_bytes <= LARGEST_CHUNK_BYTES:
        raise SettingsError(
            f"expected --max-chunk-bytes from 1 to {LARGEST_CHUNK_BYTES} (8 MiB), got {options.max_chunk_bytes}"
        )
    if not 0 < options.max_chunk_seconds < math.inf:
        raise SettingsError(f"expected --max-chunk-seconds above 0 and finite, got {options.max_chunk_seconds:g}")
    limits = ChunkLimits(options.max_chunk_bytes, options.max_chunk_seconds)
    rules = Rules(
        options.hold_back_seconds,
        options.idle_seconds,
        options.sessions_per_device,
        limits,
        options.devices_per_partition,
        options.device_bytes,
    )
    geometry = Geometry.of_bundle(options.bundle)
    with connect(read_connection(options, "soundscene-audit")) as cluster:
        topics = options.chunks_topic, options.predictions_topic, options.dead_letters_topic
        require_rights(cluster, of_auditor(*topics))
        auditor = Auditor(
            cluster,
            options.chunks_topic,
            options.predictions_topic,
            geometry,
            rules,
            options.model,
            options.dead_letters_topic,
            options.since,
            options.until,
        )
        verdict = _watch(auditor, options) if options.follow else auditor.audit(options.wait_seconds)
    _print(verdict, options.json)
    total = verdict.total
    is_good = verdict.is_good or (options.allow_unexpected and not (total.missing or total.differing))
    return 0 if is_good else EXIT_LOSS


def _print(verdict: Verdict, as_json: bool) -> None:
    if as_json:
        json.dump(verdict.to_dict(), sys.stdout)
        print()
        return
    from rich.console import Console

    print_verdict(verdict, Console(soft_wrap=False))


def _watch(auditor: Auditor, options: argparse.Namespace) -> Verdict:
    """Watch until SIGINT or SIGTERM; the metrics are served all the while."""
    from soundscene_worker.audit.follow import Watch
    from soundscene_worker.health import About, Checks, HealthServer

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    watch = Watch(auditor, options.grace_seconds)
    checks = Checks(live={}, ready={"broker": lambda: bool(watch.metrics.values.get("audit_broker_reachable"))})
    about = About("soundscene auditor", version("soundscene"), lambda: _KNOWS)
    where, registry = (options.http_host, options.http_port), watch.metrics.registry()
    with HealthServer(*where, registry, checks, about, protection=_protection(options)) as server:
        print(f"soundscene-audit: metrics at {server.url}/metrics", file=sys.stderr)
        return watch.run(lambda: stopping.wait(options.look_seconds))


def _protection(options: argparse.Namespace) -> Protection:
    from soundscene_worker.http_server import Protection

    file = options.http_password_file
    password = None if file is None else read_secret(file)
    return Protection(options.http_certificate_file, options.http_key_file, options.http_username, password)


def _milliseconds(text: str) -> int:
    try:
        return parse_milliseconds(text)
    except TimeFormatError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    rules = Rules()
    parser = argparse.ArgumentParser(
        prog="soundscene-audit",
        description="Read chunks and predictions, and tell which predictions are missing, repeated or wrong.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument("--chunks-topic", default=defaults.CHUNKS_TOPIC, metavar="TOPIC", help="default: %(default)s")
    parser.add_argument(
        "--predictions-topic", default=defaults.PREDICTIONS_TOPIC, metavar="TOPIC", help="default: %(default)s"
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="the worker's bundle (default: the one in the package)"
    )
    parser.add_argument(
        "--dead-letters-topic", default=defaults.DEAD_LETTERS_TOPIC, metavar="TOPIC", help="default: %(default)s"
    )
    parser.add_argument(
        "--model", metavar="HASH|NAME@VERSION", help="each window must have been published by this bundle"
    )
    for name, what in (("--since", "from"), ("--until", "before")):
        help_text = f"judge windows completed by chunks written {what} this time, as 2026-05-01T12:00:00Z"
        parser.add_argument(name, type=_milliseconds, metavar="TIME", help=help_text)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--wait-seconds",
        type=float,
        default=0.0,
        metavar="N",
        help="look again until nothing is missing, for so long at most: for a worker that is not done yet (default: 0)",
    )
    parser.add_argument(
        "--allow-unexpected",
        action="store_true",
        help="predictions without their sound are no failure: for a log whose oldest chunks are deleted already",
    )
    _add_follow_options(parser)
    group = parser.add_argument_group("the worker's rules")
    for name, kind, default, text in (
        ("--hold-back-seconds", float, rules.hold_back_seconds, "how late a chunk may be"),
        ("--idle-seconds", float, rules.idle_seconds, "after how much silence in the log a session is over"),
        ("--sessions-per-device", int, rules.sessions_per_device, "sessions of a device open at a time"),
        ("--devices-per-partition", int, rules.devices_per_partition, "devices of a partition with open sessions"),
        ("--device-bytes", int, rules.device_bytes, "memory of a device beyond which its sessions are closed"),
        ("--max-chunk-bytes", int, rules.limits.max_bytes, "largest payload taken"),
        ("--max-chunk-seconds", float, rules.limits.max_seconds, "longest chunk taken"),
    ):
        group.add_argument(name, type=kind, default=default, metavar="N", help=f"{text} (default: {default})")
    add_connection_options(parser)
    return parser


def _add_follow_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("watching")
    group.add_argument("--follow", action="store_true", help="compare until stopped, and serve the outcome as metrics")
    for name, default, text in (
        ("--grace-seconds", 60.0, "how long a prediction may take before it counts as missing"),
        ("--look-seconds", 5.0, "pause between two looks"),
    ):
        group.add_argument(name, type=float, default=default, metavar="N", help=f"{text} (default: {default:g})")
    group.add_argument("--http-host", default="127.0.0.1", metavar="HOST", help="default: %(default)s")
    group.add_argument("--http-port", type=int, default=9465, metavar="PORT", help="default: %(default)s")
    group.add_argument("--http-certificate-file", type=Path, metavar="PEM", help="serve TLS with this certificate")
    group.add_argument("--http-key-file", type=Path, metavar="PEM", help="and its key, without a password")
    group.add_argument("--http-username", default="soundscene", metavar="NAME", help="default: %(default)s")
    group.add_argument("--http-password-file", type=Path, metavar="FILE", help="its first line is that user's password")


if __name__ == "__main__":
    sys.exit(main())
