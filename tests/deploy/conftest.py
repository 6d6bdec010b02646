"""What tests of rules and dashboards share."""

import pytest

from soundscene_worker.metric_list import AUDIT_METRICS, DEVICE_METRICS, METRICS


@pytest.fixture(scope="session")
def metric_labels() -> dict[str, set[str]]:
    """Every name under which Prometheus knows a metric of the worker, with its labels."""
    known: dict[str, set[str]] = {}
    for metric in (*METRICS, *DEVICE_METRICS, *AUDIT_METRICS):
        parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        known |= {metric.full_name + part: set(metric.labels) for part in parts}
    return known
