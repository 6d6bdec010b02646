from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene import plotting
from soundscene.analysis import FileAnalysis, analyze_file
from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier
from soundscene.errors import MissingExtraError, SettingsError
from soundscene.frontend import FrontEnd
from soundscene.plotting import Spectrogram, plot_analysis, plot_paths, require_matplotlib
from soundscene.settings import FrontEndSettings
from soundscene.synthesis import synthesise
from soundscene.windows import WindowGrid

RATE = 44_100


def _analyse(bundle: Bundle, path: Path) -> tuple[FileAnalysis, Spectrogram]:
    classifier = SceneClassifier(bundle)
    spectrogram = Spectrogram(classifier.front_end)
    return analyze_file(path, classifier, spectrogram.add), spectrogram


def test_the_spectrogram_of_windows_is_that_of_the_whole_signal(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """No frame is drawn twice or left out where windows overlap."""
    signal = synthesise("tram", 10.0, RATE, np.random.default_rng(0))
    soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="FLOAT")
    _, spectrogram = _analyse(tiny_bundle, tmp_path / "a.wav")
    mel, _ = FrontEnd(tiny_bundle.front_end).stft_bands(signal)
    drawn = spectrogram.decibels
    assert drawn.shape == (128, 136 + 2 * 64)
    np.testing.assert_allclose(drawn, mel[: drawn.shape[1]].T * 10.0 / np.log(10.0), atol=1e-3)


def test_a_long_file_is_averaged_down_to_the_width_of_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns stay few, and together they still last as long as the sound."""
    monkeypatch.setattr(plotting, "_MAX_COLUMNS", 64)
    settings = FrontEndSettings()
    grid = WindowGrid(RATE, settings)
    spectrogram = Spectrogram(FrontEnd(settings))
    for index in range(10):
        spectrogram.add(grid.window(index, np.full(grid.length_samples, 0.01, np.float32)))
    columns = spectrogram.decibels.shape[1]
    assert 32 <= columns <= 64
    frames = 136 + 9 * 64
    assert columns * spectrogram.seconds_per_column == pytest.approx(frames * 1600 / RATE, rel=0.05)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("seconds", [2.0, 12.0])
def test_a_picture_is_drawn_in_every_format(tiny_bundle: Bundle, tmp_path: Path, suffix: str, seconds: float) -> None:
    """Also of a short clip, of silence, and with a file name that matplotlib would read as a formula."""
    signal = synthesise("bus", seconds, RATE, np.random.default_rng(0))
    signal[-6 * RATE :] = 0.0
    soundfile.write(tmp_path / "a_$x^{$.wav", signal, RATE)
    plot_analysis(*_analyse(tiny_bundle, tmp_path / "a_$x^{$.wav"), tmp_path / f"out{suffix}")
    assert (tmp_path / f"out{suffix}").stat().st_size > 5000
    if suffix == ".svg":
        assert "1 not assessable" in (tmp_path / "out.svg").read_text(), "the last window is silent"


def test_long_analyses_are_averaged_into_columns(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Score columns are means of neighbouring windows and cover the same time."""
    soundfile.write(tmp_path / "a.wav", synthesise("park", 20.0, RATE, np.random.default_rng(0)), RATE)
    analysis, _ = _analyse(tiny_bundle, tmp_path / "a.wav")
    edges, scores = plotting._score_columns(analysis)
    assert scores.shape == (7, 4)
    monkeypatch.setattr(plotting, "_MAX_COLUMNS", 4)
    few_edges, few_scores = plotting._score_columns(analysis)
    assert few_scores.shape == (4, 4)
    np.testing.assert_allclose(few_scores[0], scores[:2].mean(axis=0))
    np.testing.assert_allclose(few_scores[3], scores[6])
    np.testing.assert_array_equal(few_edges, edges[[0, 2, 4, 6, 7]])


def test_each_file_gets_a_path_of_its_own(tmp_path: Path) -> None:
    """One file takes the name given; files of the same name in two folders do not overwrite each other."""
    target = tmp_path / "out.png"
    assert plot_paths(target, [Path("a.wav")]) == [target]
    names = [path.name for path in plot_paths(target, [Path("x/a.wav"), Path("y/a.wav"), Path("b.ogg")])]
    assert names == ["out-a.png", "out-a-2.png", "out-b.png"]


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The suffix must be a picture's and the folder must exist."""
    with pytest.raises(SettingsError, match=r"\.png, \.pdf, \.svg"):
        plot_paths(tmp_path / "out.wav", [Path("a.wav")])
    with pytest.raises(SettingsError, match="no folder"):
        plot_paths(tmp_path / "nowhere" / "out.png", [Path("a.wav")])


def test_without_matplotlib_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'soundscene\[plot\]'"):
        require_matplotlib()
