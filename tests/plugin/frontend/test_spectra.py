"""Power spectra by Essentia."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from scipy import signal

from soundscene.frontend.spectra import PowerSpectra
from soundscene.settings import FrontEndSettings


def test_spectra_are_those_of_a_periodic_hann_window() -> None:
    """Essentia, asked explicitly, gives the squared FFT of a periodic Hann window, zero-padded, without a gain."""
    settings = FrontEndSettings()
    samples = np.random.default_rng(0).standard_normal(30_000).astype(np.float32)
    spectra = PowerSpectra(settings)
    out = np.empty((3, spectra.bin_count), np.float32)
    spectra.into(out, samples, 2)
    window = signal.get_window("hann", 4_096, fftbins=True)
    for row, frame in enumerate(range(2, 5)):
        piece = samples[frame * 1_600 : frame * 1_600 + 4_096].astype(np.float64)
        expected = np.abs(np.fft.rfft(piece * window, 8_192)) ** 2
        np.testing.assert_allclose(out[row], expected, rtol=1e-3, atol=1e-3)


def test_essentia_is_loaded_late_and_in_silence() -> None:
    """Importing the front end loads no Essentia; building one prints nothing."""
    code = (
        "import sys, soundscene.frontend as f; from soundscene.settings import FrontEndSettings as S;"
        "assert not {'essentia', 'gammatone', 'scipy', 'soxr'} & set(sys.modules); f.FrontEnd(S())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
