"""What tests of more than one package share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

# As the worker does. Processes of several tests share the cores, where numpy's threads that wait for each other only
# burn them: on two cores `test_commit_order.py` takes 70 s of processor time with two threads and 39 with one, and 40 s
# by the clock with either. numpy reads this once, when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from soundscene.bundle import Bundle, write_bundle
from soundscene.frontend import Standardisation
from soundscene.fusion import FusionSettings
from soundscene.settings import NETWORK_NAMES, FrontEndSettings

REPOSITORY = Path(__file__).parents[1]
GOLDEN = REPOSITORY / "tests" / "golden"
TINY_NETWORKS = REPOSITORY / "tests" / "golden" / "tiny_networks"

NAME_NO_TEXT = os.fsdecode(b"caf\xe9.wav")
"""A file name in Latin-1, as archives from other systems leave behind: it is no UTF-8."""

needs_names_of_any_bytes = pytest.mark.skipif(
    sys.platform != "linux", reason="this system takes file names in UTF-8 only"
)

Arrays = Mapping[str, NDArray[np.float32]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the arrays in tests/golden with today's")


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Callable[[str, Arrays], Arrays]:
    """Function of a name and today's arrays that returns the stored ones, rewritten first under --update-golden."""

    def stored(name: str, arrays: Arrays) -> Arrays:
        path = GOLDEN / f"{name}.npz"
        if request.config.getoption("--update-golden"):
            np.savez_compressed(path, allow_pickle=False, **arrays)
        if not path.is_file():
            pytest.fail(f"no {path.relative_to(REPOSITORY)}: write it once with `pytest --update-golden`")
        with np.load(path) as archive:
            return dict(archive)

    return stored


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
def real_recordings() -> Callable[[str], Path]:
    """Find a folder of real recordings by name; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("SOUNDSCENE_SHARED_DATA", REPOSITORY.parent / "shared" / "data")) / name
        if not folder.is_dir():
            pytest.skip(f"no folder {folder}; SOUNDSCENE_SHARED_DATA says where the recordings are")
        return folder

    return find
