"""The picture of an analysis: what was heard, which scenes were found, how loud it was. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.analysis import FileAnalysis
from soundscene.errors import MissingExtraError, SettingsError
from soundscene.frontend import FrontEnd, resample_window
from soundscene.frontend.filterbanks import hz_to_mel
from soundscene.windows import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Spectrogram", "plot_analysis", "plot_paths", "require_matplotlib"]

_SUFFIXES: Final = (".png", ".pdf", ".svg")
_MAX_COLUMNS: Final = 2048
"""Columns a picture can show; longer files are averaged down to between half of this and this many."""

_DYNAMIC_RANGE_DB: Final = 80.0
_TICKS_HZ: Final = (100, 500, 1000, 2000, 5000, 10_000, 20_000)
_DB_PER_NEPER: Final = 10.0 / np.log(10.0)
_MANY_WINDOWS: Final = 120
"""Above it, winners are drawn as a line without a dot for each."""

Array = NDArray[np.float32]


def require_matplotlib() -> None:
    """Check that plots can be drawn, before any work is done.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib: pip install 'soundscene[plot]'") from error


def plot_paths(target: Path, files: Sequence[Path]) -> list[Path]:
    """Return where the plot of each file goes: `target` for one file, `target` with the file's name for several.

    Raises
    ------
    SettingsError
        The suffix is not a picture's, or the folder does not exist.
    """
    if target.suffix.lower() not in _SUFFIXES:
        raise SettingsError(f"a plot's name must end in {', '.join(_SUFFIXES)}, got {target}")
    if not target.parent.is_dir():
        raise SettingsError(f"no folder {target.parent} for the plot; create it first")
    if len(files) == 1:
        return [target]
    paths: list[Path] = []
    for file in files:
        name, number = f"{target.stem}-{file.stem}", 2
        path = target.with_name(name + target.suffix)
        while path in paths:
            path = target.with_name(f"{name}-{number}{target.suffix}")
            number += 1
        paths.append(path)
    return paths


class Spectrogram:
    """A mel spectrogram in dB, built window by window and never wider than a picture.

    Parameters
    ----------
    front_end : FrontEnd
        Of the classifier.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self.settings = front_end.settings
        self._front_end = front_end
        self._columns: list[Array] = []  # each the mean of `_frames_per_column` frames, (bands,)
        self._frames_per_column = 1
        self._pending: list[Array] = []

    @property
    def seconds_per_column(self) -> float:
        """Width of a column."""
        return self._frames_per_column * self.settings.hop_size_samples / self.settings.sample_rate_hz

    @property
    def decibels(self) -> Array:
        """Power in dB [shape=(bands, columns)]."""
        return np.stack(self._columns, axis=1)

    def add(self, window: Window) -> None:
        """Add the frames of a file's next window that the one before it did not hold."""
        samples = resample_window(window.samples, window.sample_rate_hz, self.settings)
        shared = self.settings.window_frames - self.settings.step_frames if window.index else 0
        mel, _ = self._front_end.stft_bands(samples[shared * self.settings.hop_size_samples :])  # (frames, bands)
        for frame in mel * np.float32(_DB_PER_NEPER):
            self._add_frame(frame)

    def _add_frame(self, frame: Array) -> None:
        self._pending.append(frame)
        if len(self._pending) < self._frames_per_column:
            return
        self._columns.append(np.mean(self._pending, axis=0))
        self._pending.clear()
        if len(self._columns) == _MAX_COLUMNS:
            pairs = zip(self._columns[::2], self._columns[1::2], strict=True)
            self._columns = [(left + right) * np.float32(0.5) for left, right in pairs]
            self._frames_per_column *= 2


