from __future__ import annotations

import subprocess
import sys

import pytest

import soundscene

HEAVY = ("numpy", "scipy", "essentia", "gammatone", "ai_edge_litert", "soundfile", "soxr", "matplotlib", "tensorflow")

PUBLIC_NAMES = [
    "NETWORK_NAMES",
    "AudioError",
    "AudioFile",
    "Bundle",
    "BundleError",
    "Calibration",
    "FileAnalysis",
    "FrontEndSettings",
    "FusionSettings",
    "MissingExtraError",
    "Reason",
    "SceneClassifier",
    "SceneError",
    "SettingsError",
    "Window",
    "WindowAssembler",
    "WindowGrid",
    "WindowVerdict",
    "__version__",
    "analyze_file",
    "decide",
    "load_bundle",
    "smooth",
    "write_bundle",
]


def test_the_public_names_are_these() -> None:
    """Adding or dropping a public name is a decision, made here too."""
    assert soundscene.__all__ == PUBLIC_NAMES
    assert set(PUBLIC_NAMES) <= set(dir(soundscene))


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_every_public_name_exists(name: str) -> None:
    """No name is announced that cannot be had."""
    assert getattr(soundscene, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typing slip reads as for any module."""
    with pytest.raises(AttributeError, match="no attribute 'classify'"):
        _ = soundscene.classify  # type: ignore[attr-defined]  # the point of the test


@pytest.mark.parametrize("module", ["soundscene", "soundscene.cli"])
def test_importing_is_silent_and_loads_nothing_heavy(module: str) -> None:
    """Libraries load when first used, and nothing is printed."""
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout.strip(), run.stderr) == ("", "")


def test_classifying_needs_neither_tensorflow_nor_kafka() -> None:
    """The plugin's own modules, all loaded, bring in no library of training or of the worker."""
    code = (
        "import sys, soundscene; [getattr(soundscene, name) for name in soundscene.__all__];"
        "print(*(name for name in ('tensorflow', 'keras', 'kafka', 'prometheus_client', 'matplotlib', 'librosa')"
        " if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
