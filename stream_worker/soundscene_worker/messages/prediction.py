"""A scene prediction: what one window of one device sounds like, as every consumer of the topic reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from soundscene.errors import SceneError
from soundscene_worker.messages.cloud_events import Headers, pack_headers
from soundscene_worker.messages.json_fields import JsonFields
from soundscene_worker.messages.times import format_time

__all__ = [
    "PREDICTION_SCHEMA_ID",
    "PREDICTION_TYPE",
    "InvalidPrediction",
    "ModelReference",
    "ScenePrediction",
    "decode_prediction",
    "encode_prediction",
    "prediction_id",
]

PREDICTION_TYPE: Final = "soundscene.scene.prediction.v1"
PREDICTION_SCHEMA_ID: Final = "urn:soundscene:schema:scene-prediction:v1"


class InvalidPrediction(SceneError):  # noqa: N818 - what the record is
    """A record of the predictions topic is no prediction."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Which bundle made a prediction.

    Parameters
    ----------
    name, version : str
        As its manifest says.
    hash : str
        SHA-256 in hexadecimal: the bundle's identity.
    """

    name: str
    version: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePrediction:
    """One window's verdict; the fields are the JSON's, in its order.

    Parameters
    ----------
    id : str
        See `prediction_id`.
    device, session : str
        Whose sound it is.
    first_sample, sample_count, sample_rate : int
        Which sound: indices in the session, counted at the bundle's rate (Hz).
    start, end : datetime
        Capture times, UTC.
    scene : str
        Label with the highest score.
    score : float, 0 to 1
        Its score.
    scores : mapping of str to float
        Every label of the bundle; the sum is 1.
    networks : mapping of str to str
        Top label of `mel`, `gammatone` and `cqt`.
    smoothed_scene, smoothed_score
        The same over the last windows of the session.
    assessable : bool
        False when the verdict should not be believed.
    reasons : tuple of str
        Why not.
    level_dbfs : float
        RMS of the window relative to full scale, in dB.
    level_dbspl : float or None
        Sound pressure level in dB, for a calibrated device.
    model : ModelReference
        Which bundle.
    latency_seconds : mapping of str to float
        Seconds per stage. The only field that may differ when a window is scored again.
    """

    id: str
    device: str
    session: str
    first_sample: int
    sample_count: int
    sample_rate: int
    start: datetime
    end: datetime
    scene: str
    score: float
    scores: Mapping[str, float]
    networks: Mapping[str, str]
    smoothed_scene: str
    smoothed_score: float
    assessable: bool
    reasons: tuple[str, ...]
    level_dbfs: float
    level_dbspl: float | None
    model: ModelReference
    latency_seconds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the message."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {
            "start": format_time(self.start),
            "end": format_time(self.end),
            "scores": dict(self.scores),
            "networks": dict(self.networks),
            "reasons": list(self.reasons),
            "model": asdict(self.model),
            "latency_seconds": dict(self.latency_seconds),
        }


def prediction_id(device: str, session: str, source_rate_hz: int, first_sample: int, bundle_hash: str) -> str:
    """Name a window's prediction by a given bundle: the same at every attempt, on every worker.

    Parameters
    ----------
    device, session : str
        Whose sound it is.
    source_rate_hz : int
        Rate of the chunks.
    first_sample : int
        Of the window, at the bundle's rate.
    bundle_hash : str
        Hexadecimal.

    Returns
    -------
    str
        32 hexadecimal digits of a SHA-256.

    Examples
    --------
    >>> prediction_id("mic-1", "a", 44_100, 0, "00" * 32)
    '02ce2b502ed5d27e9d3cd73a2c43f825'
    """
    parts = json.dumps([device, session, source_rate_hz, first_sample, bundle_hash], separators=(",", ":"))
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def encode_prediction(prediction: ScenePrediction) -> tuple[bytes, bytes, Headers]:
    """Write a record: key, value and headers as a producer takes them.

    Raises
    ------
    InvalidPrediction
        A number is not finite: JSON has no way to write it.
    """
    try:
        value = json.dumps(prediction.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise InvalidPrediction(f"expected finite numbers in prediction {prediction.id}: {error}") from error
    attributes = {
        "type": PREDICTION_TYPE,
        "source": "/soundscene/worker",
        "id": prediction.id,
        "time": format_time(prediction.end),
        "dataschema": PREDICTION_SCHEMA_ID,
    }
    return prediction.device.encode(), value.encode(), pack_headers(attributes, "application/json")


def decode_prediction(value: bytes | None) -> ScenePrediction:
    """Read a prediction back; fields that a later version may add are left out.

    Raises
    ------
    InvalidPrediction
        It is not JSON, or a field is missing or of another kind.
    """
    try:
        fields = JsonFields.read(value)
        model = fields.object("model")
        return ScenePrediction(
            id=fields.text("id"),
            device=fields.text("device"),
            session=fields.text("session"),
            first_sample=fields.integer("first_sample"),
            sample_count=fields.integer("sample_count"),
            sample_rate=fields.integer("sample_rate"),
            start=fields.time("start"),
            end=fields.time("end"),
            scene=fields.text("scene"),
            score=fields.number("score"),
            scores=fields.object("scores").numbers(),
            networks=fields.object("networks").texts(),
            smoothed_scene=fields.text("smoothed_scene"),
            smoothed_score=fields.number("smoothed_score"),
            assessable=fields.flag("assessable"),
            reasons=fields.list_of_texts("reasons"),
            level_dbfs=fields.number("level_dbfs"),
            level_dbspl=fields.number_or_none("level_dbspl"),
            model=ModelReference(model.text("name"), model.text("version"), model.text("hash")),
            latency_seconds=fields.object("latency_seconds").numbers(),
        )
    except ValueError as error:
        raise InvalidPrediction(f"expected a prediction: {error}") from error
