"""An analysis as JSON and as text."""

from __future__ import annotations

from typing import Any, Final

from soundscene.analysis import FileAnalysis
from soundscene.classifier import WindowVerdict
from soundscene.cli.text import bar, clock
from soundscene.commands import printable

__all__ = ["analysis_to_dict", "analysis_to_text"]

_EXTENSIONS: Final = {"repeat": "repeated from its beginning", "silence": "followed by silence"}


def analysis_to_dict(analysis: FileAnalysis) -> dict[str, Any]:
    """Return what `--json` prints: times in seconds from the file's beginning, levels in dBFS, scores that sum to 1.

    A window has the fields of a published prediction, but for those that only a live stream can fill: identity, sensor,
    session, capture time and latency.
    """
    return {
        "file": str(analysis.path),
        "duration_seconds": analysis.duration_seconds,
        "extended_by": analysis.extended_by,
        "defect": analysis.defect,
        "summary": {
            "scene": analysis.scene,
            "score": analysis.score,
            "scores": dict(zip(analysis.bundle.labels, analysis.scores.tolist(), strict=True)),
            "assessable": analysis.assessable_count > 0,
            "assessable_windows": analysis.assessable_count,
        },
        "windows": [_window_to_dict(analysis, position) for position in range(len(analysis.verdicts))],
    }


def _window_to_dict(analysis: FileAnalysis, position: int) -> dict[str, Any]:
    verdict = analysis.verdicts[position]
    start, end = _span_seconds(analysis, verdict)
    smoothed = analysis.smoothed(position)
    return {
        "first_sample": verdict.first_sample,
        "sample_count": verdict.sample_count,
        "sample_rate": analysis.bundle.front_end.sample_rate_hz,
        "start_seconds": start,
        "end_seconds": end,
        "scene": verdict.scene,
        "score": verdict.score,
        "scores": verdict.scores_by_label,
        "networks": verdict.network_scenes,
        "smoothed_scene": analysis.bundle.labels[int(smoothed.argmax())],
        "smoothed_score": float(smoothed.max()),
        "assessable": verdict.assessable,
        "reasons": [str(reason) for reason in verdict.reasons],
        "level_dbfs": verdict.level_dbfs,
        "level_dbspl": None,  # a file carries no calibration
        "model": analysis.bundle.model,
    }


def analysis_to_text(analysis: FileAnalysis) -> str:
    """Return a table of the windows and a line for the whole file."""
    width = max(len("scene"), *(len(label) for label in analysis.bundle.labels))
    with_hours = analysis.duration_seconds >= 3600.0
    clock_width = len(clock(analysis.duration_seconds, with_hours))
    lines = [_heading(analysis)]
    for verdict in analysis.verdicts:
        times = (clock(seconds, with_hours).rjust(clock_width) for seconds in _span_seconds(analysis, verdict))
        scene, level = verdict.scene.ljust(width), f"{verdict.level_dbfs:6.1f} dBFS"
        flags = " ".join(verdict.reasons)
        row = f"  {' - '.join(times)}  {scene}  {verdict.score:4.2f} {bar(verdict.score)}  {level}  {flags}"
        lines.append(row.rstrip())
    ranked = sorted(zip(analysis.scores.tolist(), analysis.bundle.labels, strict=True), reverse=True)
    runners_up = ", ".join(f"{label} {score:.2f}" for score, label in ranked[1:3])
    whole = "whole file".ljust(2 * clock_width + 3)
    lines.append(
        f"  {whole}  {analysis.scene.ljust(width)}  {analysis.score:4.2f} {bar(analysis.score)}  then {runners_up}"
    )
    count = len(analysis.verdicts)
    if doubtful := count - analysis.assessable_count:
        which = "no window" if doubtful == count else f"{analysis.assessable_count} of {count} windows"
        lines.append(f"  {' ' * len(whole)}  {which} can be assessed: see the reasons above")
    return "\n".join(lines)


def _heading(analysis: FileAnalysis) -> str:
    heading = f"{printable(str(analysis.path))}: {analysis.duration_seconds:.2f} s at {analysis.sample_rate_hz} Hz"
    if analysis.extended_by is None:
        return heading
    window = analysis.bundle.front_end.window_length_seconds
    return f"{heading}, shorter than a window of {window:.2f} s: {_EXTENSIONS[analysis.extended_by]}"


def _span_seconds(analysis: FileAnalysis, verdict: WindowVerdict) -> tuple[float, float]:
    """Start and end of a window; the end of an extended clip is its own."""
    rate = analysis.bundle.front_end.sample_rate_hz
    end = (verdict.first_sample + verdict.sample_count) / rate
    return verdict.first_sample / rate, min(end, analysis.duration_seconds)
