"""What a dashboard is made of: queries, panels and rows."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Panel", "Query", "Row"]

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
