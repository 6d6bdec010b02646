from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from soundscene.assessment import LEVEL_FLOOR_DBFS, Assessment, Reason, assess
from soundscene.errors import AudioError

SURE = np.array([0.9, 0.1])
COUNT = 44_100


def _sine(amplitude: float) -> NDArray[np.float32]:
    return (amplitude * np.sin(2 * np.pi * 441.0 * np.arange(COUNT) / 44_100)).astype(np.float32)


def _assess(samples: NDArray[Any]) -> Assessment:
    return assess(samples.astype(np.float32), SURE)


@pytest.mark.parametrize("gain_db", [0.0, -6.0, -20.0, -60.0])
def test_the_level_is_the_rms_in_db_below_full_scale(gain_db: float) -> None:
    """A sine of amplitude 1 is -3.01 dBFS, and gain shifts it by as much."""
    level = _assess(_sine(10.0 ** (gain_db / 20.0))).level_dbfs
    assert level == pytest.approx(gain_db - 3.0103, abs=1e-3)


def test_digital_silence_has_the_floor_as_level_and_is_silent() -> None:
    """Zeros do not give minus infinity."""
    assessment = _assess(np.zeros(COUNT))
    assert assessment.level_dbfs == LEVEL_FLOOR_DBFS
    assert assessment.reasons == (Reason.SILENT,)


def test_a_recording_of_ordinary_level_is_assessable() -> None:
    """Noise at -30 dBFS raises no objection."""
    assert not _assess(np.random.default_rng(0).normal(0.0, 0.03, COUNT)).reasons


@pytest.mark.parametrize(("level_dbfs", "silent"), [(-75.0, False), (-85.0, True)])
def test_silence_is_what_lies_below_the_stated_level(level_dbfs: float, silent: bool) -> None:
    """The threshold is -80 dBFS."""
    noise = np.random.default_rng(0).normal(0.0, 10.0 ** (level_dbfs / 20.0), COUNT)
    assert (Reason.SILENT in _assess(noise).reasons) is silent


@pytest.mark.parametrize(("share", "clipped"), [(0.009, False), (0.011, True)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_clipping_is_a_share_of_samples_at_full_scale(share: float, clipped: bool, sign: float) -> None:
    """More than 1 % at either end of the scale is clipped."""
    samples = np.random.default_rng(0).normal(0.0, 0.05, COUNT)
    samples[: round(share * COUNT)] = sign
    assert (Reason.CLIPPED in _assess(samples).reasons) is clipped


def test_a_microphone_stuck_at_the_rail_is_silent_clipped_and_dc() -> None:
    """A constant is loud as a level but holds no sound; reasons keep their order."""
    assessment = _assess(np.ones(COUNT))
    assert assessment.level_dbfs == pytest.approx(0.0)
    assert assessment.reasons == (Reason.SILENT, Reason.CLIPPED, Reason.DC)


@pytest.mark.parametrize(("offset", "fault"), [(0.05, False), (-0.15, True)])
def test_a_constant_offset_is_a_fault_of_its_own(offset: float, fault: bool) -> None:
    """A mean beyond a tenth of full scale is reported, in either direction."""
    assert (Reason.DC in _assess(_sine(0.2) + offset).reasons) is fault


def test_a_weak_best_score_is_unsure() -> None:
    """The bundle's threshold decides; 0 believes every verdict."""
    scores = np.array([0.4, 0.35, 0.25])
    assert assess(_sine(0.1), scores, unsure_below=0.5).reasons == (Reason.UNSURE,)
    assert assess(_sine(0.1), scores).reasons == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(bad: float) -> None:
    """One bad sample is an error, not a level."""
    samples = _sine(0.1)
    samples[7] = bad
    with pytest.raises(AudioError, match="finite"):
        _assess(samples)


def test_the_reasons_are_a_closed_set() -> None:
    """Consumers may rely on these four words."""
    assert [str(reason) for reason in Reason] == ["silent", "clipped", "dc", "unsure"]
