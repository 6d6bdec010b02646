"""A run's folder belongs to one plan and to the recordings it began with."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundscene.errors import AudioError
from soundscene_train.__main__ import main
from soundscene_train.console import ConsoleReporter
from soundscene_train.cross_validation import cross_validate
from soundscene_train.datasets import CitySettings
from soundscene_train.errors import DatasetError, TrainingError
from soundscene_train.plan import Plan
from soundscene_train.stages import Reporter, evaluate_run, fit_run, require_score_of

CHANGED = "recordings to train on were added, removed, changed or labelled anew since"


def test_a_plan_is_kept(esc_plan: Plan, tmp_path: Path) -> None:
    """A run's folder remembers its plan and refuses another one."""
    esc_plan.save(tmp_path / "run")
    esc_plan.save(tmp_path / "run")
    assert Plan.load(tmp_path / "run") == esc_plan
    other = Plan(esc_plan.recipe.with_fit(epochs=9), "esc10", esc_plan.data_dir, esc_plan.cache_dir)
    with pytest.raises(TrainingError, match=r"another plan: .*; name another folder .*, or remove this one"):
        other.save(tmp_path / "run")
    for content in ("", '{"recipe', "[]", '{"recipe": {"fit": {"epochs": "x"}}}'):
        (tmp_path / "run" / "plan.json").write_text(content)
        for use in (Plan.load, esc_plan.save):
            with pytest.raises(TrainingError, match=r"plan\.json: not a plan of this version .* name another folder"):
                use(tmp_path / "run")


def test_every_setting_of_a_plan_is_kept_and_makes_another(esc_plan: Plan, tmp_path: Path) -> None:
    """What is read is what was written, and a folder is refused for each single thing that differs but the command."""
    plan = replace(
        esc_plan,
        train_parts=("1",),
        test_parts=("2", "3"),
        city=CitySettings(1, 2, 0.1, 16_000),
        fold_count=3,
        skipped=("a.wav",),
        responses_dir=tmp_path / "responses",
        teacher_dir=tmp_path / "teacher",
        train_digest="0a",
        command="typed so",
    )
    plan.save(tmp_path / "run")
    assert Plan.load(tmp_path / "run") == plan
    changes: dict[str, Any] = {
        "dataset_name": "tau2020",
        "train_parts": ("1", "2"),
        "test_parts": ("3",),
        "city": CitySettings(1, 2, 0.2, 16_000),
        "fold_count": 4,
        "skipped": (),
        "responses_dir": None,
        "teacher_dir": tmp_path / "other",
        "train_digest": "0b",
        "cache_dir": tmp_path / "cache",
    }
    for name, value in changes.items():
        with pytest.raises(TrainingError, match=r"another plan|recordings to train on were"):
            replace(plan, **{name: value}).require_free(tmp_path / "run")
    replace(plan, command="typed otherwise", train_digest="").require_free(tmp_path / "run")


def test_a_plan_opens_what_it_names(esc_plan: Plan) -> None:
    """Files that are skipped are not there; who names parts to train on alone tests all others."""
    clips = esc_plan.dataset().clips
    skipped = replace(esc_plan, skipped=(str(clips[3].path), str(clips[5].path)))
    assert skipped.dataset().clips == (*clips[:3], clips[4], *clips[6:])
    assert replace(esc_plan, train_parts=("3",)).open().test_parts == ("1", "2")
    assert replace(esc_plan, train_parts=("3",), test_parts=("1",)).open().test_parts == ("1",)
    assert replace(esc_plan, test_parts=()).open().train_parts == ("1", "2")
    known = esc_plan.pinned(esc_plan.open())
    assert known.open().train_digest == known.train_digest
    with pytest.raises(DatasetError, match=CHANGED):
        replace(known, train_parts=("1",)).open()


def test_a_plan_learns_once_what_it_trains_on(esc_plan: Plan, tmp_path: Path) -> None:
    """Saved before that is known, it gets the digest with the next save, and keeps it."""
    pinned = esc_plan.pinned(esc_plan.open())
    for plan, expected in ((esc_plan, ""), (pinned, pinned.train_digest), (esc_plan, pinned.train_digest)):
        plan.save(tmp_path / "run")
        assert Plan.load(tmp_path / "run").train_digest == expected
    with pytest.raises(TrainingError, match=CHANGED):
        replace(pinned, train_digest="0a").save(tmp_path / "run")


