"""`soundscene analyze`: a timeline of scenes for each audio file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundscene.cli.text import clock
from soundscene.commands import printable
from soundscene.errors import AudioError

if TYPE_CHECKING:
    from soundscene.analysis import FileAnalysis
    from soundscene.classifier import SceneClassifier
    from soundscene.windows import Window

__all__ = ["add_parser", "run"]

_PROGRESS_WINDOWS = 50
"""Windows between two updates of the progress line: about half a second of work."""


def add_parser(commands: Any) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "analyze",
        help="tell which scene each audio file holds, window by window",
        description="Tell which scene each audio file holds, window by window and as a whole. Any format, rate, "
        "channel count and length that libsndfile reads. A file that is missing or broken is named on stderr, the "
        "others are still done, and the exit code is 2.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="audio file")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle to classify with (default: the demo bundle)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each file instead of a table")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="OUT.png",
        help="draw spectrogram and scenes over time (.png, .pdf or .svg); of several files, each its own OUT-NAME.png",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Analyse every file; return 0, or 2 when any of them could not be used in full."""
    from soundscene.bundle import load_bundle  # --help must not load LiteRT and Essentia
    from soundscene.classifier import SceneClassifier

    plots: list[Path | None] = [None] * len(options.files)
    if options.plot is not None:
        from soundscene.plotting import plot_paths, require_matplotlib

        require_matplotlib()
        plots = list(plot_paths(options.plot, options.files))
    bundle = load_bundle(options.bundle)
    print(f"{bundle.name} {bundle.version}: {printable(bundle.description)}", file=sys.stderr)
    classifier = SceneClassifier(bundle)
    whole = [_run_file(path, classifier, options.json, plot) for path, plot in zip(options.files, plots, strict=True)]
    return 0 if all(whole) else 2


def _run_file(path: Path, classifier: SceneClassifier, as_json: bool, plot: Path | None) -> bool:
    """Analyse and print one file; return whether it was sound."""
    from soundscene.analysis import analyze_file
    from soundscene.cli.report import analysis_to_dict, analysis_to_text

    progress = _Progress(path, classifier, plot)
    try:
        analysis = analyze_file(path, classifier, progress)
    except AudioError as error:
        progress.clear()
        _complain(str(error))
        return False
    progress.clear()
    print(
        json.dumps(analysis_to_dict(analysis), allow_nan=False) if as_json else analysis_to_text(analysis), flush=True
    )
    if plot is not None:
        progress.draw(analysis, plot)
    if analysis.defect:
        _complain(analysis.defect)
    return analysis.defect is None


def _complain(message: str) -> None:
    print(f"soundscene: {printable(message)}", file=sys.stderr)


class _Progress:
    """Sees each window before it is classified: for a progress line on a terminal, and for the plot."""

    def __init__(self, path: Path, classifier: SceneClassifier, plot: Path | None) -> None:
        self._name = printable(path.name)
        self._is_shown = False
        self._spectrogram = None
        if plot is not None:
            from soundscene.plotting import Spectrogram

            self._spectrogram = Spectrogram(classifier.front_end)

    def __call__(self, window: Window) -> None:
        if self._spectrogram is not None:
            self._spectrogram.add(window)
        if window.index % _PROGRESS_WINDOWS == _PROGRESS_WINDOWS - 1 and sys.stderr.isatty():
            seconds = window.source_first_sample / window.sample_rate_hz
            print(f"\r{self._name}: {clock(seconds, with_hours=True)}", end="", file=sys.stderr, flush=True)
            self._is_shown = True

    def clear(self) -> None:
        if self._is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def draw(self, analysis: FileAnalysis, path: Path) -> None:
        from soundscene.plotting import plot_analysis

        if self._spectrogram is not None:
            plot_analysis(analysis, self._spectrogram, path)
            print(f"plot: {printable(str(path))}", file=sys.stderr)
