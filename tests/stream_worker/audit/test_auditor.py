"""The auditor finds every planted loss, and none where there is none."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from soundscene.errors import SettingsError
from soundscene_worker.audit.follow import Watch
from soundscene_worker.audit.verdict import DeviceVerdict
from soundscene_worker.broker.errors import TopicMissing
from soundscene_worker.messages.prediction import ModelReference, ScenePrediction, prediction_id
from tests.stream_worker.audit.city import EPOCH_MS, GEOMETRY, MODEL, City, make_header, make_prediction

WINDOWS_OF_3_SECONDS = 11  # of half a second, every quarter of a second


def publish_all(city: City) -> list[ScenePrediction]:
    """Three seconds of sound and every prediction of them."""
    city.hear_seconds(0, 1, 2)
    predictions = [make_prediction(index) for index in range(WINDOWS_OF_3_SECONDS)]
    city.publish(*predictions)
    return predictions


def test_a_faultless_run_is_good(city: City) -> None:
    """Every window published once: nothing to say against it."""
    publish_all(city)
    verdict = city.auditor.audit()
    assert verdict.is_good
    assert verdict.total == DeviceVerdict(expected=WINDOWS_OF_3_SECONDS, published=WINDOWS_OF_3_SECONDS)
    assert verdict.models == {MODEL.hash: "demo 1"}
    assert verdict.chunks["mic-1"].chunks == 3


def test_nothing_at_all_is_good(city: City) -> None:
    """Empty topics hold no loss."""
    assert city.auditor.audit().is_good


def test_a_dropped_prediction_is_missing(city: City) -> None:
    """And it is said which one."""
    city.hear_seconds(0, 1, 2)
    city.publish(*(make_prediction(index) for index in range(WINDOWS_OF_3_SECONDS) if index != 4))
    verdict = city.auditor.audit()
    assert not verdict.is_good
    assert verdict.total.missing == 1
    assert [window.first_sample for window in verdict.missing_windows] == [4 * GEOMETRY.step_samples]


def test_a_worker_that_never_ran_misses_everything(city: City) -> None:
    """No prediction at all is no excuse."""
    city.hear_seconds(0, 1, 2)
    assert city.auditor.audit().total == DeviceVerdict(expected=11, missing=11)


def test_a_repetition_is_counted_and_allowed(city: City) -> None:
    """Delivery is at least once: other latencies and differences below 1e-5 are no contradiction."""
    first = publish_all(city)[3]
    nearly = replace(first, scores={"park": 0.750009, "tram": 0.249991}, latency_seconds={}, level_dbfs=-30.000009)
    city.publish(nearly, nearly)
    verdict = city.auditor.audit()
    assert verdict.is_good
    assert verdict.total.repeated == 2


@pytest.mark.parametrize(
    "alter",
    [
        lambda p: replace(p, scene="tram"),
        lambda p: replace(p, level_dbfs=-30.1),
        lambda p: replace(p, scores={"park": 0.7499, "tram": 0.2501}),
        lambda p: replace(p, scores={"park": 0.75, "bus": 0.25}),
        lambda p: replace(p, scores={"park": 0.75, "truck": 0.25}),
        lambda p: replace(p, networks=dict.fromkeys(p.networks, "tram")),
        lambda p: replace(p, first_sample=0),
        lambda p: replace(p, smoothed_scene="tram"),
        lambda p: replace(p, smoothed_score=0.5),
        lambda p: replace(p, level_dbspl=60.0),
        lambda p: replace(p, level_dbspl=0.0),
        lambda p: replace(p, assessable=False),
        lambda p: replace(p, reasons=("silent",)),
        lambda p: replace(p, start=p.end),
        lambda p: replace(p, end=p.start),
        lambda p: replace(p, sample_count=5_000),
        lambda p: replace(p, session="b"),
    ],
)
def test_a_contradiction_differs(city: City, alter: Callable[[ScenePrediction], ScenePrediction]) -> None:
    """Two answers to the same question are a fault, whichever is right."""
    city.publish(alter(publish_all(city)[3]))
    verdict = city.auditor.audit()
    assert not verdict.is_good
    assert verdict.total == DeviceVerdict(expected=11, published=11, repeated=1, differing=1)


def test_a_session_that_comes_again_may_smooth_from_its_new_beginning(city: City) -> None:
    """Closed for silence and sent once more, a window has the same scores, and fewer windows before it to average."""
    predictions = publish_all(city)
    for number in range(150):  # of somebody else, longer than a session may be quiet
        city.hear(make_header(number, "mic-2"), timestamp_ms=EPOCH_MS + 3_000 + 1_000 * number)
    for number in (1, 2):
        city.hear(make_header(number), timestamp_ms=EPOCH_MS + 153_000 + 1_000 * number)
    city.publish(replace(predictions[4], smoothed_score=0.6, smoothed_scene="tram"), *predictions[5:])
    assert city.auditor.audit().devices["mic-1"] == DeviceVerdict(expected=11, published=11, repeated=7)
    city.publish(replace(predictions[4], scene="tram"), replace(predictions[3], smoothed_score=0.6))
    assert city.auditor.audit().devices["mic-1"].differing == 2


def test_a_contradiction_is_not_taken_back(city: City) -> None:
    """Whoever repeats the first answer afterwards does not undo it."""
    first = publish_all(city)[3]
    city.publish(replace(first, scene="tram"), first)
    assert city.auditor.audit().total == DeviceVerdict(expected=11, published=11, repeated=2, differing=1)


@pytest.mark.parametrize(
    "other",
    [{"device": "mic-2"}, {"session": "b"}, {"first_sample": 0}, {"sample_count": 4_001}, {"sample_rate": 8_001}],
)
def test_a_prediction_of_other_samples_than_its_id_differs(city: City, other: dict[str, Any]) -> None:
    """Even when there is only one."""
    city.hear_seconds(0)
    city.publish(make_prediction(0), make_prediction(1), replace(make_prediction(2), **other))
    assert city.auditor.audit().total == DeviceVerdict(expected=3, published=3, differing=1)


def test_a_window_across_a_gap_is_unexpected(city: City) -> None:
    """Sound that was never heard cannot be classified."""
    city.hear_seconds(0, 2)
    city.publish(*(make_prediction(index) for index in (0, 1, 2, 8, 9, 10)), make_prediction(3))
    verdict = city.auditor.audit()
    assert not verdict.is_good
    assert verdict.total == DeviceVerdict(expected=6, published=6, unexpected=1)


def test_order_and_repetition_of_chunks_do_not_matter(city: City) -> None:
    """Within the hold-back."""
    city.hear_seconds(2, 0, 0, 1, 2)
    city.publish(*(make_prediction(index) for index in range(WINDOWS_OF_3_SECONDS)))
    assert city.auditor.audit().is_good


def test_a_late_chunk_holds_no_samples(city: City) -> None:
    """What came after the hold-back was ignored, and must not have been used."""
    city.hear_seconds(0, *range(2, 13), 1)
    kept = [index for index in range(51) if not 2 < index < 8]
    city.publish(*(make_prediction(index) for index in kept if index < 51))
    verdict = city.auditor.audit()
    assert verdict.chunks["mic-1"].late == 1
    assert verdict.is_good


def test_an_undecodable_chunk_holds_no_samples(city: City) -> None:
    """A dead letter is no loss of the worker's."""
    city.hear_seconds(0)
    city.producer.send("chunks", b"mic-1", b"\0", make_header(1).pack(), partition=0)
    city.publish(*(make_prediction(index) for index in range(3)))
    verdict = city.auditor.audit()
    assert verdict.chunks["mic-1"].refused == 1
    assert verdict.is_good