def test_own_recordings_have_as_many_folds_as_are_asked_for(esc_plan: Plan, tmp_path: Path) -> None:
    """A plan says how many, and its data set has them."""
    for name in ("hum/1", "hum/2", "hum/3", "hiss/1", "hiss/2", "hiss/3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).with_suffix(".wav").touch()
    for count in (2, 3):
        plan = replace(esc_plan, dataset_name="folder", data_dir=tmp_path, fold_count=count)
        assert len(plan.dataset().parts) == count


def test_spectrograms_are_those_of_the_recipe(esc_plan: Plan) -> None:
    """Another rule for short clips, and a gain, need spectrograms of their own."""
    selection = esc_plan.open()
    plain, quiet = esc_plan.features(selection), esc_plan.features(selection, gain_db=-20.0)
    assert esc_plan.has_features(selection)
    assert np.mean(plain.spectra["mel"][:4] - quiet.spectra["mel"][:4]) == pytest.approx(2.0 * np.log(10.0), rel=0.3)
    fusion = replace(esc_plan.recipe.fusion, short_clip="silence")
    assert not replace(esc_plan, recipe=replace(esc_plan.recipe, fusion=fusion)).has_features(selection)


def test_another_plan_is_told_by_what_differs(esc_plan: Plan, tmp_path: Path) -> None:
    """Whoever is refused reads what settings are in the folder and what was asked for; commands may differ."""
    replace(esc_plan, command="typed so").save(tmp_path)
    esc_plan.require_free(tmp_path)
    other = replace(esc_plan, recipe=esc_plan.recipe.with_fit(epochs=9), data_dir=Path("/own"), fold_count=3)
    differ = (
        f"recipe.fit.epochs is 2, not 9, data_dir is '{esc_plan.data_dir}', not '/own', fold_count is 5, not 3; name"
    )
    with pytest.raises(TrainingError, match=re.escape(differ)):
        other.require_free(tmp_path)
    with pytest.raises(
        TrainingError, match=r"train_parts is None, not \['1'\], and 2 more; name another folder .*reproduce: --out"
    ):
        replace(other, train_parts=("1",), skipped=("a.wav",)).require_free(tmp_path)


def test_a_plan_is_the_same_however_its_folders_were_typed(esc_plan: Plan, tmp_path: Path) -> None:
    """A run that was begun with `..` in its folders goes on with their plain names, and the other way round."""
    typed = replace(esc_plan, data_dir=tmp_path / "here" / ".." / "own", skipped=(f"{tmp_path}/here/../own/a.wav",))
    plain = replace(esc_plan, data_dir=tmp_path / "own", skipped=(f"{tmp_path}/own/a.wav",))
    for one, other in ((typed, plain), (plain, typed)):
        one.save(tmp_path / one.data_dir.parent.name)
        other.require_in(tmp_path / one.data_dir.parent.name)


@pytest.fixture
def own_plan(esc_plan: Plan, tmp_path: Path) -> Plan:
    """The plan on its test's own copy of the recordings."""
    shutil.copytree(esc_plan.data_dir, tmp_path / "esc", ignore=shutil.ignore_patterns("cache"))
    return replace(esc_plan, data_dir=tmp_path / "esc", cache_dir=tmp_path / "cache")


@pytest.fixture
def own_run(own_plan: Plan, esc_run: Path) -> Path:
    """Networks that are trained on these recordings, and no plan yet that says so."""
    for written in esc_run.rglob("plan.json"):
        written.unlink()
    return esc_run


def table_of(plan: Plan) -> Path:
    return plan.data_dir / "meta" / "esc50.csv"


def test_a_run_stays_with_the_recordings_it_began_with(own_plan: Plan, own_run: Path) -> None:
    """Training and test refuse a clip to train on that is gone, labelled anew or shorter; put back, all is well."""
    fit_run(own_plan, own_run, Reporter())
    before = evaluate_run(Plan.load(own_run), own_run, Reporter()).results["product"].to_dict()
    table, clip = table_of(own_plan), min((own_plan.data_dir / "audio").glob("1-*.wav"))
    content, sound = table.read_text(), clip.read_bytes()
    line = next(line for line in content.splitlines(keepends=True) if line.startswith(clip.name))
    for changed, heard in (
        (content.replace(line, ""), sound),
        (content.replace(line, line.replace("clicks", "noise")), sound),
        (content, sound[:-64]),
    ):
        table.write_text(changed)
        clip.write_bytes(heard)
        with pytest.raises(TrainingError, match=CHANGED):
            fit_run(own_plan, own_run, Reporter())
        with pytest.raises(DatasetError, match=CHANGED):
            evaluate_run(Plan.load(own_run), own_run, Reporter())
    clip.write_bytes(sound)
    fit_run(own_plan, own_run, Reporter())
    assert evaluate_run(Plan.load(own_run), own_run, Reporter()).results["product"].to_dict() == before


def test_more_clips_to_test_are_welcome(own_plan: Plan, own_run: Path) -> None:
    """What is tested may change; it is the training that must not."""
    content = table_of(own_plan).read_text()
    tested = next(line for line in content.splitlines(keepends=True) if line.startswith("3-"))
    table_of(own_plan).write_text(content.replace(tested, ""))
    fit_run(own_plan, own_run, Reporter())
    fewer = Plan.load(own_run).open().test_clips
    table_of(own_plan).write_text(content)
    assert evaluate_run(Plan.load(own_run), own_run, Reporter()).results["product"].clip_count == len(fewer) + 1


def test_a_score_of_other_clips_or_labels_is_not_stated(own_plan: Plan, own_run: Path) -> None:
    """What a bundle says of itself was measured on clips that are still there, under the labels of now."""
    fit_run(own_plan, own_run, Reporter())
    evaluate_run(Plan.load(own_run), own_run, Reporter())
    require_score_of(own_plan, own_run)
    content = table_of(own_plan).read_text()
    tested = next(line for line in content.splitlines(keepends=True) if line.startswith("3-"))
    for changed, message in (
        (content.replace(tested, ""), f"was tested on another {tested.split(',')[0]}; its score says nothing about"),
        (content.replace(tested, tested.replace("clicks", "noise")), f"was tested on another {tested.split(',')[0]}"),
        (content.replace("clicks", "bells"), "was tested on labels clicks, noise, tone; its score"),
    ):
        table_of(own_plan).write_text(changed)
        with pytest.raises(TrainingError, match=message):
            require_score_of(own_plan, own_run)


def test_what_ends_before_the_training_leaves_no_plan(own_plan: Plan, tmp_path: Path) -> None:
    """After parts that do not exist, or a clip that is no sound, the corrected command has the folder to itself."""
    with pytest.raises(DatasetError, match="no clips in 9"):
        fit_run(replace(own_plan, train_parts=("9",)), tmp_path / "run", Reporter())
    min((own_plan.data_dir / "audio").iterdir()).write_bytes(b"RIFF")
    with pytest.raises(AudioError, match="not an audio file"):
        fit_run(own_plan, tmp_path / "run", Reporter())
    assert not (tmp_path / "run").exists()


def test_a_fold_that_lacks_a_class_leaves_no_plan(own_plan: Plan, tmp_path: Path) -> None:
    """It is told before anything is written, so that the clip it lacks may be given to it."""
    table = table_of(own_plan)
    lines = [
        line for line in table.read_text().splitlines(keepends=True) if "tone" not in line or line.startswith("2-")
    ]
    table.write_text("".join(lines))
    with pytest.raises(DatasetError, match="no clip of tone to train on in 1, 3"):
        cross_validate(own_plan, tmp_path / "run", Reporter())
    assert not (tmp_path / "run").exists()


def label_anew(plan: Plan) -> None:
    """Change what a clip of fold 1 is said to be, after the table was read."""
    content = table_of(plan).read_text()
    line = next(line for line in content.splitlines(keepends=True) if line.startswith("1-"))
    table_of(plan).write_text(content.replace(line, line.replace("clicks", "noise")))


class Meddler(Reporter):
    """Changes the recordings once the last network is trained."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def epoch(self, network: str, done: int, total: int, loss: float) -> None:
        if network == "fold-2 cqt" and done == total:
            label_anew(self._plan)


def test_a_cross_validation_tests_what_it_was_trained_on(own_plan: Plan, tmp_path: Path) -> None:
    """A clip that is labelled anew while networks train ends it, before its fold's networks are tested."""
    plan = replace(own_plan, recipe=own_plan.recipe.with_fit(epochs=1), train_parts=("1", "2"))
    with pytest.raises(DatasetError, match=CHANGED):
        cross_validate(plan, tmp_path / "run", Meddler(plan))
    assert not (tmp_path / "run" / "fold-2" / "evaluation.json").exists()


def test_a_run_tests_what_it_was_trained_on(
    own_plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same of all stages in one command, which exports nothing then."""
    monkeypatch.setattr(
        ConsoleReporter, "epoch", lambda _, network, *__: label_anew(own_plan) if network == "cqt" else None
    )
    words = [
        "run",
        "esc10",
        "--data-dir",
        str(own_plan.data_dir),
        "--quick",
        "--epochs",
        "1",
        "--train-parts",
        "1",
        "2",
    ]
    assert main([*words, "--cache-dir", str(tmp_path / "cache"), "--run", str(tmp_path / "run")]) == 2
    assert CHANGED in capsys.readouterr().err
    assert not (tmp_path / "run" / "evaluation.json").exists()
