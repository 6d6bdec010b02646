"""The table of measured figures in `docs/faults.md`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from tests.faults.stage import Outcome

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write_table(page: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Replace the table between the two marks of a page, and write the same as JSON beside it."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    head = "| fault | expected | missing | differing | repeated | recovery (s) | allowed (s) | times |"
    rows = [_row(name, outcome) for name, outcome in outcomes.items()]
    table = "\n".join([head, "|---" * 8 + "|", *rows])
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
    plain = {name: asdict(outcome) for name, outcome in outcomes.items()}
    page.with_suffix(".json").write_text(json.dumps(plain, indent=2) + "\n")


def _row(name: str, outcome: Outcome) -> str:
    recovery = "" if outcome.recovery_seconds is None else f"{outcome.recovery_seconds:.1f}"
    allowed = "" if outcome.limit_seconds is None else f"{outcome.limit_seconds:g}"
    counts = (outcome.expected, outcome.missing, outcome.differing, outcome.repeated)
    return f"| {name} | {' | '.join(map(str, counts))} | {recovery} | {allowed} | {outcome.recoveries} |"
