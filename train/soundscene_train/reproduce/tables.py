"""The paper's tables and figure: which cells each needs, and which of their figures it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.intervals import Interval, mean_interval
from soundscene_train.reproduce import paper
from soundscene_train.reproduce.cells import LENGTHS, NETWORKS, Cell, Results

__all__ = ["TABLES", "Entry", "Table", "collect"]

Shown = Iterator[tuple[str, float, float | None]]
"""Column, our accuracy in [0, 1], and the paper's in % where it is known."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table or figure.

    Parameters
    ----------
    title : str
        What it shows.
    cells : mapping of row to Cell
        What has to be trained; rows are shown in this order.
    show : callable
        From a row's name and the results of its cell to the columns of the row.
    """

    title: str
    cells: Mapping[str, Cell]
    show: Callable[[str, Results], Shown]


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure of a table.

    Parameters
    ----------
    row, column : str
        Where it stands.
    values : tuple of float
        Accuracy in %, one for each seed.
    paper : float or None
        What the paper prints, in %.
    """

    row: str
    column: str
    values: tuple[float, ...]
    paper: float | None

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> Interval | None:
        """Student's t interval over the seeds, within 0 to 100 %; None where they show no difference, as one cannot."""
        if len(set(self.values)) < 2:
            return None
        found = mean_interval(self.values)
        return found and replace(found, low=max(0.0, found.low), high=min(100.0, found.high))


def collect(table: Table, results: Mapping[Cell, Sequence[Results]]) -> list[Entry]:
    """Gather a table's entries.

    Parameters
    ----------
    table : Table
        One of `TABLES`.
    results : mapping of Cell to sequence of results
        One result for each seed that is done; rows of a cell with none have no entries.
    """
    entries = []
    for row, cell in table.cells.items():
        seeds = [list(table.show(row, result)) for result in results[cell]]
        for shown in zip(*seeds, strict=True):
            column, _, printed = shown[0]
            entries.append(Entry(row, column, tuple(100 * value for _, value, _ in shown), printed))
    return entries


def _table3(row: str, results: Results) -> Shown:
    for name in NETWORK_NAMES:
        yield name, results[name]["accuracy"], paper.SINGLE_INPUTS.get((row, name))
    yield "product", results["product"]["accuracy"], paper.FUSED if row == "5 s, augmented" else None


def _table4(row: str, results: Results) -> Shown:
    yield "all", results["mel"]["accuracy"], paper.SIZES.get(row)
    for label, share in results["mel"]["class_accuracy"].items():
        yield label, share, paper.BASELINE_CLASSES.get(label) if row.startswith("DCASE") else None


def _table5(_: str, results: Results) -> Shown:
    yield "all", results["product"]["accuracy"], paper.FUSED
    for device, share in results["product"]["device_accuracy"].items():
        yield device, share, paper.DEVICES.get(device)


def _figure3(row: str, results: Results) -> Shown:
    printed = paper.FUSED if row == "product" else paper.SINGLE_INPUTS.get(("5 s, augmented", row))
    yield "all", results[row]["accuracy"], printed
    for label, share in results[row]["class_accuracy"].items():
        yield label, share, None


TABLES: Final = {
    "table3": Table(
        "Table III: inputs, time lengths and augmentation",
        {
            f"{length}, augmented" if augmented else length: Cell(length=length, augmented=augmented)
            for length in LENGTHS
            for augmented in (False, True)
        },
        _table3,
    ),
    "table4": Table(
        "Table IV: networks, mel, 1 s, without augmentation",
        {name: Cell(name, "1 s", augmented=False, inputs=("mel",)) for name in NETWORKS},
        _table4,
    ),
    "table5": Table("Table V: product of three inputs by device", {"product": Cell()}, _table5),
    "figure3": Table(
        "Figure 3: single inputs against their product, by class",
        dict.fromkeys((*NETWORK_NAMES, "product"), Cell()),
        _figure3,
    ),
}
