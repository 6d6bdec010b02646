"""JSON Schemas (draft 2020-12) of the messages, published with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

__all__ = ["CHUNK_HEADERS", "SCENE_PREDICTION", "load_schema"]

SCENE_PREDICTION: Final = "scene-prediction.v1.json"
CHUNK_HEADERS: Final = "audio-chunk-headers.v1.json"


def load_schema(name: str) -> dict[str, Any]:
    """Read one of the schemas by its file name."""
    schema: dict[str, Any] = json.loads(files(__name__).joinpath(name).read_text(encoding="utf-8"))
    return schema
