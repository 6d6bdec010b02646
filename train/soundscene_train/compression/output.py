"""The trade-off as CSV, as a table and as a plot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.cost import LIMITS_BYTES
from soundscene_train.compression.curve import Point
from soundscene_train.drawing import new_figure, save_figure
from soundscene_train.files import writing

__all__ = ["format_points", "write_points"]

_WIDE_RATIO: Final = 5.0
"""Of the largest log loss to the smallest, from which the scale is logarithmic."""
_COLUMNS: Final = ("weight_bits", "pruned_share", "bytes", "nonzero_bytes", "correct", "clips", "log_loss")


def format_points(points: Sequence[Point]) -> str:
    """Format as plain text, a line each."""
    lines = [f"{'bits':>5}{'pruned':>8}{'bytes':>10}{'not 0':>10}{'correct':>10}{'log loss':>10}  networks alone"]
    for point in points:
        alone = " ".join(str(point.correct_by_network[name]) for name in NETWORK_NAMES)
        correct = f"{point.correct_count}/{point.clip_count}"
        lines.append(
            f"{point.setting.weight_bits:>5}{point.setting.pruned_share:>8.0%}{point.stored_bytes:>10,}"
            f"{point.nonzero_bytes:>10,}{correct:>10}{point.log_loss:>10.3f}  {alone}"
        )
    return "\n".join(lines) + "\n"


def write_points(folder: Path, points: Sequence[Point], title: str) -> None:
    """Write compress.csv, compress.txt and compress.png.

    Raises
    ------
    TrainingError
        The folder cannot be written.
    """
    with writing(folder, "the curve"):
        with (folder / "compress.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow((*_COLUMNS, *NETWORK_NAMES))
            writer.writerows(_fields(point) for point in points)
        (folder / "compress.txt").write_text(format_points(points), encoding="utf-8")
        _plot(folder / "compress.png", points, title)


def _fields(point: Point) -> tuple[object, ...]:
    return (
        point.setting.weight_bits,
        point.setting.pruned_share,
        point.stored_bytes,
        point.nonzero_bytes,
        point.correct_count,
        point.clip_count,
        point.log_loss,
        *(point.correct_by_network[name] for name in NETWORK_NAMES),
    )


def _plot(path: Path, points: Sequence[Point], title: str) -> None:
    """Accuracy and log loss over bytes that are not 0, with both readings of the limit."""
    figure = new_figure(9.0, 4.0)
    left, right = figure.subplots(1, 2)
    whole = [point for point in points if not point.setting.pruned_share]
    pruned = [point for point in points if point.setting.pruned_share]
    for axes, label in ((left, "accuracy, %"), (right, "log loss, nats")):
        for family, marker, name in ((whole, "o-", "fewer bits"), (pruned, "s--", "8 bits, pruned")):
            values = [100 * p.correct_count / p.clip_count if axes is left else p.log_loss for p in family]
            axes.plot([p.nonzero_bytes / 1000 for p in family], values, marker, label=name)
            for point, value in zip(family, values, strict=True):
                text = f"{point.setting.pruned_share:.0%}" if point.setting.pruned_share else point.setting.weight_bits
                axes.annotate(
                    str(text), (point.nonzero_bytes / 1000, value), (3, 4), textcoords="offset points", size=8
                )
        for limit in LIMITS_BYTES:
            axes.axvline(limit / 1000, color="grey", linewidth=0.8, linestyle=":")
        axes.set_xlabel("thousand bytes that are not 0 (dotted: 128 KB)")
        axes.set_ylabel(label)
        _make_logarithmic(axes.xaxis)
    losses = [point.log_loss for point in points]
    if max(losses) > _WIDE_RATIO * min(losses) > 0.0:  # one loss of 10 would make a line of all others
        _make_logarithmic(right.yaxis)
    left.legend(fontsize=8)
    figure.suptitle(title)
    save_figure(figure, path, dpi=120)


def _make_logarithmic(axis: Any) -> None:
    """Give an axis a logarithmic scale with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
