"""One self-contained HTML page: every figure of an assessment, its plots inline, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from soundscene_train.assessment import figures
from soundscene_train.assessment.text import interval_text, microphones_text, parts_text, threshold_text
from soundscene_train.drawing import confusion_cells

__all__ = ["render"]

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #cbd2d9}
table{border-collapse:collapse;margin:.6rem 0;display:block;overflow-x:auto}
td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #e4e7eb}
td:first-child,th:first-child{text-align:left;padding-left:0}svg{max-width:100%;height:auto}.note{color:#52606d}
"""

_UNTIL: Final = "A bundle serves the scores before it until `soundscene-train calibrate` puts it in."
_NO_THRESHOLDS: Final = (
    "Before the calibration. The fusion.unsure_below that does it now is told by a test of this bundle "
    "(soundscene-train evaluate)."
)


def render(
    title: str,
    labels: Sequence[str],
    metrics: Mapping[str, Any],
    cost: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
    *,
    unsure_below: float = 0.0,
) -> str:
    """Return the page.

    Parameters
    ----------
    title : str
        What was tested.
    labels : sequence of str
        In the order of the confusion matrix.
    metrics : mapping
        What a manifest's `metrics` and the `metrics` of `evaluation.json` hold.
    cost : mapping or None
        What a manifest's `provenance.cost` holds, where a bundle is made already.
    calibration : mapping or None
        What the manifest's `calibration` holds, of a bundle that was calibrated after the test.
    unsure_below : float in [0, 1)
        Of the manifest's `fusion`, where a bundle is made already.
    """
    sections = [
        _classifiers(metrics, cost),
        _classes_and_devices(labels, metrics),
        _calibration(metrics["calibration"], calibration),
        _selective(metrics, calibration, unsure_below),
        _robustness(metrics.get("robustness", {})),
        _cost(cost),
    ]
    title = f"How well it hears: {title}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>"
        f"<p class=note>Tested on {escape(str(metrics['tested_on']))}.</p>\n" + "\n".join(sections) + "</body></html>\n"
    )


def _classifiers(metrics: Mapping[str, Any], cost: Mapping[str, Any] | None) -> str:
    rows = [
        (
            name,
            f"{row['correct_count']}/{metrics['clip_count']}",
            _share(row["accuracy"]),
            _share(row["macro_accuracy"]),
            row["log_loss"],
        )
        for name, row in metrics["classifiers"].items()
    ]
    price = f" One window costs {cost['cpu_milliseconds_per_window']} ms of {cost['processor']}." if cost else ""
    note = (
        f"The decision is the {metrics['rule']} of three. 95 % interval of its accuracy: "
        f"{interval_text(metrics['accuracy_95'])}.{price}"
    )
    head = ("classifier", "clips right", "accuracy", "macro accuracy", "log loss")
    parts = f"<p>Clips right {escape(parts_text(metrics['by_part']))}.</p>" if "by_part" in metrics else ""
    return f"<h2>Result</h2>{_table(head, rows)}<p>{escape(note)}</p>{parts}"


def _classes_and_devices(labels: Sequence[str], metrics: Mapping[str, Any]) -> str:
    shares, texts = confusion_cells(np.asarray(metrics["confusion"]))
    parts = [
        "<h2>Classes and devices</h2>",
        figures.bars("By class, with 95 % intervals", metrics["class_accuracy"], metrics["class_95"]),
        figures.heat_map("Confusion (rows: truth; clips)", labels, labels, shares, texts, x_label="decided"),
    ]
    if metrics["device_accuracy"]:
        parts.append(figures.bars("By device, with 95 % intervals", metrics["device_accuracy"], metrics["device_95"]))
        parts.append(_class_by_device(metrics["class_by_device"], list(metrics["device_accuracy"])))
        parts.append(_table(("device", "log loss"), metrics["device_log_loss"].items()))
    methods = sorted({item["method"] for item in metrics["class_95"].values()})
    return "".join(parts) + f"<p class=note>Intervals by class: {escape(', '.join(methods))}.</p>"


def _class_by_device(cells: Mapping[str, Mapping[str, Sequence[int]]], devices: list[str]) -> str:
    labels = list(cells)
    pairs = [[cells[label].get(device) for device in devices] for label in labels]
    shares = [[pair[0] / pair[1] if pair else float("nan") for pair in row] for row in pairs]
    texts = [[f"{pair[0]}/{pair[1]}" if pair else "" for pair in row] for row in pairs]
    return figures.heat_map("Class by device (clips right)", labels, devices, shares, texts, x_label="device")


