"""Filterbanks as matrices, and their products by bands."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundscene.frontend.filterbanks import BandedMatrix, gammatone_matrix, hz_to_mel, mel_matrix, mel_to_hz
from soundscene.settings import FrontEndSettings


def test_the_mel_matrix_is_librosas() -> None:
    """The mel bank equals librosa's with its defaults made explicit."""
    expected = librosa.filters.mel(
        sr=44_100, n_fft=8_192, n_mels=128, fmin=10.0, fmax=22_050.0, htk=False, norm="slaney", dtype=np.float64
    )
    np.testing.assert_allclose(mel_matrix(FrontEndSettings()), expected, atol=1e-12)


@given(st.floats(0.0, 96_000.0))
def test_the_mel_scale_can_be_undone(frequency_hz: float) -> None:
    """Every frequency is found again from its mels, across the break at 1 kHz."""
    assert mel_to_hz(hz_to_mel(np.array([frequency_hz])))[0] == pytest.approx(frequency_hz, rel=1e-9, abs=1e-9)


def test_bands_run_from_low_to_high() -> None:
    """In both banks the frequency of the peak never falls from one band to the next."""
    for matrix in (mel_matrix(FrontEndSettings()), gammatone_matrix(FrontEndSettings())):
        assert matrix.shape == (128, 4_097)
        assert (np.diff(matrix.argmax(axis=1)) >= 0).all()
        assert (matrix.max(axis=1) > 0.0).all()


@given(
    bands=st.integers(1, 20), group_bands=st.integers(1, 25), frames=st.integers(0, 7), seed=st.integers(0, 2**32 - 1)
)
def test_a_banded_product_is_the_product(bands: int, group_bands: int, frames: int, seed: int) -> None:
    """Whatever the grouping, leaving out zeros changes nothing; a band without weights gives zeros."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((bands, 30))
    for row in matrix:
        low, high = sorted(rng.integers(0, 31, 2))
        row[:low], row[high:] = 0.0, 0.0
    spectra = rng.random((frames, 30)).astype(np.float32)
    np.testing.assert_allclose(BandedMatrix(matrix, group_bands)(spectra), spectra @ matrix.T, atol=1e-4)


def test_a_tolerance_cuts_only_the_ends_of_bands() -> None:
    """Small weights are left out at the ends of a group; what lies between large ones stays."""
    matrix = np.array([[1e-6, 1.0, 1e-6, 1.0, 1e-6]])
    banded = BandedMatrix(matrix, 1, tolerance=1e-3)
    np.testing.assert_allclose(banded(np.eye(5, dtype=np.float32))[:, 0], [0.0, 1.0, 1e-6, 1.0, 0.0], rtol=1e-6)
