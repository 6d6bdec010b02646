"""What the commands share: a version, text that any terminal can show, and an end with one clear line."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from soundscene.errors import SceneError

__all__ = ["EXIT_INTERRUPTED", "EXIT_UNUSABLE", "add_version", "printable", "run_command"]

EXIT_UNUSABLE: Final = 2
"""An option, a file or a service cannot be used; argparse exits with the same code."""

EXIT_INTERRUPTED: Final = 130

_WITHOUT_A_FILE: Final = {
    errno.ENOSPC: "the output cannot be written",
    errno.EDQUOT: "the output cannot be written",
    errno.EIO: "a disk fails, or the terminal is gone",
}
"""What an error without a file's name means: only output can find no room, but reading can fail as well."""


def run_command(name: str, run: Callable[[], int]) -> int:
    """Run a command; an error of ours, a full disk and too little memory become one line.

    Ctrl-C and a closed pipe end it quietly.

    Parameters
    ----------
    name : str
        What it is called on the command line.
    run : callable
        Returns its exit code.

    Returns
    -------
    int
        The exit code.
    """
    if sys.stdout is None:  # closed by whoever started us; a file of ours must not become descriptor 1
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character must not end the command
    try:
        code = run()
        sys.stdout.flush()
    except SceneError as error:
        print(f"{name}: {printable(str(error))}", file=sys.stderr)
        return EXIT_UNUSABLE
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        _discard_output()
        return 1
    except OSError as error:
        if error.filename is not None or error.errno not in _WITHOUT_A_FILE:
            raise
        _discard_output()
        print(f"{name}: {_WITHOUT_A_FILE[error.errno]}: {error.strerror}", file=sys.stderr)
        return EXIT_UNUSABLE
    except MemoryError as error:
        print(f"{name}: not enough memory: {printable(str(error)) or 'free some'}", file=sys.stderr)
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _discard_output() -> None:
    """Let the interpreter's last flush go nowhere, or it would end in a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add `--version`, which prints the command's name and version."""
    parser.add_argument("--version", action=_Version, help="print the version and exit")


class _Version(argparse.Action):
    """Looks the version up only when asked for: that costs more than the rest of a parser."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser.exit(run_command(parser.prog, lambda: _print_version(parser.prog)))


def _print_version(name: str) -> int:
    from importlib.metadata import version

    print(f"{name} {version('soundscene')}")
    return 0


def printable(text: str) -> str:
    """Replace what a terminal would obey or could not show: control characters, undecodable file names."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
