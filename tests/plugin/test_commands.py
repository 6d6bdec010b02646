"""However a command ends, what a person sees is one line at most."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import soundscene
from soundscene.commands import EXIT_INTERRUPTED, EXIT_UNUSABLE, add_version, printable, run_command
from soundscene.errors import AudioError

_PRINTING = """
import sys
from pathlib import Path
from soundscene.commands import run_command

def run():
    for _ in range(20_000):
        print("Bürolärm \\ud83d\\ude00 \\udcff")
    return 0

sys.exit(run_command("listen", run))
"""


def test_an_exit_code_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    """What the command returns is what the shell gets."""
    assert run_command("listen", lambda: 3) == 3
    assert capsys.readouterr() == ("", "")


def test_an_error_of_ours_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the command's name, and nothing in it that a terminal would obey."""

    def run() -> int:
        raise AudioError("a\x1b[2J\nb.wav: empty")

    assert run_command("listen", run) == EXIT_UNUSABLE
    assert capsys.readouterr() == ("", "listen: a\ufffd[2J\ufffdb.wav: empty\n")


def test_a_lack_of_memory_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Settings that ask for more than the machine has are told by the size asked for."""

    def run() -> int:
        return int(np.empty(2**50).size)

    assert run_command("listen", run) == EXIT_UNUSABLE
    line = capsys.readouterr().err
    assert line.startswith("listen: not enough memory: Unable to allocate 8.00 PiB")
    assert line.count("\n") == 1


def test_an_interruption_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is exit code 130, without a traceback."""

    def run() -> int:
        raise KeyboardInterrupt

    assert run_command("listen", run) == EXIT_INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_a_closed_pipe_is_quiet() -> None:
    """A reader that has seen enough, as `head` has, ends the command without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", _PRINTING], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_behind_the_output_is_one_line() -> None:
    """Where what is printed finds no room, the command says so and fails."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", _PRINTING], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == EXIT_UNUSABLE
    assert done.stderr == b"listen: the output cannot be written: No space left on device\n"


def test_a_failing_disk_is_not_taken_for_the_output() -> None:
    """An error of reading and one of writing look alike where no file is named: the line claims neither."""
    script = "import errno; from soundscene.commands import run_command\ndef fail(): raise OSError(errno.EIO, 'Broken')"
    command = [sys.executable, "-c", f"{script}\nraise SystemExit(run_command('listen', fail))"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (
        EXIT_UNUSABLE,
        b"listen: a disk fails, or the terminal is gone: Broken\n",
    )


@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_version_that_finds_no_room_is_one_line(buffering: str) -> None:
    """`--version` into a full disk fails like any other output, whether Python buffers or not."""
    script = "import argparse; from soundscene.commands import add_version; p = argparse.ArgumentParser(prog='listen');"
    command = [sys.executable, "-c", f"{script} add_version(p); p.parse_args(['--version'])"]
    environment = {**os.environ, "PYTHONUNBUFFERED": buffering}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, env=environment)
    assert done.returncode == EXIT_UNUSABLE
    assert done.stderr == b"listen: the output cannot be written: No space left on device\n"


def test_a_closed_output_does_not_end_a_command() -> None:
    """Started with its output closed, as some schedulers do, it does its work and prints nothing."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, _PRINTING], stderr=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_a_terminal_lacks_is_replaced() -> None:
    """Where only ASCII can be shown, the rest of a line still is."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", _PRINTING], capture_output=True, check=True, env=environment)
    assert set(done.stdout.splitlines()) == {b"B?rol?rm ?? ?"}


def test_what_a_terminal_would_obey_is_replaced() -> None:
    """A file name cannot clear the screen, and an undecodable one can be printed."""
    assert printable("a\x1b[2J\nb\udcff.wav") == "a\ufffd[2J\ufffdb\ufffd.wav"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the command's name and the version, and ends it."""
    parser = argparse.ArgumentParser(prog="listen")
    add_version(parser)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"listen {soundscene.__version__}\n")
