"""A watching auditor tells what is awaited, what is missing, and ends with the verdict."""

from __future__ import annotations

from prometheus_client import generate_latest

from soundscene_worker.audit.follow import Watch
from tests.stream_worker.audit.city import City, make_prediction


def test_a_prediction_is_awaited_and_then_missing(city: City) -> None:
    """Within the grace period nothing is a loss; after it what is not there is, until it comes."""
    now, told = [1000.0], []
    watch = Watch(city.auditor, grace_seconds=30.0, clock=lambda: now[0])
    city.hear_seconds(0)
    city.publish(make_prediction(0))

    def wait() -> bool:
        told.append(dict(watch.metrics.values))
        now[0] += 20.0
        if len(told) == 3:
            city.publish(make_prediction(1))
        return len(told) == 4

    verdict = watch.run(wait)
    assert [look["audit_windows_awaited"] for look in told] == [2, 2, 0, 0]
    assert [look["audit_awaited_seconds"] for look in told] == [0.0, 20.0, 0.0, 0.0]
    assert [look["audit_windows_missing"]["worker"] for look in told] == [0, 0, 2, 1]
    assert [look["audit_windows_expected"] for look in told] == [1, 1, 3, 3]
    assert verdict.total.missing == 1
    text = generate_latest(watch.metrics.registry()).decode()
    assert 'soundscene_audit_windows_missing{cause="worker"} 1.0' in text
