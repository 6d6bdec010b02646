"""benchmarks/RESULTS.md: one section per benchmark, each replaced by its next run."""

import os
import platform
import re
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
TITLE = "# Measured\n\nWritten by `make bench` and `make soak`; each section names the command that made it.\n"


def write_section(title: str, body: str, path: Path = RESULTS) -> None:
    """Replace the section `## title`, or append it, and leave the others alone."""
    text = path.read_text() if path.exists() else TITLE
    section = f"## {title}\n\n{body.strip()}\n"
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    head, tail = (text[: found.start()], text[found.end() :]) if found else (text.rstrip("\n") + "\n\n", "")
    text = f"{head}{section}\n{tail}"
    path.write_text(text.rstrip("\n") + "\n")


def machine() -> str:
    """Return one line that says what the figures were measured on."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = cpu.group(1) if cpu else platform.machine()
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
