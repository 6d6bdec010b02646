"""Watching a running system: the same audit, again and again, as metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from soundscene_worker.audit.auditor import Auditor, Reading
from soundscene_worker.audit.causes import CAUSES
from soundscene_worker.audit.verdict import Verdict
from soundscene_worker.audit_metrics import AuditMetrics
from soundscene_worker.broker.errors import BrokerUnreachable

__all__ = ["Watch"]


@dataclass(slots=True)
class Watch:
    """Reads on and compares until it is stopped.

    Parameters
    ----------
    auditor : Auditor
        What is compared.
    grace_seconds : float >= 0
        How long a prediction may take, counted from when its last chunk was read, before it counts as missing.
    metrics : AuditMetrics
        Told after every look.
    clock : callable
        Returns seconds since 1970.
    """

    auditor: Auditor
    grace_seconds: float
    metrics: AuditMetrics = field(default_factory=AuditMetrics)
    clock: Callable[[], float] = time.time

    def run(self, wait: Callable[[], bool]) -> Verdict:
        """Look until `wait`, called between two looks, returns True; return the verdict of everything seen."""
        with Reading(self.auditor) as reading:
            is_over = False
            while not is_over:
                try:
                    self.look(reading)
                except BrokerUnreachable:  # the next look goes on where this one stopped
                    self.metrics.values = {**self.metrics.values, "audit_broker_reachable": 0}
                is_over = wait()
            reading.read_predictions()
            reading.finish()
            return reading.verdict(self.clock() - self.grace_seconds)

    def look(self, reading: Reading) -> None:
        """Read on in the topics and tell the metrics; chunks first, so that no prediction is a surprise."""
        reading.read_chunks(self.clock())
        reading.read_predictions()
        reading.read_letters()
        now = self.clock()
        verdict = reading.verdict(now - self.grace_seconds)
        awaited, oldest = reading.ledger.awaited(now - self.grace_seconds)
        missing = Counter(dict.fromkeys(CAUSES, 0))
        for counts in verdict.untold.values():
            missing.update(counts)
        total = verdict.total
        self.metrics.values = {
            "audit_broker_reachable": 1,
            "audit_last_look_timestamp_seconds": now,
            "audit_windows_expected": total.expected,
            "audit_windows_published": total.published,
            "audit_windows_missing": {**missing, "worker": total.missing},
            "audit_windows_differing": total.differing,
            "audit_windows_awaited": awaited,
            "audit_awaited_seconds": 0.0 if oldest is None else max(0.0, now - oldest),
        }
