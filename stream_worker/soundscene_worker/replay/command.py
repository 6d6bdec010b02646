"""The command `soundscene-worker replay`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from soundscene.commands import run_command
from soundscene.errors import SettingsError
from soundscene_worker.broker.protocol import Cluster
from soundscene_worker.broker.rights import of_replay
from soundscene_worker.command_line import require_rights
from soundscene_worker.messages.times import TimeFormatError, parse_milliseconds
from soundscene_worker.settings import WorkerSettings
from soundscene_worker.settings_sources import make_parser, settings_from

if TYPE_CHECKING:
    from soundscene_worker.broker.protocol import TopicPartition
    from soundscene_worker.replay.passages import Letters, Passage
    from soundscene_worker.replay.replayer import Replayer, Summary

__all__ = ["EXIT_INCOMPLETE", "main"]

EXIT_INCOMPLETE: Final = 1
"""Some dead letters name records that are still refused, or that the log no longer holds."""

_OWN: Final = ("since", "until", "dead_letters", "margin_seconds", "json")
_EPILOG: Final = """\
exit codes:
  0    done
  1    a record that a dead letter names is still refused, or the log no longer holds it
  2    an option, the bundle, a topic or the broker cannot be used
  130  interrupted: what was published stays; the same command again completes it

All settings of the worker are read as it reads them: use its file and its environment.
"""

Connect = Callable[[WorkerSettings], Cluster]


def main(
    arguments: Sequence[str], environment: Mapping[str, str] | None, version: str, connect: Connect | None = None
) -> int:
    """Run the command; return its exit code."""
    return run_command(
        "soundscene-worker replay", lambda: _run(arguments, environment, version, connect or _connect_kafka)
    )


def _run(arguments: Sequence[str], environment: Mapping[str, str] | None, version: str, connect: Connect) -> int:
    given = vars(_parser(version).parse_args(list(arguments)))
    own = argparse.Namespace(**{name: given.pop(name, None) for name in _OWN})
    settings = settings_from(given, environment)
    since_ms, until_ms = _time_ms("--since", own.since), _time_ms("--until", own.until)
    if own.since is None and not own.dead_letters:
        raise SettingsError("expected --since TIME (and --until TIME), or --dead-letters; see --help")
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise SettingsError(f"expected --since before --until, got {own.since} and {own.until}")
    with connect(settings) as cluster:
        letters_topic = settings.dead_letters_topic if own.dead_letters else None
        require_rights(cluster, of_replay(settings.chunks_topic, settings.predictions_topic, letters_topic))
        return _replay(settings, cluster, own, since_ms, until_ms)


def _replay(
    settings: WorkerSettings, cluster: Cluster, own: argparse.Namespace, since_ms: int | None, until_ms: int | None
) -> int:
    from soundscene_worker.replay import passages as plan

    replayer = _replayer(settings, cluster)
    margin_ms = _margin_ms(own.margin_seconds, replayer)
    letters = None
    if own.dead_letters:
        letters = plan.read_letters(cluster, settings.dead_letters_topic, settings.chunks_topic)
        refused = plan.between(letters, since_ms, until_ms)
        passages = plan.passages_of_refused(cluster, settings.chunks_topic, refused, margin_ms)
        named = sum(map(len, refused.values()))
        replayer.summary.gone = named - sum(len(one.repaired) for found in passages.values() for one in found)
    else:
        passages = plan.passages_of_range(cluster, settings.chunks_topic, since_ms, until_ms, margin_ms)
    try:
        _run_with_progress(replayer, passages)
    finally:  # an interruption too tells what it has done
        _print(replayer.summary, letters, bool(own.json))
    is_complete = not own.dead_letters or not (replayer.summary.refused or replayer.summary.gone)
    return 0 if is_complete else EXIT_INCOMPLETE


def _replayer(settings: WorkerSettings, cluster: Cluster) -> Replayer:
    from soundscene_worker.reloading import open_classifier
    from soundscene_worker.replay.replayer import Replayer
    from soundscene_worker.scoring import SceneScorer
    from soundscene_worker.service import stream_policy

    classifier = open_classifier(settings.bundle)
    return Replayer(
        cluster=cluster,
        predictions_topic=settings.predictions_topic,
        limits=settings.limits,
        policy=stream_policy(settings, classifier.bundle),
        make_scorer=lambda: SceneScorer(classifier),
        buffered_bytes=settings.buffered_bytes,
        delivery_seconds=2 * settings.delivery_timeout_seconds,
    )


def _run_with_progress(replayer: Replayer, passages: Mapping[TopicPartition, list[Passage]]) -> None:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        total = sum(len(one.offsets) for found in passages.values() for one in found)
        task = progress.add_task("records", total=total)
        replayer.progress = lambda record: progress.advance(task)
        replayer.run(passages)


def _margin_ms(seconds: float | None, replayer: Replayer) -> int:
    """Return as much of the log as an open window can reach back: a session may be silent until it counts as idle."""
    policy = replayer.policy
    rate_hz = policy.front_end.sample_rate_hz
    longest = policy.idle_seconds + policy.hold_back_samples(rate_hz) / rate_hz
    if seconds is not None and not 0 <= seconds < math.inf:
        raise SettingsError(f"expected --margin-seconds to be 0 or more, got {seconds:g}")
    return math.ceil(1000 * (longest if seconds is None else seconds))


def _time_ms(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_milliseconds(text)
    except TimeFormatError as error:
        raise SettingsError(f"{option}: {error}") from None


def _print(summary: Summary, letters: Letters | None, as_json: bool) -> None:
    facts = summary.to_dict()
    if letters is not None:
        facts |= {"withheld": letters.withheld, "unreadable_letters": letters.unreadable}
    if as_json:
        print(json.dumps(facts))
        return
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.refused.items())) or "none"
    print(f"records read        {summary.records}")
    print(f"windows published   {summary.published}")
    print(f"chunks refused      {refused}")
    if letters is not None:
        print(f"chunks repaired     {summary.repaired}")
        print(f"chunks gone         {summary.gone}")
        if letters.withheld:
            print(f"{letters.withheld} refused chunks have no letter of their own: replay their time with --since")


def _connect_kafka(settings: WorkerSettings) -> Cluster:
    from soundscene_worker.broker.kafka import KafkaCluster

    return KafkaCluster(settings.connection, settings.consuming, settings.producing)


def _parser(version: str) -> argparse.ArgumentParser:
    parser = make_parser(
        version,
        program="soundscene-worker replay",
        description="Score a part of the log again, and publish beside the first results. "
        "It joins no group and commits nothing.",
        epilog=_EPILOG,
    )
    group = parser.add_argument_group("replay")
    group.add_argument("--since", metavar="TIME", help="RFC 3339: windows completed by records of this time or later")
    group.add_argument("--until", metavar="TIME", help="RFC 3339: and by records before this time (default: all)")
    group.add_argument(
        "--dead-letters",
        action="store_true",
        help="windows with the sound of chunks that dead letters name, read where they lie; --since and --until "
        "choose among these chunks",
    )
    group.add_argument(
        "--margin-seconds",
        type=float,
        metavar="N",
        help="log read beside that, so that windows are whole (s; default: idle time and hold-back)",
    )
    group.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    return parser
