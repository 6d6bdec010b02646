"""A sensor hears its recordings as they are, and scenes that go on for ever."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.errors import AudioError, SettingsError
from soundscene_worker.sensor.sources import Recordings, Scene, find_audio
from tests.conftest import NAME_NO_TEXT, needs_names_of_any_bytes


def tone(seconds: float, rate_hz: int, channels: int = 1) -> np.ndarray:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.repeat(0.5 * np.sin(2 * np.pi * 440 * time)[:, np.newaxis], channels, axis=1).astype(np.float32)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with two tones, one of them deeper inside, and something else."""
    (tmp_path / "inner").mkdir()
    soundfile.write(tmp_path / "b.wav", tone(1.5, 8_000), 8_000, subtype="FLOAT")
    soundfile.write(tmp_path / "inner" / "a.flac", tone(1.0, 16_000, 2), 16_000)
    (tmp_path / "notes.txt").write_text("none")
    return tmp_path


def test_audio_is_found_in_folders(recordings: Path) -> None:
    """Sorted, at any depth, and nothing else; a file named outright is taken as it is."""
    names = [path.name for path in find_audio([recordings, recordings / "notes.txt"])]
    assert names == ["b.wav", "a.flac", "notes.txt"]


def test_a_recording_is_heard_as_it_is(recordings: Path) -> None:
    """At its own rate, sample for sample, with its own channels."""
    source = Recordings((recordings / "b.wav",))
    assert source.sample_rate_hz == 8_000
    assert source.seconds == 1.5
    np.testing.assert_array_equal(np.concatenate(list(source.blocks())), tone(1.5, 8_000))


@needs_names_of_any_bytes
def test_a_name_need_not_be_text(recordings: Path) -> None:
    """A recording named in Latin-1 is heard as any other."""
    source = Recordings(((recordings / "b.wav").rename(recordings / NAME_NO_TEXT),))
    assert sum(map(len, source.blocks())) == 12_000


def test_recordings_follow_each_other_at_one_rate(recordings: Path) -> None:
    """The first one's, unless another is asked for; the tone stays the same tone."""
    paths = (recordings / "b.wav", recordings / "inner" / "a.flac")
    source = Recordings(paths)
    blocks = [block[:, 0] for block in source.blocks()]
    sound = np.concatenate(blocks)
    assert source.sample_rate_hz == 8_000
    assert abs(len(sound) - 2.5 * 8_000) <= 2
    np.testing.assert_allclose(sound[13_000:19_000], tone(2, 8_000)[1_000:7_000, 0], atol=2e-3)
    assert Recordings(paths, 44_100).sample_rate_hz == 44_100


def test_a_loop_has_no_end(recordings: Path) -> None:
    """Recordings begin again."""
    source = Recordings((recordings / "b.wav",), is_looped=True)
    assert source.seconds is None
    assert sum(map(len, itertools.islice(source.blocks(), 3))) == 3 * 12_000


@pytest.mark.parametrize("name", ["notes.txt", "empty.wav"])
def test_what_is_no_sound_is_refused_at_once(recordings: Path, name: str) -> None:
    """With the file's name, before anything is sent."""
    soundfile.write(recordings / "empty.wav", np.zeros((0, 1), np.float32), 8_000)
    with pytest.raises(AudioError, match=name):
        Recordings((recordings / "b.wav", recordings / name))


def test_paths_without_audio_are_refused(tmp_path: Path) -> None:
    """An empty folder and a missing file."""
    with pytest.raises(AudioError, match="no audio in"):
        find_audio([tmp_path])
    with pytest.raises(AudioError, match="no such file"):
        find_audio([tmp_path / "x.wav"])


def test_pieces_of_a_scene_fade_into_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal power: nowhere a jump that a listener would take for a click, and never more than full scale."""
    scene = Scene("metro", 8_000, np.random.default_rng(1))
    levels = (0.5, -0.5, 0.9, 0.9)
    monkeypatch.setattr(scene, "_pieces", lambda: iter([np.full(16_000, level, np.float32) for level in levels]))
    blocks = scene.blocks()
    sound = np.concatenate([next(blocks)[:, 0] for _ in levels])
    fade = 4_000
    assert len(sound) == len(levels) * (16_000 - fade)
    assert np.max(np.abs(np.diff(sound))) < 2 / np.sqrt(fade)
    assert np.max(sound) == 1.0
    joint = np.arange(fade) / fade
    ending, beginning = np.sqrt(joint[::-1]), np.sqrt(joint)
    first = 16_000 - fade
    np.testing.assert_allclose(sound[:first], 0.5)
    np.testing.assert_allclose(sound[first : first + fade], 0.5 * ending - 0.5 * beginning, atol=1e-6)
    np.testing.assert_allclose(sound[first + fade : 2 * first], -0.5)


def test_a_scene_has_one_level() -> None:
    """Throughout, whatever pieces it is made of, and never beyond full scale."""
    scene = Scene("metro", 8_000, np.random.default_rng(1))
    sound = np.concatenate(list(itertools.islice(scene.blocks(), 4)))[:, 0]
    assert len(sound) > 15 * 8_000
    assert np.max(np.abs(sound)) <= 1.0
    levels = [np.sqrt(np.mean(np.square(part))) for part in np.array_split(sound, 4)]
    assert max(levels) < 3 * min(levels)


def test_the_seed_decides_what_a_scene_is() -> None:
    """The same generator gives the same sound, another one another."""
    first, again, other = (
        np.concatenate(list(itertools.islice(Scene("park", 8_000, np.random.default_rng(seed)).blocks(), 2)))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_a_scene_costs_nothing_in_the_long_run() -> None:
    """After its first half minute it is made of what there is already, and goes on for ever."""
    blocks = Scene("park", 8_000, np.random.default_rng(1)).blocks()
    first = {block.tobytes()[8_000 * 4 :] for block in itertools.islice(blocks, 8)}
    later = [block.tobytes()[8_000 * 4 :] for block in itertools.islice(blocks, 20)]
    assert set(later) <= first


def test_an_unknown_scene_is_refused() -> None:
    """At once, with the list of those that there are."""
    with pytest.raises(SettingsError, match="park"):
        Scene("beach", 8_000, np.random.default_rng(1))
