"""The report in a real browser, of a test as large as they come: ten scenes, nine devices, every distortion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from soundscene_train.assessment.assess import results_of
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.page import render
from soundscene_train.assessment.summary import cross_fitted_calibration, robustness, summarise
from soundscene_train.distortions import standard_distortions
from soundscene_train.report import Evaluation

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

LABELS = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
    "street_traffic", "tram",
)  # fmt: skip
DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")
COST = {"cpu_milliseconds_per_window": 25.9, "processor": "a processor with a name as long as makers <give> them"}
CALIBRATION = {"temperature": 2.5, "fitted_on": "360 clips <of a street>"}

TEXTS = """
return [...document.querySelectorAll('svg')].map(svg => {
    const page = svg.getBoundingClientRect();
    const box = text => {
        const found = text.getBoundingClientRect();
        return [found.left - page.left, found.top - page.top, found.right - page.left, found.bottom - page.top];
    };
    const texts = [...svg.querySelectorAll('g[id^=text_]')], slanted = /rotate\\(-?(?!90|0\\b)[1-9]/;
    return {
        size: [page.width, page.height],
        texts: texts.map(box),
        isSlanted: texts.map(text => slanted.test(text.innerHTML)),
    };
})
"""
"""Of each plot its size, the left, top, right and bottom of each of its texts, in pixels, and whether it is slanted."""


def _scores() -> ClipScores:
    """Of 360 clips, each class by each device, a good part of them right."""
    generator = np.random.default_rng(0)
    truth, device = np.divmod(np.arange(360) % 90, 9)
    windows = generator.dirichlet(np.full(10, 0.4), (3, 360)) + np.eye(10)[truth] * generator.random((3, 360, 1))
    windows /= windows.sum(axis=2, keepdims=True)
    devices, names = tuple(DEVICES[index] for index in device), tuple(f"{number}.wav" for number in range(360))
    return ClipScores(windows, np.arange(360), truth, LABELS, devices, ("",) * 360, ("test",), names)


SCORES = _scores()


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    """What a manifest would hold."""
    spoilt = {one.name: (one, SCORES) for one in standard_distortions()}
    summary = {**summarise(SCORES, "product"), "robustness": robustness(SCORES, spoilt, "product")}
    evaluation = Evaluation(results_of(SCORES, "product"), {}, "product", LABELS, summary)
    return evaluation.metrics("tau2020: the same recipe trained on train and tested on test")


@pytest.fixture
def page(metrics: dict[str, Any], tmp_path: Path) -> str:
    """Address of the report of a calibrated bundle."""
    path = tmp_path / "report.html"
    path.write_text(render("street 1", LABELS, metrics, COST, CALIBRATION), encoding="utf-8")
    return path.as_uri()


@pytest.mark.integration
def test_it_is_whole_by_itself(browser: Chrome, page: str) -> None:
    """The browser asks for nothing beside the file, has nothing to complain about, and shows names as they are."""
    browser.get(page)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute("getLog", {"type": "browser"})["value"] == []
    assert browser.title == "How well it hears: street 1"
    text = browser.execute_script("return document.body.innerText")
    for expected in ("as makers <give> them", "a temperature of 2.5, fitted on 360 clips <of a street>"):
        assert expected in text


def test_thresholds_are_of_the_scores_that_are_served(metrics: dict[str, Any]) -> None:
    """Before calibration both are told; a calibrated bundle's are its own, or none where its temperature is another."""
    found = cross_fitted_calibration([SCORES, SCORES], "product")
    known = {**metrics, "calibration": {**metrics["calibration"], **found}}
    before, after = metrics["selective_windows"][5]["unsure_below"], found["selective_windows"][5]["unsure_below"]
    assert f"{before:.9g}" != f"{after:.9g}"
    its_own = {"temperature": found["temperature"], "fitted_on": "these clips"}
    for calibration, expected in ((None, (True, True)), (its_own, (False, True)), (CALIBRATION, (False, False))):
        page = render("street 1", LABELS, known, COST, calibration)
        assert tuple(f"<td>{threshold:.9g}</td>" in page for threshold in (before, after)) == expected
    assert f"{before:.9g}" in render("street 1", LABELS, metrics, COST)
    close = render("street 1", LABELS, metrics, COST, unsure_below=0.999999996)
    assert "best score is below 0.999999996." in close, "0.999999996 is not 1"


@pytest.mark.integration
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_a_screen(browser: Chrome, page: str, width: int) -> None:
    """Nothing lies beyond the right edge; what is wider scrolls by itself."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert all(0 < plot["size"][0] <= width for plot in browser.execute_script(TEXTS))


@pytest.mark.integration
def test_every_text_of_a_plot_can_be_read(browser: Chrome, page: str) -> None:
    """Each lies inside its plot, and none on another, as far as boxes tell: those of slanted texts overlap anyway."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(page)
    plots = browser.execute_script(TEXTS)
    assert [len(plot["texts"]) > 5 for plot in plots] == [True] * 7
    for plot in plots:
        boxes = np.array(plot["texts"])
        assert (boxes[:, :2] >= 0.0).all()
        assert (boxes[:, 2:] <= plot["size"]).all()
        assert not overlapping(boxes[~np.array(plot["isSlanted"])])


def overlapping(boxes: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[tuple[int, int]]:
    """Pairs of boxes [left, top, right, bottom] that share more than a pixel."""
    first, second = np.triu_indices(len(boxes), 1)
    sides = np.minimum(boxes[first, 2:], boxes[second, 2:]) - np.maximum(boxes[first, :2], boxes[second, :2])
    shared = (sides > 1.0).all(axis=1)
    return list(zip(first[shared].tolist(), second[shared].tolist(), strict=True))
