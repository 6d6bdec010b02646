"""From a table's name to its files, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundscene_train.plan import Plan
from soundscene_train.reproduce.cells import train_cell
from soundscene_train.reproduce.output import format_entries, write_table
from soundscene_train.reproduce.tables import TABLES, collect
from soundscene_train.stages import Reporter

__all__ = ["reproduce"]


def reproduce(name: str, plan: Plan, folder: Path, seeds: Sequence[int], reporter: Reporter, *, jobs: int = 1) -> str:
    """Train what is missing of a table, and write it after each seed is complete.

    Parameters
    ----------
    name : str
        A key of `TABLES`.
    plan : Plan
        Data set, parts and base recipe; cells are laid on it.
    folder : Path
        Holds `cells/`, which tables share, and the tables.
    seeds : sequence of int
        At least one.
    reporter : Reporter
        Told how far it is.
    jobs : int > 0
        Processes that train networks side by side.

    Returns
    -------
    str
        The table as Markdown.

    Raises
    ------
    TrainingError
        Training cannot go on, or a folder cannot be written.
    """
    table = TABLES[name]
    results: dict[str, list[dict[str, object]]] = {row: [] for row in table.cells}
    for number, seed in enumerate(seeds):
        for position, (row, cell) in enumerate(table.cells.items()):
            results[row].append(train_cell(cell, plan, folder / "cells", seed, reporter, jobs=jobs))
            reporter.step(f"{name}, cells", number * len(table.cells) + position + 1, len(seeds) * len(table.cells))
        entries = collect(table, results)
        write_table(folder, name, table.title, entries, plan.dataset_name)
    return format_entries(table.title, entries, plan.dataset_name)
