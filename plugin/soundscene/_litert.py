"""Making LiteRT interpreters without the line that LiteRT's C++ code writes to stderr for the first of them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def _without_banner() -> Iterator[None]:
    """Hold the process's stderr back for a moment and pass everything but the banner on."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without stderr has nothing to keep clean
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if _BANNER not in line:
                    os.write(2, line)
