"""A whole worker, put together: bundle, metrics, HTTP server, broker and loop."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType
from typing import Final, Self

from soundscene import __version__
from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier
from soundscene.errors import SettingsError
from soundscene_worker.broker.errors import AccessDenied, BrokerError, TopicMissing
from soundscene_worker.broker.protocol import Admin, Cluster, Consumer
from soundscene_worker.broker.rights import Right, in_words, of_worker
from soundscene_worker.health import About, Checks, HealthServer
from soundscene_worker.letter_post import DeadLetterPost
from soundscene_worker.logs import EventLog
from soundscene_worker.loop import LoopSettings, Worker
from soundscene_worker.messages.dead_letter import DeadLetterOffice
from soundscene_worker.metrics import Registry, WorkerMetrics
from soundscene_worker.reloading import BundleWatch, open_classifier
from soundscene_worker.scoring import SceneScorer
from soundscene_worker.settings import WorkerSettings
from soundscene_worker.streams.policy import StreamPolicy

__all__ = ["WorkerService", "loop_settings", "stream_policy"]

_RIGHTS_SECONDS: Final = 1.0
"""Between two looks for rights that are missing at the start."""


class WorkerService:
    """One worker from its settings to its end. `run` in one thread; `stop` and `url` from any.

    Parameters
    ----------
    settings : WorkerSettings
        Everything it is told.
    cluster : Cluster
        Where the records are; the caller closes it.
    log : EventLog
        Where it says what happens.

    Raises
    ------
    BundleError
        The networks cannot be used.
    SettingsError
        The HTTP address cannot be used; or chunks may be longer than the hold-back, see ADR 3, which a replay, never
        started again in the middle, may bear.
    """

    def __init__(self, settings: WorkerSettings, cluster: Cluster, log: EventLog) -> None:
        if settings.max_chunk_seconds > settings.hold_back_seconds:
            raise SettingsError(
                f"max_chunk_seconds ({settings.max_chunk_seconds:g}) must not exceed hold_back_seconds "
                f"({settings.hold_back_seconds:g}): a longer chunk that is late could be taken after a restart"
            )
        self._settings, self._cluster, self._log = settings, cluster, log
        self._rights = of_worker(*settings.topics, settings.group_id)
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        self._consumer: Consumer | None = None
        self._classifier = open_classifier(settings.bundle)
        bundle = self._classifier.bundle
        log.event("bundle_loaded", **bundle.model, knows=_knows(bundle))
        registry = Registry()
        self._metrics = WorkerMetrics(registry, bundle, version=__version__, max_devices=settings.max_devices)
        self._watch = BundleWatch(bundle.directory, bundle.hash, settings.bundle_check_seconds, log, self._metrics)
        about = About("soundscene worker", __version__, lambda: _knows(self._classifier.bundle), settings.source_url)
        where = settings.http_host, settings.http_port
        self._server = HealthServer(*where, registry, self._checks(), about, protection=settings.protection)
        log.event("http_listening", url=self._server.url)

    @property
    def url(self) -> str:
        """Where metrics and health are served."""
        return self._server.url

    def run(self) -> None:
        """Join the group and work until `stop`.

        Raises
        ------
        BrokerError
            The broker cannot be reached at the start, denies us a right for `access_patience_seconds`, a topic is
            missing, or waiting cannot cure it.
        """
        with contextlib.closing(self._cluster.admin()) as admin:
            if not self._wait_for_rights(admin):
                return
            self._require_topics(admin)
        settings = self._settings
        self._consumer = self._cluster.consumer(settings.group_id, [settings.chunks_topic])
        producer, letter_producer = self._cluster.producer(), self._cluster.producer()
        for_loop = loop_settings(settings, self._classifier.bundle)
        letter_post = DeadLetterPost(
            letter_producer, settings.dead_letters_topic, self._metrics, self._log, for_loop.delivery_seconds
        )
        self._worker = Worker(
            settings=for_loop,
            consumer=self._consumer,
            producer=producer,
            scorer=SceneScorer(self._classifier),
            dead_letters=DeadLetterOffice(settings.dead_letters),
            letter_post=letter_post,
            metrics=self._metrics,
            log=self._log,
            new_bundle=self._take_bundle,
        )
        self._log.event("worker_started", group=settings.group_id, topic=settings.chunks_topic)
        try:
            if not self._stopping.is_set():
                self._worker.run()
        except AccessDenied as error:
            raise self._named(error) from error
        finally:
            self._consumer.close()
            letter_post.close()
            producer.close()
            letter_producer.close()
        self._log.event("worker_stopped")

    def stop(self) -> None:
        """Let `run` end after its current turn."""
        self._stopping.set()
        if self._worker is not None:
            self._worker.stop()

    def reload(self) -> None:
        """Look for a new bundle now; it takes over between two turns, and a broken one is refused."""
        self._watch.look()

    def close(self) -> None:
        """Stop serving HTTP and watching the bundle."""
        self._watch.close()
        self._server.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()

    def _take_bundle(self) -> SceneClassifier | None:
        """Hand a new bundle to the loop, which lets it take over at its next commit, and forget the old one."""
        newest = self._watch.take()
        self._classifier = newest or self._classifier
        return newest

    def _checks(self) -> Checks:
        """Return what health asks; an outage of the broker makes a worker unready, never dead."""

        def turning() -> bool:
            return self._metrics.seconds_since_turn() < self._settings.stuck_after_seconds

        def joined() -> bool:
            return self._consumer is not None and self._consumer.joined()

        def reachable() -> bool:
            return self._consumer is not None and self._consumer.reachable()

        return Checks(live={"loop": turning}, ready={"loop": turning, "group": joined, "broker": reachable})

    def _wait_for_rights(self, admin: Admin) -> bool:
        """Wait until the broker grants us everything; return False when stopped meanwhile."""
        ends_at = time.monotonic() + self._settings.access_patience_seconds
        told: list[Right] = []
        while missing := admin.missing_rights(self._rights):
            if missing != told:
                self._log.event("access_missing", missing=", ".join(map(str, missing)))
                told = missing
            if time.monotonic() >= ends_at:
                raise AccessDenied(in_words(missing))
            if self._stopping.wait(_RIGHTS_SECONDS):
                return False
        return True

    def _named(self, error: AccessDenied) -> AccessDenied:
        """Return the error with the right that was taken away: the library names the topic or the group only."""
        missing: list[Right] = []
        with contextlib.suppress(BrokerError), contextlib.closing(self._cluster.admin()) as admin:
            missing = admin.missing_rights(self._rights)
        return AccessDenied(in_words(missing)) if missing else error

    def _require_topics(self, admin: Admin) -> None:
        topics = admin.topics()
        for topic in self._settings.topics:
            if topic not in topics:
                where = self._settings.bootstrap_servers
                raise TopicMissing(f"there is no topic {topic!r} at {where}; create the topic, or correct its name")


def loop_settings(settings: WorkerSettings, bundle: Bundle) -> LoopSettings:
    """Return what the loop needs to know."""
    return LoopSettings(
        predictions_topic=settings.predictions_topic,
        limits=settings.limits,
        policy=stream_policy(settings, bundle),
        poll_seconds=settings.poll_seconds,
        poll_records=settings.poll_records,
        turn_seconds=settings.turn_seconds,
        buffered_bytes=settings.buffered_bytes,
        commit_interval_seconds=settings.commit_interval_seconds,
        delivery_seconds=2 * settings.delivery_timeout_seconds,  # the producer gives up first, with a reason
    )


def stream_policy(settings: WorkerSettings, bundle: Bundle) -> StreamPolicy:
    """Return the rules by which a bundle's windows are cut and sessions closed."""
    return StreamPolicy(
        front_end=bundle.front_end,
        smoothing_windows=bundle.fusion.smoothing_windows,
        hold_back_seconds=settings.hold_back_seconds,
        idle_seconds=settings.idle_seconds,
        sessions_per_device=settings.sessions_per_device,
        devices_per_partition=settings.devices_per_partition,
        device_bytes=settings.device_bytes,
    )


def _knows(bundle: Bundle) -> str:
    return f"{bundle.description.rstrip('.')}. It tells apart: {', '.join(bundle.labels)}."
