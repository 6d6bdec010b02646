"""The command `soundscene-worker`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from soundscene_worker.logs import EventLog
    from soundscene_worker.settings import WorkerSettings

__all__ = ["EXIT_BROKER", "EXIT_FAULT", "EXIT_SETTINGS", "main"]

EXIT_FAULT: Final = 1
"""A fault of the program; the log has the traceback."""
EXIT_SETTINGS: Final = 2
"""A setting or the bundle cannot be used."""
EXIT_BROKER: Final = 3
"""The broker cannot be reached, a topic is missing, or the broker refuses us."""


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run a worker until SIGTERM or Ctrl-C, or replay; return the exit code, 0 after an orderly end."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process per core: compute threads only get in each other's way
    try:
        from soundscene_worker.logs import EventLog, set_up_logging
        from soundscene_worker.settings_sources import read_settings
    except ModuleNotFoundError as error:
        print(f"soundscene-worker: {error.name} is not installed: pip install 'soundscene[worker]'", file=sys.stderr)
        return EXIT_SETTINGS
    from soundscene import __version__
    from soundscene.errors import SettingsError

    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments[:1]) == ["replay"]:
        from soundscene_worker.replay import command

        return command.main(arguments[1:], environment, __version__)
    try:
        settings = read_settings(arguments, environment, __version__)
    except SettingsError as error:
        print(f"soundscene-worker: {error}", file=sys.stderr)
        return EXIT_SETTINGS
    log = EventLog(format=settings.log_format, level=settings.log_level)
    set_up_logging(log)
    return _serve(settings, log)


def _serve(settings: WorkerSettings, log: EventLog) -> int:
    from soundscene.errors import BundleError, MissingExtraError, SettingsError
    from soundscene_worker.broker.errors import BrokerError

    try:
        _run(settings, log)
    except (BundleError, SettingsError, MissingExtraError) as error:
        log.event("worker_failed", error=str(error))
        return EXIT_SETTINGS
    except BrokerError as error:
        log.event("worker_failed", error=str(error))
        return EXIT_BROKER
    except Exception as error:
        log.event("worker_failed", error=repr(error), exc_info=True)
        return EXIT_FAULT
    return 0


def _run(settings: WorkerSettings, log: EventLog) -> None:
    from soundscene import __version__
    from soundscene_worker.broker.kafka import KafkaCluster
    from soundscene_worker.service import WorkerService

    log.event("worker_starting", version=__version__, **settings.shown())
    with (
        _signals() as stopping,  # before any other thread begins: they all inherit what is blocked
        KafkaCluster(settings.connection, settings.consuming, settings.producing) as cluster,
        WorkerService(settings, cluster, log) as service,
    ):
        stopping(service.stop, service.reload, log)
        service.run()


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[Callable[[], None], Callable[[], None], EventLog], None]]:
    """Let a thread wait for signals: a handler could interrupt a log line or a lock that it needs itself.

    SIGTERM and SIGINT stop, SIGHUP looks for a new bundle.
    """
    numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def wait(stop: Callable[[], None], reload: Callable[[], None], log: EventLog) -> None:
        while (number := signal.sigwait(numbers)) == signal.SIGHUP:
            reload()
        log.event("worker_stopping", signal=signal.Signals(number).name)
        stop()
        os._exit(128 + signal.sigwait(numbers - {signal.SIGHUP}))  # asked twice: at once

    def start(stop: Callable[[], None], reload: Callable[[], None], log: EventLog) -> None:
        threading.Thread(target=wait, args=(stop, reload, log), name="signals", daemon=True).start()

    try:
        yield start
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


if __name__ == "__main__":
    sys.exit(main())
