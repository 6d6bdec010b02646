"""What the dashboard shows: rows of panels, each with its question and the PromQL that answers it.

`$device` is the dashboard's variable (a regular expression), `$__rate_interval` Grafana's.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "scenes", "timeseries", "heatmap", "table"]


@dataclass(frozen=True)
class Query:
    """One PromQL expression and the legend of its series."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel: `unit` is Grafana's name of it, `width` in 24ths of the screen."""

    kind: Kind
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 12
    height: int = 8
    minimum: float | None = 0.0
    maximum: float | None = None


@dataclass(frozen=True)
class Row:
    """A heading and its panels, left to right."""

    title: str
    panels: tuple[Panel, ...]


ROWS: tuple[Row, ...] = ()
