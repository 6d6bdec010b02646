"""Figures to draw on and to save, without a display."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

__all__ = ["new_figure", "save_figure"]


def new_figure(width_inches: float, height_inches: float) -> Any:
    """Return a matplotlib figure that is saved, never shown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, target: Path | IO[str], **options: Any) -> None:
    """Save a figure with all texts as they stand: names from the user's data are no formulas, whatever `$` they hold.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From `new_figure`.
    target : Path or text stream
        A file, or what gets its content.
    **options : Any
        As matplotlib's `savefig` takes them.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    figure.savefig(target, **options)
