"""From a table's name to its files, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundscene_train.plan import Plan
from soundscene_train.reproduce.cells import train_cells
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
        Processes that train networks side by side, those of all the seed's cells.

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
        found = train_cells(dict.fromkeys(table.cells.values()), plan, folder / "cells", seed, reporter, jobs=jobs)
        for row, cell in table.cells.items():
            results[row].append(found[cell])
        reporter.step(f"{name}, seeds", number + 1, len(seeds))
        entries = collect(table, results)
        write_table(folder, name, table.title, entries, plan.dataset_name)
    return format_entries(table.title, entries, plan.dataset_name)
