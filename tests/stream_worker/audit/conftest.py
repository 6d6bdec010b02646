"""An empty city and the bundle of its worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundscene_worker.broker.memory import MemoryCluster
from tests.stream_worker.audit.city import RATE_HZ, City


@pytest.fixture
def city() -> Iterator[City]:
    """An empty one."""
    with MemoryCluster() as cluster:
        yield City(cluster)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with as much of a bundle as the auditor reads; its windows are those of GEOMETRY."""
    front_end = {
        "sample_rate_hz": RATE_HZ,
        "patch_frames": 2,
        "delta_width_frames": 3,
        "hop_size_samples": 500,
        "window_size_samples": 1_500,
        "step_frames": 4,
    }
    manifest = {"front_end": front_end, "fusion": {"smoothing_windows": 2}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path
