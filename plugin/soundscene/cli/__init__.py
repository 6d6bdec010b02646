"""The command `soundscene`: what is heard in audio files, and what a bundle knows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from soundscene.cli import analyze, info
from soundscene.commands import run_command

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    options = _parser().parse_args(arguments)
    return run_command("soundscene", lambda: int(options.run(options)))


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
