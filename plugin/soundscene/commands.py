"""What the commands share: a version, text that any terminal can show, and an end with one clear line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from soundscene.errors import SceneError

__all__ = ["EXIT_INTERRUPTED", "EXIT_UNUSABLE", "add_version", "printable", "run_command"]

EXIT_UNUSABLE: Final = 2
"""An option, a file or a service cannot be used; argparse exits with the same code."""

EXIT_INTERRUPTED: Final = 130


def run_command(name: str, run: Callable[[], int]) -> int:
    """Run a command; an error of ours becomes one line, Ctrl-C and a closed pipe end it quietly.

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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add `--version`, which prints the command's name and version."""
    parser.add_argument("--version", action=_Version, help="print the version and exit")


class _Version(argparse.Action):
    """Looks the version up only when asked for: that costs more than the rest of a parser."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('soundscene')}")
        parser.exit()


def printable(text: str) -> str:
    """Replace what a terminal would obey or could not show: control characters, undecodable file names."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
