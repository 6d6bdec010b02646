"""Processes that train or score side by side, and end with the one that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

__all__ = ["process_pool", "side_by_side"]

_LOOK_SECONDS: Final = 0.5
"""How often a process looks whether its parent is still there."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """Do the same work for each item, in this process where `jobs` is 1; give the results in the items' order."""
    from joblib import Parallel, delayed

    calls = (delayed(work)(item) for item in items)
    pool = Parallel(n_jobs=jobs, return_as="generator", initializer=_belong_to, initargs=(os.getpid(),))
    results: Iterator[Result] = pool(calls)
    return results


@contextmanager
def process_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of new interpreters that stops at once when what is done with it fails or is interrupted.

    A pool alone would first finish what it has begun and one thing more, which is hours of training.
    """
    strangers = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_belong_to, initargs=(os.getpid(),)) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - strangers:
                process.terminate()
            raise


def _belong_to(parent: int) -> None:
    """Leave Ctrl-C to the parent, which hears it too, and do not outlive it when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)
