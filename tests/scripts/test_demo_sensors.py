"""Which sensors the demo plans."""

from pathlib import Path

import pytest

from scripts.demo import sensors
from scripts.demo.sensors import EQUIPMENT, ESC10_SOUNDS, plan_sensors
from soundscene.synthesis import SCENE_NAMES


@pytest.fixture
def esc_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two empty files for each kind of sound, named as in ESC-50, and one that is none of them."""
    for target in (*ESC10_SOUNDS, "0"):
        for take in "AB":
            (tmp_path / f"1-100-{take}-{target}.ogg").touch()
    monkeypatch.setenv("SOUNDSCENE_DEMO_AUDIO", str(tmp_path))
    return tmp_path


def test_each_kind_of_sound_gets_a_sensor_of_its_own(esc_folder: Path) -> None:
    """From a folder in the naming of ESC-50 every sensor hears one lasting sound, and is named after it."""
    heard, plans = plan_sensors()
    assert str(esc_folder) in heard
    assert len(plans) == 7
    for plan in plans[:-1]:
        files = [Path(option).name for option in plan.options if option.startswith(str(esc_folder))]
        targets = {name.removesuffix(".ogg").split("-")[-1] for name in files}
        assert len(files) == 2
        assert {f"mic-{plan.device[4]}-{ESC10_SOUNDS[target]}" for target in targets} == {plan.device}


def test_other_recordings_are_given_out_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any folder of recordings does; with fewer files than sensors some are heard twice."""
    for name in ("a.wav", "b.flac", "notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("SOUNDSCENE_DEMO_AUDIO", str(tmp_path))
    _, plans = plan_sensors()
    files = [option for plan in plans[:-1] for option in plan.options if option.startswith(str(tmp_path))]
    assert len(files) == len(EQUIPMENT)
    assert {Path(file).name for file in files} == {"a.wav", "b.flac"}


def test_without_recordings_scenes_are_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, or none, means made-up scenes, each one that can be made."""
    monkeypatch.setenv("SOUNDSCENE_DEMO_AUDIO", str(tmp_path))
    heard, plans = plan_sensors()
    assert "made up" in heard
    assert {plan.options[1] for plan in plans} <= set(SCENE_NAMES)
    assert sensors.find_audio() is None


def test_exactly_one_sensor_misbehaves(esc_folder: Path) -> None:
    """The last sensor has faults of every kind that must not lose a window; the others have none."""
    _, plans = plan_sensors()
    assert ["--fault" in plan.options for plan in plans] == [False] * 6 + [True]
    assert len({plan.device for plan in plans}) == 7
