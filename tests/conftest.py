"""What tests of more than one package share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from soundscene.bundle import Bundle, write_bundle
from soundscene.frontend import Standardisation
from soundscene.fusion import FusionSettings
from soundscene.settings import NETWORK_NAMES, FrontEndSettings

REPOSITORY = Path(__file__).parents[1]
TINY_NETWORKS = REPOSITORY / "tests" / "golden" / "tiny_networks"


def read_tiny_networks() -> dict[str, bytes]:
    return {f"{name}.tflite": (TINY_NETWORKS / f"{name}.tflite").read_bytes() for name in NETWORK_NAMES}


def make_tiny_manifest() -> dict[str, Any]:
    return {
        "name": "tiny",
        "version": "1",
        "description": "Random weights for tests; it knows nothing.",
        "labels": ["bus", "park", "square", "tram"],
        "front_end": FrontEndSettings().to_dict(),
        "standardisation": {name: Standardisation.identity().to_dict() for name in NETWORK_NAMES},
        "fusion": FusionSettings().to_dict(),
        "calibration": None,
        "parameters": dict.fromkeys(NETWORK_NAMES, 186),
        "multiply_adds": dict.fromkeys(NETWORK_NAMES, 165912),
        "provenance": {"command": "tests/golden/tiny_networks/make.py"},
        "metrics": {},
    }


@pytest.fixture
def tiny_networks() -> dict[str, bytes]:
    """File name to content of three tiny networks with random weights and four labels."""
    return read_tiny_networks()


@pytest.fixture
def tiny_manifest() -> dict[str, Any]:
    """Manifest fields that fit the tiny networks; a test may change its copy."""
    return make_tiny_manifest()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A complete bundle with tiny networks; no test may change its folder."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny", make_tiny_manifest(), read_tiny_networks())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings; the test is skipped where it is absent."""
    folder = Path(os.environ.get("SOUNDSCENE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; set SOUNDSCENE_SHARED_DATA")
    return folder
