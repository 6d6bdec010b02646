"""The verdict as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from soundscene.commands import printable
from soundscene_worker.audit.causes import CAUSES
from soundscene_worker.audit.expectation import ChunkCounts
from soundscene_worker.audit.verdict import DeviceVerdict, Verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["print_verdict"]

_BAD: Final = ("missing", "differing", "unexpected")
_LISTED: Final = 10


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print what the log holds, what follows from it, the first missing windows and the conclusion."""
    chunks = {device: asdict(counts) for device, counts in sorted(verdict.chunks.items())}
    windows = {device: asdict(counts) for device, counts in verdict.devices.items()}
    console.print(_table("chunks in the log", asdict(ChunkCounts()), chunks))
    console.print(_table("windows that follow from them", asdict(DeviceVerdict()), windows))
    if verdict.untold:
        untold = {
            device: {cause: counts.get(cause, 0) for cause in CAUSES} for device, counts in verdict.untold.items()
        }
        console.print(_table("windows without their sound, by cause", dict.fromkeys(CAUSES, 0), untold))
    for model_hash, name in verdict.models.items():
        console.print(printable(f"bundle {name}, {model_hash[:12]}"), highlight=False, markup=False)
    if verdict.foreign:
        console.print(f"{verdict.foreign} records of the predictions topic are no predictions", style="yellow")
    _print_missing(verdict, console)
    console.print(
        _conclusion(verdict), style="green" if verdict.is_good else "bold red", highlight=False, soft_wrap=True
    )


def _table(title: str, nothing: Mapping[str, float], rows: Mapping[str, Mapping[str, float]]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    table.add_column("device", overflow="fold")
    for name in nothing:
        table.add_column(name, justify="right", no_wrap=True)
    for device, row in rows.items():
        table.add_row(escape(printable(device)), *_cells(row))  # others can write to the topic it comes from
    table.add_section()
    table.add_row("all", *_cells({name: sum(row[name] for row in rows.values()) for name in nothing}))
    return table


def _cells(row: Mapping[str, float]) -> list[str]:
    texts = {name: f"{value:.1f}" if isinstance(value, float) else str(value) for name, value in row.items()}
    return [f"[bold red]{text}[/]" if name in _BAD and row[name] else text for name, text in texts.items()]


def _print_missing(verdict: Verdict, console: Console) -> None:
    for run, first_sample in verdict.missing_windows[:_LISTED]:
        console.print(
            f"missing: device {run.device}, session {run.session}, {run.sample_rate_hz} Hz, "
            f"first sample {first_sample}",
            style="red",
            highlight=False,
            soft_wrap=True,
        )
    if verdict.total.missing > _LISTED:
        console.print(f"... and {verdict.total.missing - _LISTED} more", style="red", highlight=False)


def _conclusion(verdict: Verdict) -> str:
    total = verdict.total
    if verdict.is_good:
        return f"All {total.expected} windows that must exist were published; nothing differs."
    return (
        f"{total.missing} of {total.expected} windows are missing, {total.differing} differ, "
        f"{total.unexpected} predictions were not to be expected."
    )
