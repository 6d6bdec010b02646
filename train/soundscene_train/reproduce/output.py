"""A reproduced table as CSV, as Markdown and as a plot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from soundscene_train.drawing import new_figure, save_figure
from soundscene_train.files import writing
from soundscene_train.reproduce.tables import Entry

__all__ = ["format_entries", "write_table"]

_HEADER: Final = ("row", "column", "accuracy_percent", "low_95", "high_95", "seeds", "paper_percent", "by_seed")


def format_entries(title: str, entries: Sequence[Entry], dataset: str) -> str:
    """Format as a Markdown table: ours, its interval, the paper's."""
    counts = sorted({len(entry.values) for entry in entries})
    seeds = " or ".join(map(str, counts)) + (" seed" if counts == [1] else " seeds")
    note = "" if dataset == "tau2020" else " The paper's figures are of the TAU data, not of this data set."
    lines = [
        f"# {title}",
        "",
        f"Accuracy in % on {dataset}, {seeds}; intervals are 95 %, over seeds.{note}",
        "",
        "| row | column | ours | 95 % | paper |",
        "|---|---|---:|---:|---:|",
    ]
    for entry in entries:
        interval = entry.interval
        spread = "" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}"
        printed = "" if entry.paper is None else f"{entry.paper:.1f}"
        lines.append(f"| {entry.row} | {entry.column} | {entry.mean:.1f} | {spread} | {printed} |")
    return "\n".join(lines) + "\n"


def write_table(folder: Path, name: str, title: str, entries: Sequence[Entry], dataset: str) -> None:
    """Write NAME.csv, NAME.md and NAME.png.

    Raises
    ------
    TrainingError
        The folder cannot be written.
    """
    with writing(folder, "the table"):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(_HEADER)
            writer.writerows(_fields(entry) for entry in entries)
        (folder / f"{name}.md").write_text(format_entries(title, entries, dataset), encoding="utf-8")
        _plot(folder / f"{name}.png", f"{title}; on {dataset}", entries)


def _fields(entry: Entry) -> tuple[object, ...]:
    interval = entry.interval
    ends = ("", "") if interval is None else (f"{interval.low:.2f}", f"{interval.high:.2f}")
    by_seed = " ".join(f"{value:.2f}" for value in entry.values)
    printed = "" if entry.paper is None else entry.paper
    return (entry.row, entry.column, f"{entry.mean:.2f}", *ends, len(entry.values), printed, by_seed)


def _plot(path: Path, title: str, entries: Sequence[Entry]) -> None:
    """Grouped bars, one group a column and one bar a row, with the paper's figures as diamonds."""
    columns = list(dict.fromkeys(entry.column for entry in entries))
    rows = list(dict.fromkeys(entry.row for entry in entries))
    figure = new_figure(2.5 + 0.9 * len(columns) + 0.12 * len(entries), 4.2)
    axes = figure.subplots()
    width = 0.8 / len(rows)
    for number, row in enumerate(rows):
        mine = [entry for entry in entries if entry.row == row]
        places = [columns.index(entry.column) + (number - (len(rows) - 1) / 2) * width for entry in mine]
        below = [entry.mean - entry.interval.low if entry.interval else 0.0 for entry in mine]
        above = [entry.interval.high - entry.mean if entry.interval else 0.0 for entry in mine]
        axes.bar(places, [entry.mean for entry in mine], width * 0.9, label=row)
        if any(above):
            axes.errorbar(places, [e.mean for e in mine], (below, above), fmt="none", ecolor="black", linewidth=1)
        printed = [(place, entry.paper) for place, entry in zip(places, mine, strict=True) if entry.paper is not None]
        axes.scatter(
            [place for place, _ in printed],
            [value for _, value in printed],
            marker="D",
            edgecolor="black",
            color="white",
            zorder=3,
        )
    axes.set_xticks(range(len(columns)), [name.replace("_", " ") for name in columns], rotation=30, ha="right")
    axes.set_ylim(0, 100)
    axes.set_ylabel("accuracy, % (diamonds: the paper, on TAU)")
    axes.set_title(title)
    figure.legend(loc="outside lower center", fontsize=8, ncols=4)
    save_figure(figure, path, dpi=120)
