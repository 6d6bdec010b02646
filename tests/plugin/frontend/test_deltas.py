"""Delta and delta-delta as a matrix."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from soundscene.frontend.deltas import delta_kernel, delta_matrix


def test_deltas_are_librosas() -> None:
    """Both deltas equal librosa's regression, applied once and twice, away from the edges it makes up."""
    spectrum = np.random.default_rng(0).standard_normal((136, 8)).astype(np.float32)
    out = (spectrum.T @ delta_matrix(128, 5)).reshape(8, 128, 3)
    once = librosa.feature.delta(spectrum.T.astype(np.float64), width=5)
    twice = librosa.feature.delta(once, width=5)
    np.testing.assert_allclose(out[..., 0], spectrum.T[:, 4:-4], atol=1e-7)
    np.testing.assert_allclose(out[..., 1], once[:, 4:-4], atol=1e-6)
    np.testing.assert_allclose(out[..., 2], twice[:, 4:-4], atol=1e-6)


@pytest.mark.parametrize("width", [3, 5, 9])
def test_a_ramp_has_its_slope(width: int) -> None:
    """The delta of a straight line is its slope per frame, and the delta-delta is zero."""
    frames = 10 + 2 * (width - 1)
    out = (0.25 * np.arange(frames, dtype=np.float32)[None] @ delta_matrix(10, width)).reshape(10, 3)
    np.testing.assert_allclose(out[:, 1], 0.25, atol=1e-5)
    np.testing.assert_allclose(out[:, 2], 0.0, atol=1e-5)
    assert delta_kernel(width).sum() == pytest.approx(0.0, abs=1e-12)


def test_the_matrix_cannot_be_changed() -> None:
    """It is shared by all callers, so writing to it is refused."""
    with pytest.raises(ValueError, match="read-only"):
        delta_matrix(128, 5)[0, 0] = 1.0
