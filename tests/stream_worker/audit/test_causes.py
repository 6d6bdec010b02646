"""Each window that could not be told is counted under the cause that was planted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from soundscene_worker.audit.auditor import Auditor
from soundscene_worker.audit.rules import Rules
from soundscene_worker.audit.verdict import Verdict
from soundscene_worker.messages.dead_letter import DeadLetterOffice, DeadLetterPolicy
from tests.stream_worker.audit.city import EPOCH_MS, GEOMETRY, City, make_header, make_prediction

HOLE_OF_A_SECOND = 5  # windows of half a second, every quarter of a second, that touch it


def untold(city: City) -> dict[str, int]:
    """Publish what must exist and return the causes of the rest."""
    wanted = city.auditor.audit().missing_windows
    for window in wanted:
        index = window.first_sample // GEOMETRY.step_samples
        city.publish(make_prediction(index, window.run.device, window.run.session))
    verdict = city.auditor.audit()
    assert verdict.is_good
    return dict(verdict.untold.get("mic-1", {}))


def test_a_chunk_that_was_never_sent(city: City) -> None:
    """Its number is missing as its samples are."""
    city.hear_seconds(0, 2)
    assert untold(city) == {"never_sent": HOLE_OF_A_SECOND}


def test_a_gap_between_consecutive_chunks(city: City) -> None:
    """The sensor counted its chunks on, but not its samples."""
    city.hear_seconds(0)
    city.hear(replace(make_header(2), sequence=1))
    assert untold(city) == {"gap": HOLE_OF_A_SECOND}


def test_a_gap_of_years_costs_no_time(city: City) -> None:
    """Windows of one hole are counted, not listed."""
    city.hear_seconds(0, 10**9)
    assert untold(city) == {"never_sent": 4 * 10**9 - 4 + 1}


@pytest.mark.parametrize(
    ("letter_of", "cause"),
    [
        (None, "rejected"),
        ({}, "dead_lettered"),
        ({"partition": 1}, "rejected"),
        ({"offset": 0}, "rejected"),
        ({"topic": "other"}, "rejected"),
    ],
)
def test_a_chunk_that_was_rejected(city: City, letter_of: dict[str, Any] | None, cause: str) -> None:
    """A dead letter that names it makes it dead-lettered, and one that names another record does not."""
    city.hear_seconds(0)
    city.producer.send("chunks", b"mic-1", b"\0", make_header(1).pack(), partition=0)
    city.hear_seconds(2)
    if letter_of is not None:
        city.cluster.admin().ensure_topics({"letters": 1})
        refused = next(record for record in city.cluster.read_to_end("chunks") if record.value == b"\0")
        named = replace(refused, **letter_of)
        letter = DeadLetterOffice(DeadLetterPolicy()).write(named, "truncated", "too short", 0.0)
        assert letter is not None
        city.producer.send("letters", letter.key, letter.value, letter.headers)
    city.auditor = replace(city.auditor, dead_letters_topic="letters")
    assert untold(city) == {cause: HOLE_OF_A_SECOND}


def test_a_chunk_beyond_the_hold_back(city: City) -> None:
    """It came, but too late, even when the hole had been given up before."""
    city.hear_seconds(0, *range(2, 13), 1)
    assert untold(city) == {"late": HOLE_OF_A_SECOND}


def test_a_window_that_lacks_sound_for_two_causes(city: City) -> None:
    """It counts once, under the one that comes first along the way of the sound."""
    city.hear_seconds(0)
    city.producer.send("chunks", b"mic-1", b"\0", make_header(1).pack(), partition=0)
    city.hear_seconds(*range(3, 14), 2)
    assert untold(city) == {"rejected": HOLE_OF_A_SECOND, "late": 4}


def test_a_session_that_was_closed_and_went_on(city: City) -> None:
    """All samples are in the log, on both sides of a silence."""
    city.hear_seconds(0)
    for number in range(1, 123):
        city.hear(make_header(number, device="clock"))
    for number in range(1, 13):
        city.hear(make_header(number), timestamp_ms=EPOCH_MS + 123_000)
    assert untold(city) == {"closed": 1}


def test_a_device_that_another_one_crowds_out(city: City) -> None:
    """The limit of devices is the worker's; what it closes is explained."""
    city.auditor = replace(city.auditor, rules=Rules(devices_per_partition=1))
    city.hear_seconds(0)
    city.hear_seconds(0, device="mic-2")
    city.hear_seconds(*range(1, 13))
    assert untold(city) == {"closed": 1}


def judged(city: City, since_seconds: float, until_seconds: float) -> Verdict:
    times = [EPOCH_MS + round(1000 * seconds) for seconds in (since_seconds, until_seconds)]
    return Auditor(city.cluster, "chunks", "predictions", GEOMETRY, since_ms=times[0], until_ms=times[1]).audit()


def test_a_time_range_judges_the_windows_that_its_chunks_complete(city: City) -> None:
    """Windows across its beginning count, those before and after do not."""
    city.hear_seconds(*range(20))
    verdict = judged(city, 5.0, 10.0)
    firsts = [window.first_sample // GEOMETRY.step_samples for window in verdict.missing_windows]
    assert firsts == list(range(4 * 5 - 1, 4 * 10 - 1))


def test_predictions_outside_the_range_are_no_surprise(city: City) -> None:
    """They were published in time or will be judged by another audit."""
    city.hear_seconds(*range(20))
    city.publish(*(make_prediction(index) for index in range(79)))
    assert judged(city, 5.0, 10.0).is_good


def test_faults_outside_the_range_are_another_audits(city: City) -> None:
    """Contradictions of windows before it, and windows of no sound beside its hole, are not judged; its own hole is."""
    city.hear_seconds(*(second for second in range(40) if second != 7))
    kept = [index for index in range(159) if not 26 < index < 32]
    city.publish(*(make_prediction(index) for index in kept), replace(make_prediction(2), scene="tram"))
    city.publish(make_prediction(200), make_prediction(29, session="of before"))
    assert judged(city, 5.0, 20.0).is_good
    city.publish(make_prediction(29))
    verdict = judged(city, 5.0, 20.0)
    assert (verdict.total.unexpected, verdict.total.differing, verdict.total.missing) == (1, 0, 0)
    city.publish(replace(make_prediction(40), scene="tram"))
    assert judged(city, 5.0, 20.0).total.differing == 1


def test_a_hole_before_the_range_is_another_audits(city: City) -> None:
    """It was given up before: neither its windows nor predictions of them are counted again."""
    city.hear_seconds(*(second for second in range(40) if second != 7))
    city.publish(*(make_prediction(index) for index in range(159)))
    verdict = judged(city, 20.0, 30.0)
    assert verdict.is_good
    assert verdict.total.expected == 40
    assert verdict.untold == {}
