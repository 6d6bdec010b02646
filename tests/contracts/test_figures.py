"""What the pages say of the shipped bundle is what its manifest says."""

import re
from pathlib import Path
from typing import Any

import pytest

from soundscene.bundle import load_bundle

ROOT = Path(__file__).resolve().parents[2]
ROWS = {
    "mel": "mel",
    "gammatone": "gammatone",
    "cqt": "constant-Q",
    "product": "product of three",
    "average": "average of three",
}
"""Classifiers in the manifest, and the names of their rows in the page of training."""


def section(page: str, heading: str) -> str:
    """Return what stands under a heading of the second level."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no heading {heading}"
    return found[1]


def is_told(value: float, digits: int, text: str) -> bool:
    """Whether a text holds a value with so many digits behind the point, halves rounded either way."""
    numbers = [number.replace(",", "") for number in re.findall(r"(?<![\d.,])\d[\d,]*(?:\.\d+)?", text)]
    near = 0.5 * 10.0**-digits + 1e-9
    return any(len(one.partition(".")[2]) == digits and abs(float(one) - value) <= near for one in numbers)


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return dict(load_bundle().metrics)


@pytest.fixture(scope="module")
def conditions(metrics: dict[str, Any]) -> dict[str, list[int]]:
    """Kinds of distortion to the clips right under each, in the manifest's order."""
    found: dict[str, list[int]] = {}
    for condition in metrics["robustness"]["conditions"].values():
        found.setdefault(condition["kind"], []).append(condition["correct_count"])
    return found


def test_the_page_of_training_has_the_figures_of_each_classifier(metrics: dict[str, Any]) -> None:
    """Clips right, accuracy and log loss stand in the row of each network and of each rule that joins them."""
    rows = re.findall(r"^\| (.+)$", section("docs/training.md", "The shipped bundle"), flags=re.MULTILINE)
    for name, printed in ROWS.items():
        found = metrics["classifiers"][name]
        (row,) = [row for row in rows if row.replace("*", "").startswith(f"{printed} |")]
        assert is_told(found["correct_count"], 0, row), row
        assert is_told(100 * found["accuracy"], 1, row), row
        assert is_told(found["log_loss"], 3, row), row


def test_the_page_of_training_has_the_other_figures(metrics: dict[str, Any], conditions: dict[str, list[int]]) -> None:
    """So do clips, bytes, the 95 % interval, calibration, and what gains, noise and microphones leave."""
    text = section("docs/training.md", "The shipped bundle")
    interval, calibration = metrics["accuracy_95"], metrics["calibration"]
    counts = [metrics["clip_count"], *conditions["gain"], *conditions["noise"], *conditions["coding"]]
    assert [count for count in counts if not is_told(count, 0, text)] == []
    assert f"{load_bundle().provenance['cost']['bytes']:,} bytes" in text
    assert f"{100 * interval['low']:.1f} to {100 * interval['high']:.1f} %" in text
    assert is_told(calibration["after"]["log_loss"], 3, text)
    assert is_told(100 * calibration["after"]["expected_calibration_error"], 1, text)
    assert is_told(calibration["temperature"], 2, text)
    heard = conditions["microphone"]
    assert is_told(sum(heard) / len(heard), 1, text)
    assert is_told(metrics["robustness"]["microphones"]["worst_points_lost"], 1, text)


def test_the_first_page_has_the_figures(metrics: dict[str, Any], conditions: dict[str, list[int]]) -> None:
    """Clips, clips right, bytes, and what noise and microphones leave are those of the shipped bundle."""
    text = section("README.md", "How well, how fast")
    heard = conditions["microphone"]
    for count in (metrics["clip_count"], metrics["correct_count"], conditions["noise"][1], min(heard)):
        assert is_told(count, 0, text), count
    assert is_told(sum(heard) / len(heard), 1, text)
    assert f"{load_bundle().provenance['cost']['bytes']:,} bytes" in text
