"""Interpreters are made wherever networks can be read; a tidy stderr is no condition."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from soundscene._litert import make_interpreter
from tests.conftest import read_tiny_networks


def lowest_free_descriptor() -> int:
    descriptor = os.dup(2)
    os.close(descriptor)
    return descriptor


def test_without_a_place_for_temporary_files_networks_are_loaded_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A full disk or a missing folder costs the hiding of a line, and leaves nothing open."""
    network = read_tiny_networks()["mel.tflite"]
    make_interpreter(network)  # imports the library
    free = lowest_free_descriptor()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert make_interpreter(network).get_input_details()
    assert lowest_free_descriptor() == free
