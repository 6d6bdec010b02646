"""The command `soundscene`: what is heard in audio files, and what a bundle knows."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from soundscene.cli import analyze, info
from soundscene.cli.text import printable
from soundscene.errors import SceneError

__all__ = ["EXIT_BAD_INPUT", "main"]

EXIT_BAD_INPUT = 2
"""A file, a bundle or an option cannot be used; argparse exits with the same code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character must not end the command
    options = _parser().parse_args(arguments)
    try:
        code = int(options.run(options))
        sys.stdout.flush()
    except SceneError as error:
        print(f"soundscene: {printable(str(error))}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soundscene", description="Tell which acoustic scene audio files hold.")
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    analyze.add_parser(commands)
    info.add_parser(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when asked for: that costs more than the rest of the parser."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from soundscene import __version__

        print(f"soundscene {__version__}")
        parser.exit()
