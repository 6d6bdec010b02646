"""Prometheus' configuration and rules: accepted by its own tools, each alert tested, no metric that does not exist."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.integration
@pytest.mark.parametrize(
    "command", ["check config prometheus.yml", "check rules rules.yml", "test rules rules_test.yml"]
)
def test_promtool_is_content(promtool: str, command: str) -> None:
    """promtool accepts configuration and rules, and every rule does what its test says."""
    outcome = subprocess.run([promtool, *command.split()], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not(rules: list[dict[str, Any]]) -> None:
    """No alert is without a test of both kinds."""
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    assert alerts
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    partly = {case["alertname"] for case in cases if 0 < len(case.get("exp_alerts", [])) < series_count(tests, case)}
    assert quiet | partly == alerts


def series_count(tests: list[dict[str, Any]], case: dict[str, Any]) -> int:
    """Return how many series stand in the test that holds this case."""
    return next(len(test["input_series"]) for test in tests if case in test["alert_rule_test"])


def test_rules_use_only_metrics_that_exist(rules: list[dict[str, Any]], metric_labels: dict[str, set[str]]) -> None:
    """Each name in a rule is a metric of the worker, or is recorded by another rule."""
    recorded = {rule["record"] for rule in rules if "record" in rule}
    names = {name for rule in rules for name in re.findall(r"soundscene[_:][a-z0-9_:]+", rule["expr"])}
    assert len(names) > 8
    assert names <= metric_labels.keys() | recorded


def test_every_alert_says_what_to_do(rules: list[dict[str, Any]]) -> None:
    """An alert has a severity, a one-line summary and a description."""
    for rule in rules:
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert "\n" not in rule["annotations"]["summary"]
            assert rule["annotations"]["description"].endswith(".")
