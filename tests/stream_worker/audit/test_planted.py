"""In what a real worker published, every loss and every contradiction that is planted is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundscene.classifier import SceneClassifier
from soundscene_worker.audit.auditor import Auditor
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.verdict import DeviceVerdict
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.broker.protocol import Record
from soundscene_worker.messages.chunk import encode_chunk
from soundscene_worker.messages.prediction import ScenePrediction, decode_prediction, encode_prediction
from tests.stream_worker.loop_stage import CHUNKS, PREDICTIONS, Sensor, Start, run_to_the_end

FATES = ("kept", "dropped", "repeated", "contradicted", "about another place")


@pytest.fixture
def whole(cluster: MemoryCluster, start: Start) -> list[ScenePrediction]:
    """All predictions of a run without faults; their topic is empty again."""
    run_to_the_end(start())
    records = list(cluster.read_to_end(PREDICTIONS))
    cluster.topics[PREDICTIONS][0].records.clear()
    return [decode_prediction(record.value or b"") for record in records]


def written(prediction: ScenePrediction, fate: str) -> list[ScenePrediction]:
    other = next(label for label in prediction.scores if label != prediction.scene)
    return {
        "kept": [prediction],
        "dropped": [],
        "repeated": [prediction, prediction],
        "contradicted": [prediction, replace(prediction, scene=other)],
        "about another place": [replace(prediction, first_sample=prediction.first_sample + 1)],
    }[fate]


def due(device: str, fates: list[tuple[ScenePrediction, str]]) -> DeviceVerdict:
    """What the auditor must say of a device."""
    mine = [fate for prediction, fate in fates if prediction.device == device]
    return DeviceVerdict(
        expected=len(mine),
        published=len(mine) - mine.count("dropped"),
        missing=mine.count("dropped"),
        repeated=mine.count("repeated") + mine.count("contradicted"),
        differing=mine.count("contradicted") + mine.count("about another place"),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_planted_is_found(
    cluster: MemoryCluster, classifier: SceneClassifier, whole: list[ScenePrediction], data: st.DataObject
) -> None:
    """Any mixture of lost, repeated, contradicted and false predictions is counted to the last one, by device."""
    fates = [(prediction, data.draw(st.sampled_from(FATES))) for prediction in whole]
    bundle = classifier.bundle
    manifest = {"front_end": bundle.front_end.to_dict(), "fusion": bundle.fusion.to_dict()}
    with MemoryCluster() as copy:
        copy.admin().ensure_topics({PREDICTIONS: 1})
        copy.topics[CHUNKS] = cluster.topics[CHUNKS]
        for prediction, fate in fates:
            for shown in written(prediction, fate):
                copy.producer().send(PREDICTIONS, *encode_prediction(shown))
        verdict = Auditor(copy, CHUNKS, PREDICTIONS, Geometry.of_manifest(manifest)).audit()
    assert verdict.devices == {device: due(device, fates) for device in sorted({p.device for p in whole})}
    assert verdict.is_good == all(fate in {"kept", "repeated"} for _, fate in fates)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(lost=st.integers(0, 13))
def test_sound_that_never_came_is_no_loss_of_the_worker(
    cluster: MemoryCluster, classifier: SceneClassifier, start: Start, lost: int
) -> None:
    """A second taken out of the log: what a worker then publishes is good, and what cannot be told is explained."""
    with MemoryCluster() as copy:
        copy.admin().ensure_topics({CHUNKS: 2, PREDICTIONS: 1})
        for log, kept in zip(cluster.topics[CHUNKS], copy.topics[CHUNKS], strict=True):
            ours = [record for record in log.records if not is_lost(record, lost)]
            kept.records.extend(replace(record, offset=offset) for offset, record in enumerate(ours))
        run_to_the_end(replace(start, cluster=copy)())
        bundle = classifier.bundle
        manifest = {"front_end": bundle.front_end.to_dict(), "fusion": bundle.fusion.to_dict()}
        verdict = Auditor(copy, CHUNKS, PREDICTIONS, Geometry.of_manifest(manifest)).audit()
    assert verdict.is_good
    assert set(verdict.untold) == (
        {"a"} if 0 < lost < 12 else set()
    )  # before the sound, or in the end that fills no window
    assert all(set(causes) <= {"never_sent", "gap"} for causes in verdict.untold.values())


def test_sound_that_comes_again_after_a_silence_contradicts_nothing(
    classifier: SceneClassifier, start: Start, sensors: list[Sensor]
) -> None:
    """A sensor that was cut off for longer than a session may be quiet, and then sends ten known seconds once more."""
    bundle, sensor = classifier.bundle, sensors[0]
    manifest = {"front_end": bundle.front_end.to_dict(), "fusion": bundle.fusion.to_dict()}
    other = Sensor("other", 44_100, np.zeros(44_100 * 150, np.float32))
    sent = [(sensor, second) for second in range(12)]
    sent += [(other, second) for second in range(150)]
    sent += [(sensor, second) for second in range(2, 14)]
    with MemoryCluster() as cluster:
        cluster.admin().ensure_topics({CHUNKS: 1, PREDICTIONS: 1})
        for at_seconds, (one, second) in enumerate(sent):
            first = 44_100 * second
            header = replace(one.header(first, 44_100), encoding="pcm_s16le")
            chunk = encode_chunk(header, one.samples[first : first + 44_100])
            cluster.producer().send(CHUNKS, *chunk, timestamp_ms=1_000 * at_seconds)
        run_to_the_end(replace(start, cluster=cluster)(), turns=60)
        predictions = [decode_prediction(record.value or b"") for record in cluster.read_to_end(PREDICTIONS)]
        verdict = Auditor(cluster, CHUNKS, PREDICTIONS, Geometry.of_manifest(manifest)).audit()
    once, again = (p for p in predictions if (p.device, p.first_sample) == ("a", 102_400))
    assert once.scores == pytest.approx(again.scores, abs=1e-5)
    assert once.smoothed_score != pytest.approx(again.smoothed_score, abs=1e-5)
    assert verdict.is_good
    assert verdict.devices["a"] == DeviceVerdict(expected=4, published=4, repeated=3)


def is_lost(record: Record, second: int) -> bool:
    return record.key == b"a" and record.header("ce_firstsample") == str(44_100 * second).encode()