def plot_analysis(analysis: FileAnalysis, spectrogram: Spectrogram, path: Path) -> None:
    """Draw spectrogram, scenes and level over time into a file.

    Parameters
    ----------
    analysis : FileAnalysis
        What was found.
    spectrogram : Spectrogram
        Filled with the same file's windows.
    path : Path
        Picture to write; its suffix says which kind.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    SettingsError
        The picture cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure  # pyplot would look for a screen

    label_count = len(analysis.bundle.labels)
    figure = Figure(figsize=(12.0, 5.4 + 0.24 * label_count), dpi=120, layout="constrained")
    heights = [3.0, 0.9 + 0.24 * label_count, 1.0]
    axes = figure.subplots(3, 2, sharex="col", gridspec_kw={"height_ratios": heights, "width_ratios": [60, 1]})
    _draw_title(figure, analysis)
    _draw_spectrogram(axes[0, 0], axes[0, 1], spectrogram)
    _draw_scores(axes[1, 0], axes[1, 1], analysis)
    _draw_level(axes[2, 0], analysis)
    axes[2, 1].set_visible(False)
    for row in axes[:2, 0]:
        row.set_facecolor("#eceff1")  # where no window reaches
    _label_time(axes[2, 0], analysis.duration_seconds)
    try:
        figure.savefig(path)
    except OSError as error:
        raise SettingsError(f"cannot write the plot {path}: {error.strerror or error}") from error


def _draw_title(figure: Figure, analysis: FileAnalysis) -> None:
    count = len(analysis.verdicts)
    extended = "" if analysis.extended_by is None else ", extended to one"
    doubtful = count - analysis.assessable_count
    doubts = f", {doubtful} not assessable" if doubtful else ""
    figure.suptitle(
        f"{_plain(analysis.path.name)}: {_plain(analysis.scene)}, score {analysis.score:.2f} "
        f"over {count} window{'s' if count > 1 else ''}{extended}{doubts}    "
        f"(bundle {analysis.bundle.name} {analysis.bundle.version})",
        x=0.01,
        ha="left",
        fontsize=11,
    )


def _draw_spectrogram(axes: Axes, colour_axes: Axes, spectrogram: Spectrogram) -> None:
    decibels = spectrogram.decibels  # (bands, columns)
    bands, columns = decibels.shape
    settings = spectrogram.settings
    # A frame stands for one hop around the centre of its analysis window.
    start = (settings.window_size_samples - settings.hop_size_samples) / 2 / settings.sample_rate_hz
    image = axes.imshow(
        decibels - decibels.max(),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(start, start + columns * spectrogram.seconds_per_column, -0.5, bands - 0.5),
        vmin=-_DYNAMIC_RANGE_DB,
        vmax=0.0,
        cmap="magma",
    )
    ticks_hz = [tick for tick in _TICKS_HZ if tick < settings.sample_rate_hz / 2]
    edges = hz_to_mel(np.array([settings.min_frequency_hz, settings.sample_rate_hz / 2]))
    positions = (hz_to_mel(np.array(ticks_hz, float)) - edges[0]) / (edges[1] - edges[0]) * (bands + 1) - 1.0
    axes.set_yticks(positions.tolist(), [f"{tick // 1000} k" if tick >= 1000 else str(tick) for tick in ticks_hz])
    axes.set_ylabel("frequency (Hz, mel scale)")
    axes.figure.colorbar(image, cax=colour_axes, label="below maximum (dB)")


def _draw_scores(axes: Axes, colour_axes: Axes, analysis: FileAnalysis) -> None:
    edges, scores = _score_columns(analysis)  # (columns + 1,), (columns, labels)
    labels = analysis.bundle.labels
    rows = np.arange(len(labels) + 1) - 0.5
    mesh = axes.pcolormesh(edges, rows, scores.T, vmin=0.0, vmax=1.0, cmap="Blues", rasterized=True)
    winners = scores.argmax(axis=1)
    if len(winners) > _MANY_WINDOWS:
        axes.stairs(winners, edges, baseline=None, color="#c23b22", linewidth=1.0)
    else:
        axes.plot((edges[:-1] + edges[1:]) / 2, winners, "o", color="#c23b22", markersize=5.0, clip_on=False)
    axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.hlines(rows[1:-1], edges[0], edges[-1], colors="white", linewidth=1.0)
    axes.set_ylabel("scene (red: winner)")
    axes.figure.colorbar(mesh, cax=colour_axes, label="score")


def _draw_level(axes: Axes, analysis: FileAnalysis) -> None:
    edges = _window_edges(analysis)
    levels = np.array([verdict.level_dbfs for verdict in analysis.verdicts])
    axes.stairs(levels, edges, baseline=None, color="#30475e", linewidth=1.5)
    doubtful = np.array([not verdict.assessable for verdict in analysis.verdicts])
    if doubtful.any():
        reasons = sorted({str(reason) for verdict in analysis.verdicts for reason in verdict.reasons})
        step = np.append(doubtful, doubtful[-1])
        axes.fill_between(
            edges,
            0.0,
            1.0,
            where=step.tolist(),
            step="post",
            transform=axes.get_xaxis_transform(),
            color="#e8a33d",
            alpha=0.35,
            linewidth=0.0,
            label=f"not assessable: {', '.join(reasons)}",
        )
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1, fontsize=8, frameon=False)
    low, high = float(levels.min()), float(levels.max())
    margin = max(3.0, 0.15 * (high - low))
    axes.set_ylim(low - margin, high + margin)
    axes.grid(axis="y", alpha=0.3)
    axes.set_ylabel("level (dBFS)")


def _window_edges(analysis: FileAnalysis) -> NDArray[np.float64]:
    """Where the column of each window begins and ends: half a step around its centre, the outer ones to its edges."""
    settings = analysis.bundle.front_end
    length, step = settings.window_length_seconds, settings.step_samples / settings.sample_rate_hz
    centres = np.array([verdict.index for verdict in analysis.verdicts]) * step + length / 2
    inner = (centres[:-1] + centres[1:]) / 2
    end = centres[-1] + length / 2 if analysis.extended_by is None else analysis.duration_seconds
    return np.concatenate([[0.0], inner, [end]])


def _score_columns(analysis: FileAnalysis) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges and scores of at most `_MAX_COLUMNS` columns, each the mean of equally many windows but the last."""
    edges = _window_edges(analysis)
    scores = np.stack([verdict.scores for verdict in analysis.verdicts])  # (windows, labels)
    group = -(-len(scores) // _MAX_COLUMNS)
    starts = np.arange(0, len(scores), group)
    means = np.add.reduceat(scores, starts) / np.diff(np.append(starts, len(scores)))[:, np.newaxis]
    return np.append(edges[starts], edges[-1]), means


def _label_time(axes: Axes, duration_seconds: float) -> None:
    """Show the whole file, with times as m:ss or h:mm:ss where seconds alone are hard to read."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0.0, duration_seconds)
    if duration_seconds < 120.0:
        axes.set_xlabel("time (s)")
        return
    hours = duration_seconds >= 3600.0
    steps = [1, 1.5, 3, 6, 10] if duration_seconds < 600.0 else [1, 1.2, 1.8, 3, 6, 9, 10]
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _clock(seconds, hours)))
    axes.set_xlabel("time (h:mm:ss)" if hours else "time (m:ss)")


def _clock(seconds: float, with_hours: bool) -> str:
    whole = round(seconds)
    if with_hours:
        return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"


def _plain(text: str) -> str:
    """Keep matplotlib from reading a name as a formula, and from undecodable characters."""
    return "".join(character if character.isprintable() else "?" for character in text).replace("$", r"\$")
