"""From a table's name to its files, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundscene_train.plan import Plan
from soundscene_train.reproduce.cells import Cell, Results, train_cells
from soundscene_train.reproduce.output import format_entries, write_table
from soundscene_train.reproduce.tables import TABLES, collect
from soundscene_train.stages import Reporter

__all__ = ["reproduce"]


def reproduce(name: str, plan: Plan, folder: Path, seeds: Sequence[int], reporter: Reporter, *, jobs: int = 1) -> str:
    """Train what is missing of a table, and write it anew after each cell.

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
    results: dict[Cell, list[Results]] = {cell: [] for cell in table.cells.values()}

    def add(cell: Cell, found: Results) -> None:
        results[cell].append(found)
        write_table(folder, name, table.title, collect(table, results), plan.dataset_name)
        reporter.step(f"{name}, tested", sum(map(len, results.values())), len(results) * len(seeds))

    for seed in seeds:
        train_cells(results, plan, folder / "cells", seed, reporter, finished=add, jobs=jobs)
    return format_entries(table.title, collect(table, results), plan.dataset_name)
