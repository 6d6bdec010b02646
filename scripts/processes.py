"""Child processes that never outlive their parent."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

STOP_TIMEOUT_SECONDS = 10.0

Child = subprocess.Popen[bytes]


class ServiceError(RuntimeError):
    """A service cannot be started here; the message says what is missing and what to do."""


def spawn(
    command: Sequence[str | Path],
    *,
    output: IO[bytes] | int | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start `command` in a process group of its own, killed by the kernel when the calling thread ends.

    `output` takes both what it prints and its errors; by default they go where the parent's go.
    A terminal's Ctrl-C reaches only the parent, which then stops its children in the order it wants.
    """
    words = [str(word) for word in command]
    if shutil.which("setpriv"):  # util-linux; elsewhere only an orderly end of the parent stops the children
        words = ["setpriv", "--pdeathsig", "KILL", *words]
    merged = {**os.environ, **(environment or {})}
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        env=merged,
        cwd=cwd,
        start_new_session=True,
    )


def stop(child: Child, *, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
    """End `child` and its process group: SIGTERM, then SIGKILL after the timeout. Return the exit status."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout_seconds)
    kill(child)
    return child.returncode


def kill(child: Child) -> None:
    """End `child` and its process group at once, as a crash would."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the block as Ctrl-C does, so that context managers clean up."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def require(program: str, *, needed_for: str, debian_package: str) -> str:
    """Return the path of `program`, or raise ServiceError with the way to get it."""
    path = shutil.which(program)
    if path is None:
        raise ServiceError(
            f"{needed_for} needs `{program}`, which is not installed (Debian: apt-get install {debian_package})."
        )
    return path


def fail(error: ServiceError) -> int:
    """Print `error` as one line and return the exit status of a command that could not start."""
    print(error, file=sys.stderr)
    return 2
