"""The command `soundscene`: what is heard in audio files, and what a bundle knows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from soundscene.cli import analyze, info
from soundscene.commands import add_version, run_command

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    options = _parser().parse_args(arguments)
    return run_command("soundscene", lambda: int(options.run(options)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soundscene", description="Tell which acoustic scene audio files hold.")
    add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    analyze.add_parser(commands)
    info.add_parser(commands)
    return parser
