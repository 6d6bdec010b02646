"""A prediction is the same for everyone: fields, ids and schema are a contract."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from soundscene_worker.messages.prediction import (
    PREDICTION_SCHEMA_ID,
    InvalidPrediction,
    ModelReference,
    ScenePrediction,
    decode_prediction,
    encode_prediction,
    prediction_id,
)
from soundscene_worker.messages.schemas import CHUNK_HEADERS, SCENE_PREDICTION, load_schema

PREDICTION = ScenePrediction(
    id=prediction_id("mic-1", "a", 44_100, 102_400, "ab" * 32),
    device="mic-1",
    session="a",
    first_sample=102_400,
    sample_count=220_096,
    sample_rate=44_100,
    start=datetime(2026, 5, 1, 12, 0, 2, 321_995, UTC),
    end=datetime(2026, 5, 1, 12, 0, 7, 312_834, UTC),
    scene="park",
    score=0.75,
    scores={"park": 0.75, "tram": 0.25},
    networks={"mel": "park", "gammatone": "park", "cqt": "tram"},
    smoothed_scene="park",
    smoothed_score=0.5,
    assessable=False,
    reasons=("unsure",),
    level_dbfs=-31.5,
    level_dbspl=None,
    model=ModelReference("demo", "1", "ab" * 32),
    latency_seconds={"capture_to_worker": 0.25, "total": 0.5},
)
VALUE = json.loads(encode_prediction(PREDICTION)[1])
VALIDATOR = Draft202012Validator(load_schema(SCENE_PREDICTION))


def test_the_record_is_that_of_the_documentation() -> None:
    """Key, headers and the names and order of the fields are what consumers were promised."""
    key, value, headers = encode_prediction(PREDICTION)
    assert key == b"mic-1"
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"soundscene.scene.prediction.v1"),
        ("ce_source", b"/soundscene/worker"),
        ("ce_id", PREDICTION.id.encode()),
        ("ce_time", b"2026-05-01T12:00:07.312834Z"),
        ("ce_dataschema", b"urn:soundscene:schema:scene-prediction:v1"),
        ("content-type", b"application/json"),
    ]
    assert list(json.loads(value)) == [
        "id", "device", "session", "first_sample", "sample_count", "sample_rate", "start", "end", "scene", "score",
        "scores", "networks", "smoothed_scene", "smoothed_score", "assessable", "reasons", "level_dbfs",
        "level_dbspl", "model", "latency_seconds",
    ]  # fmt: skip


def test_a_prediction_comes_back_as_it_was() -> None:
    """Nothing is lost on the way."""
    assert decode_prediction(encode_prediction(PREDICTION)[1]) == PREDICTION
    calibrated = dataclasses.replace(PREDICTION, level_dbspl=62.5, scene="Öffentlicher Platz", reasons=())
    assert decode_prediction(encode_prediction(calibrated)[1]) == calibrated


def test_the_schemas_are_schemas() -> None:
    """Both are valid drafts of 2020-12, and the prediction's is the one its header names."""
    for name in (SCENE_PREDICTION, CHUNK_HEADERS):
        Draft202012Validator.check_schema(load_schema(name))
    assert load_schema(SCENE_PREDICTION)["$id"] == PREDICTION_SCHEMA_ID


def test_what_is_written_satisfies_the_schema() -> None:
    """The published schema describes what is sent, with and without a calibration."""
    VALIDATOR.validate(VALUE)
    VALIDATOR.validate(VALUE | {"level_dbspl": 60.0})


def test_every_field_is_required_and_described_by_the_schema() -> None:
    """A consumer may rely on each of them."""
    schema = load_schema(SCENE_PREDICTION)
    assert set(schema["required"]) == set(schema["properties"]) == set(VALUE)
    assert all("description" in part for part in schema["properties"].values())


@pytest.mark.parametrize("name", list(VALUE))
def test_a_field_of_another_kind_is_refused(name: str) -> None:
    """By the reader as by the schema; so is a missing one."""
    for damaged in (VALUE | {name: {"a": []}}, {key: value for key, value in VALUE.items() if key != name}):
        assert not VALIDATOR.is_valid(damaged)
        with pytest.raises(InvalidPrediction, match=name):
            decode_prediction(json.dumps(damaged).encode())


@pytest.mark.parametrize(
    "damage",
    [
        {"first_sample": 2**63},
        {"first_sample": -1},
        {"sample_count": 2**64},
        {"device": "\ud800"},
        {"reasons": ["\udfff"]},
        {"scores": {"\ud800": 1.0}},
        {"networks": {"mel": "\ud800"}},
    ],
)
def test_what_no_database_holds_is_refused(damage: dict[str, Any]) -> None:
    """Whole numbers below 0 or beyond 64 bits and halves of characters are valid JSON, and no prediction."""
    with pytest.raises(InvalidPrediction, match=next(iter(damage))):
        decode_prediction(json.dumps(VALUE | damage).encode())
    assert decode_prediction(json.dumps(VALUE | {"first_sample": 2**63 - 1}).encode()).first_sample == 2**63 - 1


@pytest.mark.parametrize("name", [name for name, value in VALUE.items() if type(value) in (int, float)])
def test_true_is_no_number(name: str) -> None:
    """By the reader as by the schema: what JSON calls true counts nothing and measures nothing."""
    damaged = VALUE | {name: True}
    assert not VALIDATOR.is_valid(damaged)
    with pytest.raises(InvalidPrediction, match=name):
        decode_prediction(json.dumps(damaged).encode())


def test_fields_of_a_later_version_are_left_out() -> None:
    """A reader of version 1 goes on reading when something is added."""
    assert decode_prediction(json.dumps(VALUE | {"more": 1}).encode()) == PREDICTION


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[]", b"{}", b"[" * 100_000, b'{"id":' + b"9" * 5_000 + b"}"])
def test_what_is_no_prediction_is_refused(value: bytes | None) -> None:
    """A foreign record on the topic raises the one error."""
    with pytest.raises(InvalidPrediction):
        decode_prediction(value)


@given(
    st.dictionaries(st.sampled_from(list(VALUE)), st.none() | st.booleans() | st.floats() | st.text() | st.integers())
)
def test_no_record_breaks_the_reader(damage: dict[str, Any]) -> None:
    """Values of any kind in any field are read or refused."""
    with contextlib.suppress(InvalidPrediction):
        decode_prediction(json.dumps(VALUE | damage).encode())


def test_numbers_that_json_cannot_write_are_refused() -> None:
    """Nobody receives a NaN."""
    with pytest.raises(InvalidPrediction, match="finite"):
        encode_prediction(dataclasses.replace(PREDICTION, level_dbfs=float("nan")))


def test_an_id_never_changes() -> None:
    """Ids already stored by consumers must be met again by later versions: this value is frozen."""
    assert prediction_id("mic-1", "a", 44_100, 0, "00" * 32) == "02ce2b502ed5d27e9d3cd73a2c43f825"


@given(st.lists(st.tuples(st.text(), st.text(), st.integers(), st.integers(), st.text()), unique=True, max_size=20))
def test_different_windows_have_different_ids(windows: list[tuple[str, str, int, int, str]]) -> None:
    """No two windows are taken for the same one, however their names are put together."""
    assert len({prediction_id(*window) for window in windows}) == len(windows)
