"""Names that the user chose are drawn as they stand, in every plot."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.font_manager import FontEntry, fontManager

from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment import figures
from soundscene_train.compression.curve import Point
from soundscene_train.compression.output import write_points
from soundscene_train.drawing import new_figure, save_figure
from soundscene_train.evaluation import evaluate
from soundscene_train.recipe import StorageSettings
from soundscene_train.report import plot_confusion
from soundscene_train.reproduce.output import write_table
from soundscene_train.reproduce.tables import Entry

NAME = "a $_$ b"
"""What matplotlib takes for a formula, and cannot parse."""


def confusion(folder: Path) -> None:
    labels = (NAME, "rain $")
    result = evaluate(np.eye(2), np.arange(2), labels, ())
    plot_confusion(folder / "confusion.png", result, labels, NAME)


def report(folder: Path) -> None:
    figures.bars(NAME, {NAME: 0.5}, {NAME: {"low": 0.1, "high": 0.9}})
    figures.heat_map(NAME, [NAME], [NAME], [[0.5]], [[NAME]], x_label=NAME)
    figures.curve(NAME, [(0.5, 1.0), (1.0, 1.0)], NAME)


def reproduced(folder: Path) -> None:
    write_table(folder, "table", NAME, [Entry(NAME, NAME, (50.0, 60.0), 55.0)], NAME)


def compressed(folder: Path) -> None:
    point = Point(StorageSettings(8), 1000, 900, 10, 5, 0.5, dict.fromkeys(NETWORK_NAMES, 5))
    write_points(folder, [point, dataclasses.replace(point, nonzero_bytes=500)], NAME)


@pytest.mark.parametrize("draw", [confusion, report, reproduced, compressed])
def test_a_name_that_looks_like_a_formula_is_drawn(draw: Callable[[Path], None], tmp_path: Path) -> None:
    """A class, a recipe or a data set with two dollars in its name ends no report."""
    draw(tmp_path)


def test_a_script_that_the_default_font_lacks_comes_from_an_installed_one(tmp_path: Path) -> None:
    """A label in another script is readable where some font has it; STIX, which matplotlib brings, has such letters."""
    assert "STIX" in drawn(tmp_path / "plot.svg", "\U0001d49c")
    assert "STIX" not in drawn(tmp_path / "plot.svg", "a")


@pytest.mark.parametrize("character", ["\U0001d49c", "\U0010fffd"])
def test_no_character_ends_or_scolds_a_plot(character: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that no font has is a box: matplotlib would warn of each, for every plot."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(tmp_path / "plot.svg", character)
    assert not caplog.records


def test_a_font_that_is_gone_or_damaged_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib keeps its list of fonts when one is removed: no report after hours of training ends at that."""
    (tmp_path / "damaged.ttf").write_text("no font")
    unusable = [FontEntry(fname=str(tmp_path / name), name=name) for name in ("gone.ttf", "damaged.ttf")]
    monkeypatch.setattr(fontManager, "ttflist", [*unusable, *fontManager.ttflist])
    assert "STIX" in drawn(tmp_path / "plot.svg", "\U0001d49c")


def drawn(path: Path, title: str) -> str:
    figure = new_figure(2.0, 1.0)
    figure.subplots().set_title(title)
    save_figure(figure, path)
    return path.read_text(encoding="utf-8")