def test_a_restart_begins_anew(city: City) -> None:
    """Two sessions share no window, though their samples have the same numbers."""
    city.hear_seconds(0, session="a")
    city.hear_seconds(0, session="b")
    both = [make_prediction(index, session=session) for session in "ab" for index in range(3)]
    city.publish(*both)
    assert city.auditor.audit().total == DeviceVerdict(expected=6, published=6)


def test_a_quiet_session_is_over(city: City) -> None:
    """By the log's clock, which other devices move on: sound before and after makes no common window."""
    city.hear_seconds(0)
    for number in range(1, 123):
        city.hear(make_header(number, device="clock"))
    city.hear(make_header(1), timestamp_ms=EPOCH_MS + 123_000)
    city.publish(*(make_prediction(index) for index in (0, 1, 2, 4, 5, 6)))
    verdict = city.auditor.audit().devices["mic-1"]
    assert verdict == DeviceVerdict(expected=6, published=6)


def test_another_rate_is_another_run(city: City) -> None:
    """Its windows are counted at the bundle's rate, and need a sample more."""
    city.hear_seconds(0, 1, rate_hz=16_000)
    city.publish(*(make_prediction(index, rate_hz=16_000) for index in range(6)))
    assert city.auditor.audit().total == DeviceVerdict(expected=6, published=6)


def test_devices_are_judged_apart(city: City) -> None:
    """The verdict names who lost what, and sums it up."""
    city.hear_seconds(0)
    city.hear_seconds(0, device="mic-2")
    city.publish(make_prediction(0), make_prediction(1), make_prediction(2), make_prediction(0, device="mic-2"))
    verdict = city.auditor.audit()
    assert verdict.devices["mic-1"].is_good
    assert verdict.devices["mic-2"] == DeviceVerdict(expected=3, published=1, missing=2)
    assert verdict.total == DeviceVerdict(expected=6, published=4, missing=2)


def by_another_bundle(prediction: ScenePrediction) -> ScenePrediction:
    model = ModelReference("next", "2", "cd" * 32)
    name = prediction_id(prediction.device, prediction.session, 8_000, prediction.first_sample, model.hash)
    return dataclasses.replace(prediction, id=name, model=model, scene="tram")


