"""Starting TensorFlow the way training wants it: quiet, one thread per process, no time lost in the allocator.

Two settings make a training step two to three times faster on a CPU. oneDNN's kernels are off by default on processors
without AVX-512. And the C library hands every large tensor back to the system at once, so that each operation first
waits for fresh pages; telling it to keep them costs some memory and saves a third of the time.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from soundscene.errors import MissingExtraError

__all__ = ["start_keras", "start_tensorflow"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
"""Parameters of mallopt(3), from glibc's malloc.h."""
_KEEP_BYTES: Final = 2**31 - 1
_GROW_BYTES: Final = 2**28


_threads_chosen: Final[list[int]] = []
"""By the first call in a process, for all that come."""


def start_tensorflow(thread_count: int = 1) -> Any:
    """Import TensorFlow with training's settings.

    Parameters
    ----------
    thread_count : int >= 0
        Threads inside an operation, 0 for all cores; the first call in a process decides. With one, the same seed gives
        the same weights to the last bit.

    Returns
    -------
    module
        `tensorflow`.

    Raises
    ------
    MissingExtraError
        TensorFlow is not installed.
    """
    tf = _import_tensorflow()
    if not _threads_chosen:
        _threads_chosen.append(thread_count)
        with suppress(RuntimeError):  # somebody else has started it already; their threads stay
            tf.config.threading.set_intra_op_parallelism_threads(thread_count)
            tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


@functools.cache
def _import_tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    _keep_memory()
    try:
        with _quiet_stderr():
            import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError(
            "training needs TensorFlow: install it with `pip install 'soundscene[train]'`"
        ) from error
    tf.get_logger().setLevel("ERROR")
    return tf


def start_keras() -> Any:
    """Import Keras, and TensorFlow as training wants it, with all cores, where that is the backend.

    Raises
    ------
    MissingExtraError
        Keras or the backend that `KERAS_BACKEND` names is not installed.
    """
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        start_tensorflow(thread_count=0)
    try:
        import keras
    except ImportError as error:
        raise MissingExtraError(
            f"{error}; install Keras with `pip install 'soundscene[train]'`, other backends as their makers say"
        ) from error
    return keras


def _keep_memory() -> None:
    """Let glibc reuse large blocks instead of returning them; elsewhere do nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    for parameter, value in (
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _KEEP_BYTES),
        (_M_TOP_PAD, _GROW_BYTES),
        (_M_ARENA_MAX, 1),
    ):
        mallopt(parameter, value)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send the start-up chatter of C++ libraries, which no log level reaches, to nowhere."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
