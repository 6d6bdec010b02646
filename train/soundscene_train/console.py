"""What a person sees while a run goes on: live bars in a terminal, plain lines anywhere else.

A bar that is full becomes a line, so that those of many networks do not outgrow the terminal.
"""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from soundscene_train.stages import Reporter

__all__ = ["ConsoleReporter", "duration_text"]

_PLAIN_SHARES: Final = 10
"""Plain lines per stage or network."""


class _TimeLeft(TimeRemainingColumn):
    """What a stage itself has told, or else what the speed of its last units makes likely."""

    def render(self, task: Task) -> Text:
        """Show the time left of one bar."""
        told = task.fields.get("left")
        return super().render(task) if told is None else Text(told, style="progress.remaining")


class ConsoleReporter(Reporter):
    """Progress on standard error; use it as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            _TimeLeft(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._shares: dict[str, int] = {}
        self._percent = -1

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, stage: str, done: int, total: int) -> None:
        """Show a stage's progress."""
        self._show(stage, done, total, "")

    def epoch(self, network: str, done: int, total: int, loss: float) -> None:
        """Show a network's progress."""
        self._show(f"training {network}", done, total, f"loss {loss:.3f}")

    def whole(self, count: int, percent: int, seconds_left: float) -> None:
        """Show, percent by percent, how far all networks are."""
        if percent == self._percent:
            return
        passed, self._percent = self._percent, percent
        title, left = f"all {count} networks", duration_text(seconds_left)
        if self._console.is_terminal:
            self._draw(f"{title}, %", percent, 100, "", left=left)
            if percent == 100:
                self._progress.remove_task(self._tasks.pop(f"{title}, %"))
        elif percent * _PLAIN_SHARES // 100 != passed * _PLAIN_SHARES // 100 and percent < 100:
            print(f"{title}: {percent} %, about {left} left", file=sys.stderr, flush=True)

    def remark(self, text: str) -> None:
        """Show it above the bars."""
        self._console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)

    def _show(self, title: str, done: int, total: int, note: str) -> None:
        line = f"{title}: {done}/{total} {note}".rstrip()
        if self._console.is_terminal:
            self._draw(title, done, total, note)
            if done == total:
                self._progress.remove_task(self._tasks.pop(title))
                self._console.print(line, highlight=False, markup=False)
            return
        share = done * _PLAIN_SHARES // total if total else 0
        if done == total or share > self._shares.get(title, 0):
            print(line, file=sys.stderr, flush=True)
        self._shares[title] = share if done != total else 0

    def _draw(self, title: str, done: int, total: int, note: str, left: str | None = None) -> None:
        """Move a bar, which appears with its first unit."""
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total or None, note=note)
        self._progress.update(self._tasks[title], completed=done, note=note, left=left)


def duration_text(seconds: float) -> str:
    """Write a duration that is estimated, in hours and whole minutes, begun ones counted."""
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
