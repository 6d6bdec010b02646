from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from soundscene.bundle import Bundle
from soundscene.cli import main
from soundscene.cli.info import bundle_to_dict, bundle_to_text
from soundscene.settings import NETWORK_NAMES


def test_json_holds_sizes_hashes_and_settings(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything a script may ask of a bundle, in one object."""
    assert main(["info", str(tiny_bundle.directory), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["version"], facts["hash"]) == ("tiny", "1", tiny_bundle.hash)
    assert facts["labels"] == list(tiny_bundle.labels)
    assert facts["networks"]["mel"]["parameters"] == 186
    assert facts["total"] == {
        "parameters": 558,
        "parameter_bytes": 558 * 4,
        "multiply_adds": 3 * 165_912,
        "file_bytes": sum(len(content) for content in tiny_bundle.networks.values()),
    }
    assert facts["front_end"] == tiny_bundle.front_end.to_dict()
    for name, file in facts["files"].items():
        content = (tiny_bundle.directory / name).read_bytes()
        assert file == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_both_readings_of_128_kb_are_told(tiny_bundle: Bundle) -> None:
    """Three networks of 10,922 parameters fit 131,072 bytes and exceed 128,000."""
    paper = replace(tiny_bundle, parameters=dict.fromkeys(NETWORK_NAMES, 10_922))
    facts = bundle_to_dict(paper)
    assert facts["total"]["parameter_bytes"] == 131_064
    assert facts["limits"] == {
        "128 KiB": {"bytes": 131_072, "fits": True},
        "128 kB": {"bytes": 128_000, "fits": False},
    }
    text = bundle_to_text(facts)
    assert "128 KiB = 131,072 bytes: fits, 8 bytes to spare" in text
    assert "128 kB = 128,000 bytes: does not fit, 3,064 bytes over" in text


def test_the_page_names_everything(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels, hash, networks, front end, origin and files are on it."""
    assert main(["info", str(tiny_bundle.directory)]) == 0
    page = capsys.readouterr().out
    for wanted in (*tiny_bundle.labels, tiny_bundle.hash, *NETWORK_NAMES, "hop_size_samples", "make.py", "mel.tflite"):
        assert wanted in page


def test_a_damaged_bundle_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused as it would be for classifying."""
    (tmp_path / "manifest.json").write_text("{}")
    assert main(["info", str(tmp_path)]) == 2
    assert "format version None" in capsys.readouterr().err
