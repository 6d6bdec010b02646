"""Processes that train or score side by side, and end with the one that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

__all__ = ["process_pool"]


@contextmanager
def process_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of new interpreters that stops at once when what is done with it fails or is interrupted.

    A pool alone would first finish what it has begun and one thing more, which is hours of training.
    """
    strangers = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_belong_to_parent) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - strangers:
                process.terminate()
            raise


def _belong_to_parent() -> None:
    """Leave Ctrl-C to the parent, which hears it too, and do not outlive it when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
