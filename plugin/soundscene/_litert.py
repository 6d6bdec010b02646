"""Making LiteRT interpreters without the line that LiteRT's C++ code writes to stderr for the first of them."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["make_interpreter"]

_BANNER: Final = b"Created TensorFlow Lite XNNPACK delegate for CPU"
"""No option or environment variable turns it off."""


def make_interpreter(content: bytes) -> Any:
    """Return an interpreter of one thread, its tensors allocated.

    Raises
    ------
    ValueError, RuntimeError
        The content is not a LiteRT model.
    """
    from ai_edge_litert.interpreter import Interpreter  # importing soundscene must stay instant

    with _without_banner():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


@contextlib.contextmanager
def _without_banner() -> Iterator[None]:
    """Hold the process's stderr back for a moment and pass everything but the banner on."""
    if sys.stderr is not None:
        sys.stderr.flush()
    with contextlib.ExitStack() as opened:
        try:
            kept = os.dup(2)
            opened.callback(os.close, kept)
            held = opened.enter_context(tempfile.TemporaryFile())
        except OSError:  # no stderr to keep clean, or no place to hold it: a full disk costs one line too many
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            held.seek(0)
            for line in held:
                if _BANNER not in line:
                    os.write(2, line)
