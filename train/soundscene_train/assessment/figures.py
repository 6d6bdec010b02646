"""The plots of a report as inline SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from soundscene_train.drawing import draw_heat_map, new_figure, save_figure

__all__ = ["bars", "curve", "heat_map", "reliability_plot"]

_BLUE: Final = "#2f6690"
_ORANGE: Final = "#d1602f"
_GREY: Final = "#9aa5b1"
_BESIDE: Final = 101.5
"""Where texts begin, in %: beyond the bars and their intervals, which would cross them."""


def bars(title: str, shares: Mapping[str, float], intervals: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Draw horizontal bars of percentages, with the ends of their intervals where known."""
    figure, axes = _figure(6.4, 0.8 + 0.27 * len(shares))
    names = list(shares)
    axes.barh(range(len(names)), [100 * shares[name] for name in names], color=_BLUE, height=0.7)
    for row, name in enumerate(names):
        if intervals and name in intervals:
            low, high = 100 * intervals[name]["low"], 100 * intervals[name]["high"]
            axes.plot([low, high], [row, row], color="black", linewidth=1.2, marker="|")
        axes.text(_BESIDE, row, f"{shares[name]:.1%}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy, %")
    axes.set_title(title)
    return _svg(figure)


def heat_map(
    title: str, rows: Sequence[str], columns: Sequence[str], shares: Any, texts: Any, *, x_label: str = ""
) -> str:
    """Draw shares in [0, 1] as shades, with a text in each cell; NaN stays white."""
    figure, axes = _figure(1.8 + 0.6 * len(columns), 1.5 + 0.45 * len(rows))
    draw_heat_map(axes, rows, columns, np.asarray(shares, float), texts)
    axes.set_xlabel(x_label)
    axes.set_title(title)
    return _svg(figure)


def reliability_plot(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]] | None) -> str:
    """Draw accuracy against score, before and after temperature scaling."""
    figure, axes = _figure(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle="--", label="perfect")
    for bins, colour, name in ((before, _BLUE, "as it is"), (after, _ORANGE, "after temperature scaling")):
        if bins:
            scores, accuracies = [b["score"] for b in bins], [b["accuracy"] for b in bins]
            axes.plot(scores, accuracies, color=colour, label=name)
            axes.scatter(scores, accuracies, s=[12 + 2 * b["count"] ** 0.8 for b in bins], color=colour)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="mean score of the decision", ylabel="share that is right")
    axes.legend(loc="upper left", fontsize=8)
    axes.set_title("Reliability (larger dot: more clips)")
    return _svg(figure)


def curve(title: str, points: Sequence[tuple[float, float]], x_label: str) -> str:
    """Draw accuracy in % over a share in %."""
    figure, axes = _figure(5.4, 3.4)
    axes.plot([100 * x for x, _ in points], [100 * y for _, y in points], color=_BLUE, marker="o", markersize=4)
    axes.set(xlabel=x_label, ylabel="accuracy, %", title=title)
    axes.set_ylim(top=min(axes.get_ylim()[1], 100.5))
    axes.grid(alpha=0.3)
    return _svg(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    figure = new_figure(width, height)
    return figure, figure.subplots()


def _svg(figure: Any) -> str:
    """The drawing without its XML header; the same figures give the same text."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": figure.axes[0].get_title(), "svg.fonttype": "path"}):
        save_figure(figure, stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
