"""The table of measured figures in `docs/faults.md`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from tests.faults.stage import Outcome

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write_table(page: Path, outcomes: Mapping[str, Outcome | None]) -> None:
    """Bring the table between the two marks of a page, and the JSON beside it, up to date.

    Rows of tests that did not run stay; None takes a row away: its test ran and failed.
    """
    store = page.with_suffix(".json")
    known = json.loads(store.read_text()) if store.exists() else {}
    known |= {name: None if outcome is None else asdict(outcome) for name, outcome in outcomes.items()}
    rows = {name: Outcome(**row) for name, row in sorted(known.items()) if row is not None}
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    head = "| what happens | expected | missing | differing | repeated | recovery (s) | allowed (s) | measured |"
    table = "\n".join([head, "|---" * 8 + "|", *(_row(name, outcome) for name, outcome in rows.items())])
    where = f"Measured by `make faults`; broker, sensors and workers shared {os.cpu_count()} cores."
    page.write_text(f"{before}{BEGIN}\n{where}\n\n{table}\n{END}{after}")
    plain = {name: asdict(outcome) for name, outcome in rows.items()}
    store.write_text(json.dumps(plain, indent=2) + "\n")


def _row(name: str, outcome: Outcome) -> str:
    counts = " | ".join(map(str, (outcome.expected, outcome.missing, outcome.differing, outcome.repeated)))
    if outcome.recovery_seconds is None or outcome.limit_seconds is None:
        return f"| {name} | {counts} | none needed | | |"
    times = "once" if outcome.recoveries == 1 else f"{outcome.recoveries} times, longest"
    return f"| {name} | {counts} | {outcome.recovery_seconds:.1f} | {outcome.limit_seconds:g} | {times} |"
