"""However a command ends, what a person sees is one line at most."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import pytest

import soundscene
from soundscene.commands import EXIT_INTERRUPTED, EXIT_UNUSABLE, add_version, printable, run_command
from soundscene.errors import AudioError

_PRINTING = """
import sys
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