def test_an_upgrade_loses_nothing(city: City) -> None:
    """A window published by either bundle is published; each bundle may be audited alone."""
    city.hear_seconds(0)
    city.publish(make_prediction(0), make_prediction(1), by_another_bundle(make_prediction(1)))
    city.publish(by_another_bundle(make_prediction(2)))
    assert city.auditor.audit().total == DeviceVerdict(expected=3, published=3)
    alone = replace(city.auditor, model="cd" * 32).audit()
    assert alone.total == DeviceVerdict(expected=3, published=2, missing=1)


def test_an_audit_of_one_bundle_leaves_the_other_alone(city: City) -> None:
    """Neither what the other one says twice, nor its contradictions, nor its windows of nothing are this one's."""
    city.hear_seconds(0)
    city.publish(*(make_prediction(index) for index in range(3)))
    other = [by_another_bundle(make_prediction(index)) for index in (0, 7)]
    city.publish(*other, replace(other[0], scene="park"))
    assert replace(city.auditor, model=MODEL.hash).audit().total == DeviceVerdict(expected=3, published=3)
    both = city.auditor.audit().total
    assert both == DeviceVerdict(expected=3, published=3, repeated=1, differing=1, unexpected=1)


def test_a_window_that_two_bundles_contradict_differs_once(city: City) -> None:
    """Windows are counted, not predictions."""
    city.hear_seconds(0)
    for index in range(3):
        for first in (make_prediction(index), by_another_bundle(make_prediction(index))):
            city.publish(first, replace(first, level_dbfs=-40.0))
    assert city.auditor.audit().total == DeviceVerdict(expected=3, published=3, repeated=6, differing=3)


def test_a_name_that_several_bundles_bear_is_refused(city: City) -> None:
    """Exports of one name and version are told apart by their hashes."""
    city.hear_seconds(0)
    namesake = by_another_bundle(make_prediction(0))
    city.publish(make_prediction(0), replace(namesake, model=replace(namesake.model, name="demo", version="1")))
    with pytest.raises(SettingsError, match="several hashes"):
        replace(city.auditor, model="demo@1").audit()


def test_foreign_records_are_counted(city: City) -> None:
    """Something else on the predictions topic is no prediction, and no failure, watched or not."""
    city.producer.send("predictions", b"mic-1", b"hello")
    good = make_prediction(0).to_dict()
    for damage in ({"first_sample": 2**63}, {"device": "\ud800"}):
        city.producer.send("predictions", b"mic-1", json.dumps(good | damage).encode())
    assert city.auditor.audit().foreign == 3
    assert Watch(city.auditor, grace_seconds=0.0).run(lambda: True).foreign == 3


def test_a_dead_letter_that_is_none_is_passed_over(city: City) -> None:
    """Whatever stands in its headers, the audit goes on."""
    city.cluster.admin().ensure_topics({"letters": 1})
    for offset in (b"many", b"9" * 20, b"-1", b"9" * 5_000):
        headers = [("origin_topic", b"chunks"), ("origin_partition", b"0"), ("origin_offset", offset)]
        city.producer.send("letters", None, None, headers)
    publish_all(city)
    assert replace(city.auditor, dead_letters_topic="letters").audit().is_good


def test_waiting_ends_when_nothing_is_missing(city: City) -> None:
    """A worker that is still busy is given its time."""
    city.hear_seconds(0)
    rest = iter([[make_prediction(0)], [make_prediction(1), make_prediction(2)], []])
    verdict = city.auditor.audit(60.0, sleep=lambda _: city.publish(*next(rest)))
    assert verdict.is_good
    assert next(rest) == []


def test_waiting_ends_when_the_time_is_up(city: City) -> None:
    """With the verdict of the last look."""
    city.hear_seconds(0)
    now = iter(range(100))
    verdict = city.auditor.audit(3.0, monotonic=lambda: float(next(now)), sleep=lambda _: None)
    assert verdict.total.missing == 3


def test_chunks_that_arrive_meanwhile_are_no_surprise(city: City) -> None:
    """On a live log, predictions may be of chunks younger than those read."""
    city.hear_seconds(0)

    def go_on(_: float) -> None:
        city.hear_seconds(1)
        city.publish(*(make_prediction(index) for index in range(7)))

    verdict = city.auditor.audit(60.0, sleep=go_on)
    assert verdict.total == DeviceVerdict(expected=3, published=3)


def test_predictions_of_another_length_need_another_bundle(city: City) -> None:
    """Judged by the wrong bundle everything would be missing: the message says what to do."""
    city.publish(replace(make_prediction(0), sample_count=5_000))
    with pytest.raises(SettingsError, match="--bundle"):
        city.auditor.audit()


def test_a_missing_topic_is_named(city: City) -> None:
    """A misspelt name is an error, not a loss."""
    with pytest.raises(TopicMissing, match="chunkz"):
        replace(city.auditor, chunks_topic="chunkz").audit()
