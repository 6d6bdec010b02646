"""Empty figures to draw on, without a display."""

from __future__ import annotations

from typing import Any

from soundscene.errors import MissingExtraError

__all__ = ["new_figure"]


def new_figure(width_inches: float, height_inches: float) -> Any:
    """Return a matplotlib figure that is saved, never shown.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib: `pip install 'soundscene[train]'`") from error
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
