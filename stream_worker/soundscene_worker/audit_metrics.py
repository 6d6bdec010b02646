"""What a watching auditor tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from soundscene_worker.metric_list import AUDIT_METRICS

__all__ = ["AuditMetrics"]


@dataclass(slots=True, eq=False)
class AuditMetrics(Collector):
    """Values of `metric_list.AUDIT_METRICS`; those with a label hold a mapping of its value to a number."""

    values: Mapping[str, Any] = field(default_factory=dict)

    def registry(self) -> CollectorRegistry:
        """Return a registry that holds these metrics alone."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called by the server's threads."""
        values = self.values
        for definition in AUDIT_METRICS:
            family = GaugeMetricFamily(definition.full_name, definition.meaning, labels=definition.labels)
            found = values.get(definition.name, {} if definition.labels else 0)
            for label, value in found.items() if definition.labels else ((None, found),):
                family.add_metric([] if label is None else [label], value)
            yield family
