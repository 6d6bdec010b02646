"""Scores of clips are those that are served, and cannot be read back as those of other windows, clips or labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier
from soundscene.fusion import Calibration
from soundscene_train.assessment.clip_scores import ClipScores, score_clips
from soundscene_train.datasets import Clip
from soundscene_train.distortions import Distortion
from soundscene_train.errors import TrainingError

_OWNER = np.repeat(np.arange(4), 3)


@pytest.fixture
def fields() -> dict[str, Any]:
    """Four clips of three windows each, with two labels."""
    names = ("a.wav", "b.wav", "c.wav", "d.wav")
    return {
        "windows": np.full((3, 12, 2), 0.5),
        "clip_of_window": _OWNER,
        "truth": np.array([0, 1, 0, 1]),
        "labels": ("bus", "tram"),
        "devices": ("",) * 4,
        "groups": names,
        "parts": ("1",),
        "names": names,
    }


def test_scores_are_read_back_as_they_were_written(fields: dict[str, Any], tmp_path: Path) -> None:
    """What `save` wrote, `load` gives."""
    scores = ClipScores(**fields, temperature=2.5)
    scores.save(tmp_path)
    back = ClipScores.load(tmp_path)
    for name in ClipScores.__slots__:
        np.testing.assert_array_equal(getattr(back, name), getattr(scores, name))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("windows", np.full((3, 11, 2), 0.5), "for 12 windows"),
        ("windows", np.full((2, 12, 2), 0.5), "of 2 networks, not of 3"),
        ("clip_of_window", _OWNER.clip(0, 2), "not those of 4 clips"),
        ("clip_of_window", _OWNER + 1, "not those of 4 clips"),
        ("names", ("a.wav",), "not those of 4 clips"),
        ("devices", ("",) * 5, "not those of 4 clips"),
        ("groups", ("a.wav",), "not those of 4 clips"),
        ("truth", np.array([0, 1, 0, 2]), "beyond the 2"),
    ],
)
def test_scores_that_do_not_fit_together_are_one_line(
    fields: dict[str, Any], tmp_path: Path, name: str, value: Any, reason: str
) -> None:
    """A file of other windows or clips is told, with what makes it anew, instead of failing in the middle of a test."""
    np.savez(tmp_path / "scores.npz", **(fields | {name: value}))
    with pytest.raises(TrainingError, match=reason) as refusal:
        ClipScores.load(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.fixture(name="clips")
def write_clips(tmp_path: Path) -> list[Clip]:
    """A clip of two seconds, and one of that repeated to the length of a window."""
    samples = 0.1 * np.random.default_rng(0).standard_normal(88_200).astype(np.float32)
    for name, sound in (("short", samples), ("whole", np.resize(samples, 220_096)), ("other", samples[::2])):
        soundfile.write(tmp_path / f"{name}.wav", sound, 44_100, subtype="FLOAT")
    return [Clip(tmp_path / f"{name}.wav", "park", "1", device=name) for name in ("short", "whole", "other")]


def test_clips_are_scored_as_they_are_served(tiny_bundle: Bundle, clips: list[Clip]) -> None:
    """A short clip is repeated, each is told when it is done, and the scores know the temperature that they have."""
    told: list[tuple[int, int]] = []
    bundle = replace(tiny_bundle, calibration=Calibration(2.5, "320 clips"))
    scores = score_clips(SceneClassifier(bundle), clips, None, lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(scores.windows[:, 0], scores.windows[:, 1], atol=1e-6)
    assert np.abs(scores.windows[:, 2] - scores.windows[:, 0]).max() > 1e-3
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert (scores.temperature, scores.devices, scores.truth.tolist()) == (2.5, ("short", "whole", "other"), [1] * 3)
    for index, fused in enumerate(scores.fused_windows("product")):
        joined = scores.windows[:, index].prod(axis=0) ** (1.0 / 2.5)
        np.testing.assert_allclose(fused, joined / joined.sum(), atol=1e-6)
        np.testing.assert_allclose(scores.fused("product")[index], fused, atol=1e-12)


def test_each_clip_is_spoilt_itself(tiny_bundle: Bundle, clips: list[Clip]) -> None:
    """Through a distortion that changes nothing, every clip has the scores that it has without one."""
    nothing = Distortion("nothing", "gain", lambda samples, *_: samples)
    plain, spoilt = (score_clips(SceneClassifier(tiny_bundle), clips, one) for one in (None, nothing))
    np.testing.assert_allclose(spoilt.windows, plain.windows, atol=1e-6)


def test_clips_of_labels_that_the_bundle_does_not_know_are_refused(tiny_bundle: Bundle, clips: list[Clip]) -> None:
    """They are named, beside those that it knows."""
    with pytest.raises(TrainingError, match="expected clips of the bundle's labels bus, park, square, tram; got dog"):
        score_clips(SceneClassifier(tiny_bundle), [clips[0], replace(clips[1], label="dog")])