def _calibration(found: Mapping[str, Any], put_in: Mapping[str, Any] | None) -> str:
    states = [(name, found[name]) for name in ("before", "after") if name in found]
    rows = [(name, state["log_loss"], _share(state["expected_calibration_error"])) for name, state in states]
    after = found.get("after", {}).get("reliability")
    return (
        "<h2>Calibration</h2>"
        + _table(("scores", "log loss", "expected calibration error"), rows)
        + f"<p>{escape(f'{_fitted(found)} {_served(found, put_in)}'.strip())}</p>"
        + figures.reliability_plot(found["before"]["reliability"], after)
    )


def _fitted(found: Mapping[str, Any]) -> str:
    """Say which temperature makes "after" of "before"."""
    if "temperature_by_part" in found:
        each = ", ".join(f"{value} for part {part}" for part, value in found["temperature_by_part"].items())
        return (
            f"Temperature {each}: each fitted on the clips of the other parts, which the networks that scored them had "
            f"not seen; {found['temperature']} on all of them."
        )
    if "temperature" in found:
        fitted = found["fitted_on"]
        return (
            f"Temperature {found['temperature']}, fitted on {fitted['clips']} held-out training clips "
            f"(part {', '.join(fitted['parts'])})."
        )
    return "No temperature was fitted in this test: that needs held-out training data, given by --calibrate-from."


def _served(found: Mapping[str, Any], put_in: Mapping[str, Any] | None) -> str:
    """Say with which temperature the bundle serves its scores."""
    if put_in is not None:
        return (
            "The bundle was calibrated after this test: it serves its scores with a temperature of "
            f"{put_in['temperature']}, fitted on {put_in['fitted_on']}."
        )
    if (served := found.get("served_temperature", 1.0)) != 1.0:
        return f"Before: as served, calibrated with a temperature of {served}."
    return _UNTIL if "temperature" in found else ""


def _selective(metrics: Mapping[str, Any], put_in: Mapping[str, Any] | None, unsure_below: float) -> str:
    """Draw accuracy against coverage; thresholds are of scores at one temperature, and of no others."""
    as_tested, found = metrics["selective_windows"], metrics["calibration"]
    calibrated = found.get("selective_windows", [])
    head = ("windows kept", "accuracy", "fusion.unsure_below")
    if put_in is None:
        points, tables = as_tested, _table(head, _thresholds(as_tested))
        if calibrated:
            tables += _table((*head[:2], f"{head[2]}, once calibrated"), _thresholds(calibrated))
    elif calibrated and put_in["temperature"] == found["temperature"]:
        points, tables = calibrated, _table(head, _thresholds(calibrated))
    else:
        points, tables = as_tested, _table(head[:2], [row[:2] for row in _thresholds(as_tested)])
        tables += f"<p class=note>{_NO_THRESHOLDS}</p>"
    if unsure_below:
        tables += f"<p>The bundle does so with windows whose best score is below {threshold_text(unsure_below)}.</p>"
    pairs = [(point["coverage"], point["accuracy"]) for point in points]
    plot = figures.curve("Accuracy of the windows that are kept", pairs, "windows kept, %")
    return f"<h2>When unsure windows are declared not assessable</h2>{plot}{tables}"


def _thresholds(points: Sequence[Mapping[str, float]]) -> list[tuple[str, str, str]]:
    return [(_share(p["coverage"]), _share(p["accuracy"]), threshold_text(p["unsure_below"])) for p in points]


def _robustness(found: Mapping[str, Any]) -> str:
    if not found:
        return "<h2>Robustness</h2><p class=note>Not measured; --robustness, --responses and --backgrounds do.</p>"
    conditions = found["conditions"]
    rows = [
        (name, c["kind"], _share(c["accuracy"]), c["log_loss"], f"{c['points_lost']:+.1f}")
        for name, c in conditions.items()
    ]
    text = f"<p>{escape(microphones_text(found['microphones']))}</p>" if "microphones" in found else ""
    shares = {name: item["accuracy"] for name, item in conditions.items()}
    head = ("distortion", "kind", "accuracy", "log loss", "points lost")
    return "<h2>Robustness</h2>" + text + figures.bars("Accuracy under distortion", shares) + _table(head, rows)


def _cost(cost: Mapping[str, Any] | None) -> str:
    if not cost:
        return ""
    return "<h2>Cost</h2>" + _table(("measure", "value"), ((key.replace("_", " "), _plain(cost[key])) for key in cost))


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{escape(_text(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + f"</tr>{lines}</table>"


def _text(cell: object) -> str:
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def _share(value: float) -> str:
    return f"{value:.1%}"
