"""The operator's page speaks of what there is: settings with their defaults, metrics, alerts and events."""

import re
from pathlib import Path

from soundscene_worker.logs import EVENTS
from soundscene_worker.metric_list import AUDIT_METRICS, DEVICE_METRICS, METRICS
from soundscene_worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
UNITS = {"MiB": 1024**2, "GiB": 1024**3}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_alert_is_explained_and_exists() -> None:
    """An operator who is woken finds the alert's question on the page."""
    defined = set(re.findall(r"alert: (\w+)", (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()))
    assert set(re.findall(r"`(Soundscene\w+)`", PAGE)) == defined


def test_every_metric_named_exists() -> None:
    """No metric on the page is of yesterday."""
    known = {metric.full_name for metric in (*METRICS, *DEVICE_METRICS, *AUDIT_METRICS)}
    named = set(re.findall(r"`(soundscene_[a-z_]+)`", PAGE)) - {"soundscene_worker"}
    assert named
    assert named <= known


def test_every_setting_named_exists_with_its_default() -> None:
    """The table of settings gives the defaults of the program."""
    settings = WorkerSettings()
    for cell, default, *_ in rows("Settings that matter"):
        names = re.findall(r"`(\w+)`", cell)
        values = [value.strip().strip("`") for value in default.split(",")]
        for name, value in zip(names, values, strict=True):
            actual = getattr(settings, name)
            number, _, unit = value.partition(" ")
            if isinstance(actual, bool) or actual is None:
                assert value == {False: "off", None: "none"}[actual], name
            elif isinstance(actual, int | float):
                assert float(number) * UNITS.get(unit, 1) == actual, name
            else:
                assert value == actual, name


def test_every_event_that_matters_is_on_the_page() -> None:
    """Each event of the log that warns or is an error stands on the page, but for the client library's own words."""
    loud = {event for event, level in EVENTS.items() if level in ("warning", "error")} - {"client_library"}
    assert loud <= set(re.findall(r"`(\w+)`", PAGE))
