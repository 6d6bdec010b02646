"""A watching auditor tells what is awaited, what is missing, and ends with the verdict."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import generate_latest

from soundscene_worker.audit.follow import Watch
from tests.stream_worker.audit.city import EPOCH_MS, City, make_header, make_prediction


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


def test_what_was_due_before_watching_began_is_not_awaited(city: City) -> None:
    """Chunks are read from further back, so that windows are whole; only those completed since then count."""
    city.hear_seconds(*range(21))
    watch = Watch(replace(city.auditor, since_ms=EPOCH_MS + 19_000), grace_seconds=30.0)
    watch.run(lambda: True)
    assert watch.metrics.values["audit_windows_awaited"] == 2 * 4
    assert watch.metrics.values["audit_windows_missing"]["worker"] == 0


def test_a_broker_that_is_away_is_told_and_costs_nothing(city: City) -> None:
    """The metrics keep what was seen last, and the next look goes on from there."""
    watch, told = Watch(city.auditor, grace_seconds=0.0), []
    city.hear_seconds(0)
    city.publish(*(make_prediction(index) for index in range(3)))

    def wait() -> bool:
        values = watch.metrics.values
        told.append((values["audit_broker_reachable"], values["audit_windows_published"]))
        if len(told) == 2:
            city.cluster.outage(False)
            city.hear_seconds(1)
            city.publish(*(make_prediction(index) for index in range(3, 7)))
        else:
            city.cluster.outage(len(told) == 1)
        return len(told) == 3

    assert watch.run(wait).is_good
    assert told == [(1, 3), (0, 3), (1, 7)]


def test_a_look_tells_every_count_under_its_own_name(city: City) -> None:
    """Causes of all devices are added up, the dead letters' among them, and no count stands for another."""
    city.cluster.admin().ensure_topics({"letters": 1})
    city.hear_seconds(0)
    city.producer.send("chunks", b"mic-1", b"\0", make_header(1).pack(), partition=0)
    origin = [("origin_topic", b"chunks"), ("origin_partition", b"0"), ("origin_offset", b"1")]
    city.producer.send("letters", None, b"", origin)
    city.hear_seconds(*range(2, 14))
    city.hear_seconds(0, *range(2, 14), device="mic-2")
    city.publish(make_prediction(0), make_prediction(8), replace(make_prediction(8), scene="tram"))
    watch = Watch(replace(city.auditor, dead_letters_topic="letters"), grace_seconds=0.0, clock=lambda: 1000.0)
    watch.run(lambda: True)
    values, missing = watch.metrics.values, watch.metrics.values["audit_windows_missing"]
    names = ("expected", "published", "differing", "awaited")
    assert [values[f"audit_windows_{name}"] for name in names] == [100, 2, 1, 0]
    assert {cause: count for cause, count in missing.items() if count} == {
        "never_sent": 5,
        "dead_lettered": 5,
        "worker": 98,
    }
