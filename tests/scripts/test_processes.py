"""Child processes never outlive their parent."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.processes import ServiceError, free_port, kill, require, spawn, stop, terminate_as_interrupt

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
PARENT = """
import subprocess, sys, time
from scripts.processes import spawn
child = spawn([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"], output=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int, timeout_seconds: float = 10.0) -> bool:
    """Wait until a process has ended."""
    deadline = time.monotonic() + timeout_seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_a_child_dies_with_a_killed_parent() -> None:
    """SIGKILL of the parent, which runs no code of its own any more, ends the child."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=ROOT, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
        parent.wait()
    assert gone(child)


def test_stop_ends_a_child_that_will_not_listen() -> None:
    """A child that ignores SIGTERM is killed after the timeout."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = spawn([sys.executable, "-c", deaf], output=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert stop(child, timeout_seconds=0.2) == -signal.SIGKILL
    child.stdout.close()


def test_stop_ends_grandchildren_too() -> None:
    """What a child has started in its group goes with it."""
    script = f"import subprocess, time; p = subprocess.Popen({SLEEP!r}); print(p.pid, flush=True); time.sleep(60)"
    child = spawn([sys.executable, "-c", script], output=subprocess.PIPE)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline().removeprefix(b"up"))
    assert alive(grandchild)
    stop(child)
    assert gone(grandchild)
    child.stdout.close()


def test_a_child_that_has_ended_can_be_stopped_again() -> None:
    """Stopping and killing what is gone is harmless and keeps the exit status."""
    child = spawn([sys.executable, "-c", "raise SystemExit(3)"])
    child.wait()
    kill(child)
    assert stop(child) == 3


def test_sigterm_unwinds_like_an_interrupt() -> None:
    """Inside the block SIGTERM raises KeyboardInterrupt; after it the handlers are as before."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminate_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_missing_program_is_named_with_its_package() -> None:
    """The message says what needs which program and how to install it."""
    with pytest.raises(ServiceError, match=r"The moon needs `no-such-rocket`.*apt-get install rockets"):
        require("no-such-rocket", needed_for="The moon", debian_package="rockets")


def test_a_free_port_can_be_used_at_once() -> None:
    """Nothing listens on the port, so that a service can; the next one asked for meanwhile is another."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert free_port() != server.getsockname()[1]
