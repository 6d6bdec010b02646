"""What the demo shows: the last prediction of every device, as a live table or as plain lines."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

PLAIN_INTERVAL_SECONDS = 5.0
COLUMNS = ("device", "scene", "score", "level", "coverage", "latency", "windows")


@dataclass(slots=True)
class Row:
    """One device's last prediction and how many there were."""

    windows: int = 0
    prediction: Mapping[str, Any] = field(default_factory=dict)
    coverage: float | None = None

    def cells(self, device: str) -> tuple[str, ...]:
        """Return the texts of the row in the order of `COLUMNS`."""
        coverage = "-" if self.coverage is None else f"{100 * self.coverage:.0f} %"
        last = self.prediction
        if not last:
            return (device, "...", "", "", coverage, "", "0")
        scene = last["scene"] if last["assessable"] else f"({', '.join(last['reasons'])})"
        latency = last["latency_seconds"]["total"]
        return (
            device,
            scene,
            f"{last['score']:.2f}",
            f"{last['level_dbfs']:.0f} dBFS",
            coverage,
            f"{latency:.2f} s",
            str(self.windows),
        )


class Board:
    """Rows by device; a context manager that draws on a terminal and prints lines elsewhere."""

    def __init__(self, devices: list[str], console: Console) -> None:
        """Show these devices from the start, others as they appear."""
        self._rows = {device: Row() for device in devices}
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last_lines = time.monotonic()

    @property
    def windows(self) -> int:
        """Predictions shown so far."""
        return sum(row.windows for row in self._rows.values())

    def prediction(self, value: bytes) -> None:
        """Take one record of the predictions topic."""
        content = json.loads(value)
        row = self._rows.setdefault(content["device"], Row())
        row.prediction, row.windows = content, row.windows + 1

    def coverage(self, by_device: Mapping[str, float]) -> None:
        """Take the share of each device's audio that arrived, 0 to 1."""
        for device, share in by_device.items():
            if device in self._rows:
                self._rows[device].coverage = share

    def show(self, title: str) -> None:
        """Draw the table again, or print the lines when it is time."""
        if self._live is not None:
            self._live.update(self._table(title), refresh=True)
        elif time.monotonic() - self._last_lines >= PLAIN_INTERVAL_SECONDS:
            self._last_lines = time.monotonic()
            self._console.print(title, highlight=False)
            for line in self._lines():
                self._console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)

    def __enter__(self) -> Board:
        """Take the terminal."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back; the last table stays."""
        if self._live is not None:
            self._live.stop()

    def _lines(self) -> list[str]:
        """Return the table as plain text in columns."""
        rows = [COLUMNS, *(row.cells(device) for device, row in sorted(self._rows.items()))]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

    def _table(self, title: str) -> Table:
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # 80 columns do
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in ("device", "scene") else "right", no_wrap=True)
        for device, row in sorted(self._rows.items()):
            table.add_row(*row.cells(device))
        return table
