"""Watching the bundle's folder: a new bundle is loaded and tried beside the old one, and only then offered."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Final, Protocol

from soundscene.bundle import load_bundle
from soundscene.classifier import SceneClassifier
from soundscene.errors import BundleError
from soundscene.known_sound import require_known_scores
from soundscene_worker.logs import EventLog

__all__ = ["BundleWatch", "open_classifier"]

Fingerprint = tuple[tuple[str, int, int], ...]

_LIBRARY_ERRORS: Final = (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What Essentia, numpy, gammatone and LiteRT raise for settings that no check of ours foresaw."""

_STOP: Final = "stop"
_LOOK: Final = "look"


class _Metrics(Protocol):
    def bundle_refused(self) -> None:
        """Note that a new bundle could not be used."""


def open_classifier(folder: Path | None) -> SceneClassifier:
    """Read a bundle, set it up, try it on the known sound and warm it up.

    Parameters
    ----------
    folder : Path or None
        The bundle's; None is the demo bundle.

    Raises
    ------
    BundleError
        It cannot be read or set up, or does not score the known sound as it did when it was written.
    """
    try:
        classifier = SceneClassifier(load_bundle(folder))
        require_known_scores(classifier)
        classifier.warm_up()
    except _LIBRARY_ERRORS as error:
        raise BundleError(
            f"bundle {folder or '(demo)'}: cannot be set up here: {type(error).__name__}: {error}; "
            "correct its front end and export it again"
        ) from error
    return classifier


class BundleWatch:
    """A thread that looks after the bundle's folder.

    A folder is tried when it has changed and then stayed the same from one look to the next, so that a copy in progress
    is left alone; or at once, when asked. What was refused is not tried again before it changes.

    Parameters
    ----------
    folder : Path
        Of the bundle in use.
    current_hash : str
        Of the bundle in use.
    interval_seconds : float
        Time between two looks; 0 looks only when asked.
    log, metrics
        Where a refusal is told.
    """

    def __init__(
        self, folder: Path, current_hash: str, interval_seconds: float, log: EventLog, metrics: _Metrics
    ) -> None:
        self._folder, self._hash, self._interval_seconds = folder, current_hash, interval_seconds
        self._log, self._metrics = log, metrics
        self._tried = self._seen = _fingerprint(folder)
        self._requests: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[SceneClassifier] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="bundle-watch", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Look now; returns at once."""
        self._requests.put(_LOOK)

    def take(self) -> SceneClassifier | None:
        """Return a new bundle that passed every check, once, or None. The caller has it alone."""
        newest = None
        while not self._ready.empty():
            newest = self._ready.get()
        return newest

    def close(self) -> None:
        """End the thread."""
        self._requests.put(_STOP)
        self._thread.join()

    def _watch(self) -> None:
        while True:
            try:
                request = self._requests.get(timeout=self._interval_seconds or None)
            except queue.Empty:
                request = ""
            if request == _STOP:
                return
            found = _fingerprint(self._folder)
            settled, self._seen = found == self._seen, found
            if request == _LOOK or (settled and found != self._tried):
                self._tried = found
                self._try()

    def _try(self) -> None:
        try:
            classifier = open_classifier(self._folder)  # tried even if the same: a restart would try it
            if classifier.bundle.hash == self._hash:
                return
            self._ready.put(classifier)
            self._hash = classifier.bundle.hash
        except (BundleError, OSError) as error:
            self._metrics.bundle_refused()
            self._log.event("bundle_refused", error=str(error), in_use=self._hash)


def _fingerprint(folder: Path) -> Fingerprint:
    """Return names, sizes and times of the files; nothing where the folder cannot be read."""
    try:
        return tuple(sorted((path.name, (s := path.stat()).st_size, s.st_mtime_ns) for path in folder.iterdir()))
    except OSError:
        return ()
