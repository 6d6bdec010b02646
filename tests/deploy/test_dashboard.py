"""The dashboard: generated, in step with the metrics, and every query answered by a real Prometheus."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.build_dashboard import TARGET, build
from scripts.dashboard_panels import ROWS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
EXPRESSIONS = [query.expression for row in ROWS for panel in row.panels for query in panel.queries]


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(TARGET.read_text())
    return content


def test_the_committed_file_is_what_the_generator_writes() -> None:
    """`make dashboard` would change nothing; building twice gives the same bytes."""
    assert TARGET.read_text() == build() == build()


def test_queries_use_only_metrics_that_exist(metric_labels: dict[str, set[str]]) -> None:
    """Each name in a query is a metric of the worker."""
    names = {name for expression in EXPRESSIONS for name in re.findall(r"soundscene_[a-z0-9_]+", expression)}
    assert names <= metric_labels.keys()


def test_every_metric_is_shown(board: dict[str, Any], metric_labels: dict[str, set[str]]) -> None:
    """No metric of the worker is without a panel, but for the one that only alerts need."""
    text = json.dumps(board)
    hidden = {name for name in metric_labels if re.sub("_(bucket|sum|count)$", "", name) not in text}
    assert hidden == {"soundscene_device_assessable"}


def test_queries_group_by_labels_that_exist(metric_labels: dict[str, set[str]]) -> None:
    """Each label in a `by` clause or a selector is one of the metrics in the same query, or Prometheus' own."""
    for expression in EXPRESSIONS:
        used = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression))))
        used |= set(re.findall(r'(\w+)=~?"', expression))
        names = re.findall(r"soundscene_[a-z0-9_]+", expression)
        assert used <= {"le", "instance"}.union(*(metric_labels[name] for name in names)), expression


def test_panels_do_not_overlap_and_fill_the_width(board: dict[str, Any]) -> None:
    """Panels stand side by side in 24 columns."""
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place.get("x", 0) + x, place.get("y", 0) + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_every_panel_says_what_it_shows(board: dict[str, Any]) -> None:
    """A panel has a title, a description and at least one query, each on the chosen data source."""
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len(panels) > 20
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_grafana_finds_dashboard_and_data_source() -> None:
    """The provisioned folder is the one that compose mounts, and the data source is compose's Prometheus."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/soundscene.yaml").read_text())["providers"][0]
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    mounts = dict(mount.split(":")[:2] for mount in services["grafana"]["volumes"])
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{TARGET.name}"
    assert source["url"] == "http://prometheus:9090"
