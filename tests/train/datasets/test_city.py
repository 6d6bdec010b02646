"""The synthetic city: always the same, in TAU's layout, its sides apart."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.errors import SettingsError
from soundscene.synthesis import SCENE_NAMES
from soundscene_train.datasets import CitySettings, Dataset, build_city, open_dataset
from soundscene_train.datasets.devices import DEVICES, SEEN_DEVICES, UNSEEN_DEVICES, record
from soundscene_train.errors import DatasetError

SMALL = CitySettings(train_clips_per_scene=6, evaluate_clips_per_scene=9, clip_seconds=0.3, sample_rate_hz=16_000)


@pytest.fixture(scope="module")
def city_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("city") / "here"
    build_city(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def city(city_folder: Path) -> Dataset:
    return open_dataset("synthetic", city_folder, SMALL)


def test_it_has_taus_layout(city_folder: Path, city: Dataset) -> None:
    """Tables are tab separated with the official columns, clips are named by scene, city, location and device."""
    assert (city_folder / "meta.csv").read_text().splitlines()[0].split("\t") == [
        "filename", "scene_label", "identifier", "source_label",
    ]  # fmt: skip
    assert (city_folder / "evaluation_setup" / "fold1_test.csv").read_text().startswith("filename\n")
    assert city.labels == SCENE_NAMES
    assert len(city.clips) == 150
    samples, rate = soundfile.read(city.clips[0].path)
    assert (len(samples), rate) == (4800, 16_000)


def test_the_sides_share_no_place_and_new_devices_only_appear_in_the_test(city: Dataset) -> None:
    """Locations are disjoint, and s4 to s6 are met in the evaluation alone, where every device is."""
    train = [clip for clip in city.clips if clip.part == "train"]
    evaluate = [clip for clip in city.clips if clip.part == "evaluate"]
    assert (city.train_parts, city.test_parts) == (("train",), ("evaluate",))
    assert not {clip.group for clip in train} & {clip.group for clip in evaluate}
    assert {clip.device for clip in train} == set(SEEN_DEVICES)
    assert {clip.device for clip in evaluate} == set(DEVICES)
    for scene in SCENE_NAMES:
        assert sum(clip.label == scene for clip in train) == 6
        assert sum(clip.label == scene for clip in evaluate) == 9


def test_the_same_settings_give_the_same_files(city_folder: Path, city: Dataset, tmp_path: Path) -> None:
    """A second city is equal byte for byte; another seed's is not."""
    few = CitySettings(1, 1, 0.1, 16_000)
    build_city(tmp_path / "one", few)
    build_city(tmp_path / "two", few)
    build_city(tmp_path / "other", CitySettings(1, 1, 0.1, 16_000, seed=1))
    for path in sorted((tmp_path / "one" / "audio").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / "audio" / path.name).read_bytes()
        assert path.read_bytes() != (tmp_path / "other" / "audio" / path.name).read_bytes()
    build_city(city_folder, SMALL)  # complete: left alone
    assert open_dataset("synthetic", city_folder, SMALL) == city


def test_an_interrupted_city_is_finished(tmp_path: Path) -> None:
    """Clips already there are kept, missing ones made."""
    few = CitySettings(1, 1, 0.1, 16_000)

    def stop(done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_city(tmp_path / "city", few, stop)
    assert len(list((tmp_path / "city" / "audio").iterdir())) == 7
    with pytest.raises(
        DatasetError,
        match=r"no finished synthetic city; `soundscene-train prepare synthetic --data-dir \S+city` makes one",
    ):
        open_dataset("synthetic", tmp_path / "city", few)
    assert len(list((tmp_path / "city" / "audio").iterdir())) == 7, "who opens it makes nothing"
    build_city(tmp_path / "city", few)
    assert len(open_dataset("synthetic", tmp_path / "city", few).clips) == 20


def test_runs_that_start_together_share_one_city(tmp_path: Path) -> None:
    """One makes it, the others wait, and all find it whole."""
    few, home = CitySettings(1, 1, 0.1, 16_000), tmp_path / "data" / "city"
    made: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(build_city, home, few, lambda done, _: made.append(done)) for _ in range(4)]
    for one in work:
        one.result()
    assert made == list(range(1, 21))
    assert len(open_dataset("synthetic", home, few).clips) == 20


