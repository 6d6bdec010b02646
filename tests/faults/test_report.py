"""The table that `make faults` writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.faults.report import BEGIN, END, write_table
from tests.faults.stage import Outcome

OUTCOME = Outcome(100, 0, 0, 0, 3, {}, recovery_seconds=4.25, limit_seconds=10.0, recoveries=1)


def test_rows_of_other_tests_stay_and_rows_of_failed_tests_go(tmp_path: Path) -> None:
    """A row is of the last run of its test: it stays while others run, and goes when its own fails."""
    page = tmp_path / "faults.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    unhurt = replace(OUTCOME, recovery_seconds=None)
    write_table(page, {"The broker ends": OUTCOME, "A worker ends": OUTCOME, "The disk is full": unhurt})
    write_table(page, {"A worker ends": None})
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| The broker ends | 100 | 0 | 0 | 3 | 4.2 | 10 | once |" in text
    assert "| The disk is full | 100 | 0 | 0 | 3 | none needed | | |" in text
    assert "A worker ends" not in text + page.with_suffix(".json").read_text()
    assert "old" not in text
