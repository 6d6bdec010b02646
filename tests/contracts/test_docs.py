"""Commands in the documentation are known to the programs, links lead somewhere, and Python blocks are Python."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from soundscene_train.arguments import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
MODULES = {
    "soundscene": "soundscene.cli",
    "soundscene-worker": "soundscene_worker",
    "soundscene-sensor": "soundscene_worker.sensor",
    "soundscene-audit": "soundscene_worker.audit",
    "soundscene-train": "soundscene_train",
}
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", flags=re.MULTILINE | re.DOTALL)

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def code_blocks(text: str, *languages: str) -> Iterator[str]:
    """Yield the fenced blocks in one of these languages."""
    return (match[3] for match in BLOCK.finditer(text) if match[2] in languages)


def shell_commands(text: str) -> Iterator[str]:
    """Yield each command of the shell blocks and of lines indented as code, continuation lines joined."""
    indented = "".join(re.findall(r"^ {4,}\S.*\n", text, flags=re.MULTILINE))
    blocks = [*code_blocks(text, "sh", "bash", "shell", "console", ""), indented]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|\||;", line.strip().removeprefix("$ ")):
            yield command.strip()


def anchors(page: Path) -> set[str]:
    """Return what a link may name behind the # of a page: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ +(.+)$", BLOCK.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def help_text(module: str, *subcommand: str) -> str:
    """Return what a program of ours prints for --help; empty when there is no such subcommand."""
    command = [sys.executable, "-m", module, *subcommand, "--help"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    return outcome.stdout if outcome.returncode == 0 else ""


def unknown_options(command: str) -> set[str]:
    """Return the options in a command line of ours that its --help does not list."""
    words = command.split()
    while words and "=" in words[0]:  # VARIABLE=value before the command
        words.pop(0)
    program = Path(words[0]).name if words else ""
    if program not in MODULES:
        return set()
    subcommand = words[1:2] if len(words) > 1 and re.fullmatch(r"[a-z]+(-[a-z]+)*", words[1]) else []
    text = help_text(MODULES[program], *subcommand) or help_text(MODULES[program])
    given = {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}
    return given - set(re.findall(r"--[a-z][a-z0-9-]*", text))


@page
def test_make_targets_exist(page: Path) -> None:
    """Every `make target` that a page names is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4}|^)make ([a-z-]+)", page.read_text(), flags=re.MULTILINE))
    assert named <= targets


@page
def test_commands_have_the_options_they_are_shown_with(page: Path) -> None:
    """Every command line of ours in a page uses options that the program knows."""
    unknown = {command: found for command in shell_commands(page.read_text()) if (found := unknown_options(command))}
    assert unknown == {}


@page
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and image of a page points at a file of the repository."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", BLOCK.sub("", page.read_text()))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


@page
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    """Every relative link with an anchor names a heading of the page it leads to."""
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", BLOCK.sub("", page.read_text()))
    lost = [(to, anchor) for to, anchor in links if anchor not in anchors(page.parent / to if to else page)]
    assert lost == []


def test_training_commands_are_read_as_they_are_shown() -> None:
    """Every `soundscene-train` line of the pages has a stage, operands and options that its parser takes together."""
    lines = {line for path in PAGES for line in shell_commands(path.read_text())}
    commands = [
        match[1] for line in sorted(lines) if (match := re.match(r"(?:[A-Z_]+=\S+ +)*soundscene-train (.+)", line))
    ]
    assert len(commands) > 20
    for command in commands:
        words = shlex.split(command, comments=True)
        assert parse(words).stage == words[0]


@page
def test_python_blocks_are_python(page: Path) -> None:
    """Every Python block parses; those that can run here are run by the tests of their page."""
    for block in code_blocks(page.read_text(), "python"):
        ast.parse(block)


def test_an_unknown_option_would_be_noticed() -> None:
    """The check itself sees a wrong option, also behind a variable and in a continued line."""
    text = "```sh\nX=1 soundscene analyze a.wav \\\n  --no-such-option\nls --color\n```\n"
    found = [unknown_options(command) for command in shell_commands(text)]
    assert {"--no-such-option"} in found
    assert {"--color"} not in found