def test_foreign_folders_are_left_alone(city_folder: Path, tmp_path: Path) -> None:
    """A folder of something else, a city of other settings and a damaged note are refused."""
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DatasetError, match="something other than a synthetic city"):
        build_city(tmp_path, SMALL)
    for use in (build_city, partial(open_dataset, "synthetic")):
        with pytest.raises(DatasetError, match="synthetic city of other settings"):
            use(city_folder, CitySettings(seed=5))
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "city.json").write_text("{")
    with pytest.raises(DatasetError, match="not the note of a synthetic city"):
        build_city(damaged, SMALL)
    with pytest.raises(SettingsError, match="at least one clip"):
        CitySettings(train_clips_per_scene=0)
    with pytest.raises(SettingsError, match="seconds above 0"):
        CitySettings(clip_seconds=0.0)


@pytest.mark.parametrize("name", DEVICES)
def test_devices_leave_their_mark(name: str) -> None:
    """Every device keeps the length and the range; all but the reference change the sound audibly."""
    generator = np.random.default_rng(0)
    sound = (0.1 * generator.standard_normal(16_000)).astype(np.float32)
    heard = record(sound, 44_100, DEVICES[name], np.random.default_rng(1))
    assert heard.shape == sound.shape
    assert heard.dtype == np.float32
    assert np.abs(heard).max() <= 1.0
    difference_db = 20 * np.log10(np.std(heard - sound) / np.std(sound))
    assert difference_db < -12.0 if name == "a" else difference_db > -12.0
    assert (name in UNSEEN_DEVICES) != (name in SEEN_DEVICES)


def test_compression_narrows_the_range() -> None:
    """A compressing device makes loud and quiet more alike; the reference does not."""
    loud = (0.3 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    quiet = np.float32(0.03) * loud
    rms = {
        name: [np.std(record(x, 44_100, DEVICES[name], np.random.default_rng(1))) for x in (loud, quiet)]
        for name in ("a", "s2")
    }
    assert rms["a"][0] / rms["a"][1] == pytest.approx(1 / 0.03, rel=0.05)
    assert rms["s2"][0] / rms["s2"][1] < 0.5 / 0.03


def test_tau_layout_damage_is_named(city_folder: Path, tmp_path: Path) -> None:
    """Tables with other names, labels or shared locations are refused in one line."""
    setup = tmp_path / "evaluation_setup"
    setup.mkdir()
    good = "filename\tscene_label\naudio/park-here-1-2-a.wav\tpark\n"
    for train, evaluate, message in (
        (good, good, "locations on both sides of the split: here-1"),
        (good.replace("\tpark", "\tbus"), good, "is not named <scene>"),
        (good.replace("audio/park", "../park"), good, "is not named <scene>"),
        (good.replace("audio/park", "/audio/park"), good, "is not named <scene>"),
        (good, good.replace("here-1", "here-9"), "audio is missing"),
    ):
        (setup / "fold1_train.csv").write_text(train)
        (setup / "fold1_evaluate.csv").write_text(evaluate)
        with pytest.raises(DatasetError, match=message):
            open_dataset("tau2020", tmp_path)


def test_rows_of_recordings_that_were_withdrawn_are_left_out(tmp_path: Path) -> None:
    """The first version's tables name five that nobody has any more; other rows are clips of their place and device."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "evaluation_setup").mkdir()
    here = {"train": "tram-oslo-1-2-a", "evaluate": "airport-oslo-2-7-s4"}
    gone = ("airport-barcelona-1-87-c", "tram-barcelona-275-8394-c", "airport-barcelona-203-6132-b")
    for part, name in here.items():
        (tmp_path / "audio" / f"{name}.wav").touch()
        rows = [f"audio/{row}.wav\t{row.split('-')[0]}" for row in (name, *gone)]
        table = tmp_path / "evaluation_setup" / f"fold1_{part}.csv"
        table.write_text("\n".join(["filename\tscene_label", *rows]))
    dataset = open_dataset("tau2020", tmp_path)
    assert [(clip.part, clip.label, clip.group, clip.device) for clip in dataset.clips] == [
        ("train", "tram", "oslo-1", "a"),
        ("evaluate", "airport", "oslo-2", "s4"),
    ]
    assert dataset.labels == ("airport", "tram")
