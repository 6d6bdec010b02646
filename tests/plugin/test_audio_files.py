from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from soundscene.audio_files import AudioFile, extend
from soundscene.errors import AudioError, SettingsError
from soundscene.settings import FrontEndSettings
from soundscene.windows import WindowGrid
from tests.conftest import NAME_NO_TEXT, needs_names_of_any_bytes

SETTINGS = FrontEndSettings()
RATE = SETTINGS.sample_rate_hz


def _noise(seconds: float, rate: int = RATE, channels: int = 1) -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    return generator.normal(0.0, 0.1, (round(seconds * rate), channels)).astype(np.float32)


def _write(path: Path, samples: NDArray[np.float32], rate: int = RATE, **options: Any) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def _windows(path: Path, short_clip: str | None = None) -> list[NDArray[np.float32]]:
    with AudioFile(path) as file:
        return [window.samples for window in file.windows(SETTINGS, short_clip)]


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_windows_lie_where_the_grid_says(tmp_path: Path, rate: int) -> None:
    """Every complete window of the file comes once, in order, with exactly its samples."""
    samples = _noise(12.0, rate)
    path = _write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    grid = WindowGrid(rate, SETTINGS)
    windows = _windows(path)
    assert len(windows) == grid.count(len(samples)) == 4
    for index, window in enumerate(windows):
        first, end = grid.span(index)
        np.testing.assert_array_equal(window, samples[first:end, 0])


def test_channels_are_averaged(tmp_path: Path) -> None:
    """Stereo becomes the mean of its channels."""
    samples = _noise(5.5, channels=2)
    (window,) = _windows(_write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    np.testing.assert_allclose(window, samples.mean(axis=1)[: len(window)], atol=1e-7)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "PCM_16"}),
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.flac", {"subtype": "PCM_24"}),
        ("a.aiff", {}),
        ("a.ogg", {}),
        ("a.mp3", {}),
    ],
)
def test_any_container_is_read_without_complaint(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    """A sound file of any common format has its duration and no defect."""
    path = _write(tmp_path / name, _noise(5.5), **options)
    with AudioFile(path) as file:
        assert len(list(file.windows(SETTINGS))) == 1
        assert file.duration_seconds == pytest.approx(5.5, abs=0.1)
        assert file.defect is None


@needs_names_of_any_bytes
def test_a_name_need_not_be_text(tmp_path: Path) -> None:
    """A file named in Latin-1 is read as any other."""
    path = _write(tmp_path / "a.wav", _noise(5.0)).rename(tmp_path / NAME_NO_TEXT)
    assert len(_windows(path)) == 1


def test_a_file_is_never_held_whole(tmp_path: Path) -> None:
    """Blocks stay small, also with hundreds of channels."""
    path = _write(tmp_path / "a.wav", _noise(0.5, channels=200))
    with AudioFile(path) as file:
        sizes = [len(block) for block in file.blocks()]
    assert sum(sizes) == round(0.5 * RATE)
    assert max(sizes) * 200 <= 1 << 15


@pytest.mark.parametrize(("rule", "tail"), [("repeat", "again"), ("silence", "nothing")])
def test_a_short_clip_is_extended_to_one_window(tmp_path: Path, rule: str, tail: str) -> None:
    """The clip begins the window; then it comes again, or silence does."""
    samples = _noise(2.0)[:, 0]
    path = _write(tmp_path / "a.wav", samples, subtype="FLOAT")
    (window,) = _windows(path, rule)
    assert len(window) == SETTINGS.window_length_samples
    np.testing.assert_array_equal(window[: len(samples)], samples)
    expected = samples if tail == "again" else np.zeros_like(samples)
    np.testing.assert_array_equal(window[len(samples) : 2 * len(samples)], expected)
    assert _windows(path) == []


def test_an_unknown_rule_is_refused() -> None:
    """Extending knows two rules."""
    with pytest.raises(SettingsError, match="short_clip"):
        extend(np.zeros(3, np.float32), 5, "loop")


def _with(value: float, path: Path) -> None:
    samples = _noise(7.0)
    samples[100_000] = value
    soundfile.write(path, samples, RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("missing.wav", lambda path: None, "no such file"),
        ("folder.wav", Path.mkdir, "not a file"),
        ("empty.wav", Path.touch, "empty"),
        ("text.wav", lambda path: path.write_text("not audio at all"), "not an audio file"),
        ("bytes.raw", lambda path: path.write_bytes(bytes(1000)), "cannot be read"),
        ("none.wav", lambda path: soundfile.write(path, _noise(0.0), RATE), "no sound"),
        ("nan.wav", partial(_with, np.nan), "NaN or infinity near 2"),
        ("infinite.wav", partial(_with, -np.inf), "NaN or infinity near 2"),
        ("slow.wav", lambda path: soundfile.write(path, _noise(0.1), 100), "100 Hz is not between"),
        ("fast.wav", lambda path: soundfile.write(path, _noise(0.1), 2**31 - 1), "is not between"),
    ],
)
def test_a_file_that_is_no_sound_is_one_clear_line(tmp_path: Path, name: str, make: Any, message: str) -> None:
    """Each error names the file, says what is wrong, and fits on a line."""
    path = tmp_path / name
    make(path)
    with pytest.raises(AudioError, match=message) as caught:
        _windows(path, "repeat")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.au"])
def test_a_truncated_file_gives_what_it_holds_and_says_so(tmp_path: Path, name: str) -> None:
    """The windows before the end come, and the defect names both lengths."""
    path = _write(tmp_path / name, _noise(12.0))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with AudioFile(path) as file:
        assert len(list(file.windows(SETTINGS))) == 1
        assert file.defect is not None
        assert "of the 12.00 s" in file.defect


@pytest.mark.parametrize("promised", [0, 2**36 - 1])
def test_a_header_that_lies_about_its_length_costs_nothing(tmp_path: Path, promised: int) -> None:
    """FLAC headers that promise 18 days, or leave the length open, are read like any other."""
    path = _write(tmp_path / "a.flac", _noise(6.0))
    content = bytearray(path.read_bytes())
    stream_info = int.from_bytes(content[18:26], "big") & ~(2**36 - 1)
    content[18:26] = (stream_info | promised).to_bytes(8, "big")
    path.write_bytes(content)
    with AudioFile(path) as file:
        assert len(list(file.windows(SETTINGS))) == 1
        assert file.duration_seconds == pytest.approx(6.0)
        assert (file.defect is None) == (promised == 0)


def test_a_wav_from_a_pipe_is_sound(tmp_path: Path) -> None:
    """Sizes that a program could not know when it wrote the header are not taken for promises."""
    path = _write(tmp_path / "a.wav", _noise(6.0))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    with AudioFile(path) as file:
        assert len(list(file.windows(SETTINGS))) == 1
        assert file.defect is None
