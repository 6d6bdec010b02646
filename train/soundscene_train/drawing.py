"""Figures to draw on and to save, without a display."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence, Set
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion_cells", "draw_heat_map", "new_figure", "save_figure"]

_OWN_FONT: Final = "DejaVu Sans"
_NO_SCRIPTS: Final = {"Last Resort High-Efficiency", "GLYPHICONS Halflings"}
"""Fonts that have a sign for a character, not the character."""

_INVISIBLE: Final = {ord("\n")}


def new_figure(width_inches: float, height_inches: float) -> Any:
    """Return a matplotlib figure that is saved, never shown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_heat_map(
    axes: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    shares: NDArray[Any],
    texts: Sequence[Sequence[str]],
    *,
    aspect: str = "auto",
    font_size: float = 8,
) -> None:
    """Draw shares in [0, 1] as shades, with a text in each cell; NaN stays white."""
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect=aspect)
    for row, column in np.ndindex(shares.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, texts[row][column], ha="center", va="center", color=colour, fontsize=font_size)
    axes.set_xticks(range(len(columns)), [name.replace("_", " ") for name in columns], rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])


def confusion_cells(confusion: NDArray[Any]) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Return what a heat map shows of clips by truth and decision: shares of each row, and counts that are not 0."""
    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    return shares, [[str(count or "") for count in row] for row in confusion.tolist()]


def save_figure(figure: Any, target: Path | IO[str], **options: Any) -> None:
    """Save a figure with all texts as they stand: names from the user's data are no formulas, whatever `$` they hold.

    Characters that matplotlib's own font lacks come from a font that is installed; without one they are boxes.

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

    texts = figure.findobj(Text)
    families = _families({ord(character) for text in texts for character in text.get_text()})
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(families)
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it tells of each weight that a font lacks
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")  # one for each character that no font has
        figure.savefig(target, **options)


def _families(characters: Set[int]) -> list[str]:
    """Name matplotlib's own font, and installed ones that have characters which it lacks."""
    from matplotlib.font_manager import findfont, fontManager

    families, missing = [_OWN_FONT], characters - _characters_of(findfont(_OWN_FONT)) - _INVISIBLE
    for font in fontManager.ttflist if missing else ():
        found = missing & _characters_of(font.fname) if font.name not in _NO_SCRIPTS else set()
        if found:
            families.append(font.name)
            missing -= found
    return families


@cache
def _characters_of(font: str) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    with suppress(OSError, RuntimeError):  # removed since matplotlib listed it, or damaged
        return frozenset(get_font(font).get_charmap())
    return frozenset()
