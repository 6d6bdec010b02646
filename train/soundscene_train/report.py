"""An evaluation as a table, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from soundscene_train.assessment.page import render
from soundscene_train.assessment.text import calibration_lines, interval_text, parts_text, robustness_lines
from soundscene_train.drawing import confusion_cells, draw_heat_map, new_figure, save_figure
from soundscene_train.evaluation import Result
from soundscene_train.files import write_json, writing
from soundscene_train.run_folders import EVALUATION_NAME, REPORT_NAME

__all__ = ["Evaluation", "format_table", "plot_confusion", "write_report"]

_ROW: Final = ("correct_count", "accuracy", "macro_accuracy", "log_loss")

_TITLES: Final = {
    "mel": "mel",
    "gammatone": "gammatone",
    "cqt": "constant-Q",
    "product": "product of three",
    "average": "average of three",
}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a test found, at the recorded level and at others.

    Parameters
    ----------
    results : mapping of classifier to Result
        From `evaluate_all`, at the recorded level.
    by_gain : mapping of gain in dB to mapping of classifier to Result
        The same clips louder or quieter.
    rule : {"product", "average"}
        The fused classifier that counts.
    labels : tuple of str
        In the order of the networks' outputs.
    summary : mapping
        From `summarise`, with `robustness` where it was measured, `by_part` of a cross-validation.
    """

    results: Mapping[str, Result]
    by_gain: Mapping[float, Mapping[str, Result]]
    rule: str
    labels: tuple[str, ...]
    summary: Mapping[str, Any]

    def metrics(self, test: str) -> dict[str, Any]:
        """Return what a manifest says about a model tested on `test`: of each classifier alone what fits a row."""
        found = {name: result.to_dict() for name, result in self.results.items()}
        return {
            "tested_on": test,
            **found[self.rule],
            "rule": self.rule,
            "classifiers": {name: {key: result[key] for key in _ROW} for name, result in found.items()},
            "correct_count_at_gain": {
                f"{gain:+g} dB": results[self.rule].correct_count for gain, results in self.by_gain.items()
            },
            **self.summary,
        }


def format_table(evaluation: Evaluation) -> str:
    """Format all classifiers as plain text, then of the fused one: classes, devices, and how sure its figures are."""
    rule, summary = evaluation.rule, evaluation.summary
    lines = [f"{'classifier':<20}{'correct':>12}{'accuracy':>10}{'macro':>8}{'log loss':>10}"]
    for name, result in evaluation.results.items():
        correct = f"{result.correct_count}/{result.clip_count}"
        lines.append(
            f"{_TITLES.get(name, name):<20}{correct:>12}{result.accuracy:>10.1%}{result.macro_accuracy:>8.1%}"
            f"{result.log_loss:>10.3f}"
        )
    fused = evaluation.results[rule]
    lines += ["", f"{_TITLES[rule]}, 95 % interval of its accuracy: {interval_text(summary['accuracy_95'])}"]
    if "by_part" in summary:
        lines.append(f"{_TITLES[rule]}, {parts_text(summary['by_part'])}")
    for title, shares in (("class", fused.class_accuracy), ("device", fused.device_accuracy)):
        if shares:
            lines += ["", f"{title:<20}{'accuracy':>10}   ({_TITLES[rule]})"]
            lines += [f"{name:<20}{share:>10.1%}" for name, share in shares.items()]
    lines += ["", *calibration_lines(summary["calibration"])]
    if distorted := summary.get("robustness"):
        lines += ["", *robustness_lines(distorted, fused.clip_count)]
    return "\n".join(lines) + "\n"


def write_report(
    folder: Path,
    evaluation: Evaluation,
    title: str,
    test: str,
    *,
    tested_on: Sequence[str],
    trained_on: Sequence[str],
    cost: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Write `evaluation.json`, `evaluation.txt`, `confusion.png` and `report.html`.

    Parameters
    ----------
    folder : Path
        The run's folder.
    evaluation : Evaluation
        What is told.
    title : str
        What was tested, for a heading.
    test : str
        What it was tested on, in words.
    tested_on, trained_on : sequence of str
        The parts.
    cost : mapping or None
        What the bundle costs to serve, where it is made already.
    **more : JSON-ready
        More to say in the JSON.

    Raises
    ------
    TrainingError
        The folder cannot be written.
    """
    metrics = evaluation.metrics(test)
    content = {
        "rule": evaluation.rule,
        "results": {name: result.to_dict() for name, result in evaluation.results.items()},
        "title": title,
        "labels": list(evaluation.labels),
        "tested_on": list(tested_on),
        "trained_on": list(trained_on),
        "metrics": metrics,
        **more,
    }
    page = render(title, evaluation.labels, metrics, cost)
    with writing(folder, "the report"):
        write_json(folder / EVALUATION_NAME, content)
        (folder / "evaluation.txt").write_text(format_table(evaluation), encoding="utf-8")
        (folder / REPORT_NAME).write_text(page, encoding="utf-8")
        fused = evaluation.results[evaluation.rule]
        plot_confusion(folder / "confusion.png", fused, evaluation.labels, _TITLES[evaluation.rule])


def plot_confusion(path: Path, result: Result, labels: Sequence[str], title: str) -> None:
    """Draw the confusion matrix, rows normalised, with counts in the cells."""
    figure = new_figure(1.5 + 0.62 * len(labels), 1.2 + 0.58 * len(labels))
    axes = figure.subplots()
    draw_heat_map(axes, labels, labels, *confusion_cells(result.confusion), aspect="equal", font_size=10)
    axes.set_xlabel("decided")
    axes.set_ylabel("true")
    axes.set_title(f"{title}: {result.correct_count} of {result.clip_count} clips, {result.accuracy:.1%}")
    save_figure(figure, path, dpi=120)
