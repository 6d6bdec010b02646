"""A run's folder belongs to one plan and to the recordings it began with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from soundscene.errors import AudioError
from soundscene_train.errors import DatasetError, TrainingError
from soundscene_train.plan import Plan
from soundscene_train.stages import Reporter, evaluate_run, fit_run


def test_a_plan_is_kept(esc_plan: Plan, tmp_path: Path) -> None:
    """A run's folder remembers its plan and refuses another one."""
    esc_plan.save(tmp_path / "run")
    esc_plan.save(tmp_path / "run")
    assert Plan.load(tmp_path / "run") == esc_plan
    other = Plan(esc_plan.recipe.with_fit(epochs=9), "esc10", esc_plan.data_dir, esc_plan.cache_dir)
    with pytest.raises(TrainingError, match="holds a run of another plan; name another --run folder, or remove"):
        other.save(tmp_path / "run")
    for content in ("", '{"recipe', "[]", '{"recipe": {"fit": {"epochs": "x"}}}'):
        (tmp_path / "run" / "plan.json").write_text(content)
        for use in (Plan.load, esc_plan.save):
            with pytest.raises(TrainingError, match=r"plan\.json: not a plan of this version .* another --run folder"):
                use(tmp_path / "run")


@pytest.fixture
def own_run(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> tuple[Plan, Path]:
    """A run on its test's own copy of the recordings, not fitted yet, and its folder."""
    shutil.copytree(esc_plan.data_dir, tmp_path / "esc", ignore=shutil.ignore_patterns("cache"))
    plan = replace(esc_plan, data_dir=tmp_path / "esc", cache_dir=tmp_path / "cache")
    shutil.rmtree(esc_run)
    return plan, esc_run


def table_of(plan: Plan) -> Path:
    return plan.data_dir / "meta" / "esc50.csv"


CHANGED = "recordings to train on were added, removed, changed or labelled anew since"


@pytest.mark.parametrize("change", ["removed", "relabelled", "shorter"])
def test_a_run_stays_with_the_recordings_it_began_with(own_run: tuple[Plan, Path], change: str) -> None:
    """Other clips to train on are refused by training and by test; put back, all is well."""
    plan, folder = own_run
    fit_run(plan, folder, Reporter())
    before = evaluate_run(Plan.load(folder), folder, Reporter()).results["product"].to_dict()
    table, clip = (
        table_of(plan),
        next(path for path in sorted((plan.data_dir / "audio").iterdir()) if path.name[0] == "1"),
    )
    content, sound = table.read_text(), clip.read_bytes()
    line = next(line for line in content.splitlines(keepends=True) if line.startswith(clip.name))
    label, other = sorted({row.split(",")[3] for row in content.splitlines()[1:]})[:2]
    changes = {
        "removed": lambda: table.write_text(content.replace(line, "")),
        "relabelled": lambda: table.write_text(content.replace(line, line.replace(label, other))),
        "shorter": lambda: clip.write_bytes(sound[:-64]),
    }
    changes[change]()
    with pytest.raises(TrainingError, match=CHANGED):
        fit_run(plan, folder, Reporter())
    with pytest.raises(DatasetError, match=CHANGED):
        evaluate_run(Plan.load(folder), folder, Reporter())
    table.write_text(content)
    clip.write_bytes(sound)
    fit_run(plan, folder, Reporter())
    assert evaluate_run(Plan.load(folder), folder, Reporter()).results["product"].to_dict() == before


def test_more_clips_to_test_are_welcome(own_run: tuple[Plan, Path]) -> None:
    """What is tested may change; it is the training that must not."""
    plan, folder = own_run
    content = table_of(plan).read_text()
    lines = content.splitlines(keepends=True)
    tested = next(line for line in lines if line.startswith("3-"))
    table_of(plan).write_text(content.replace(tested, ""))
    fit_run(plan, folder, Reporter())
    fewer = evaluate_run(Plan.load(folder), folder, Reporter()).results["product"].clip_count
    table_of(plan).write_text(content)
    assert evaluate_run(Plan.load(folder), folder, Reporter()).results["product"].clip_count == fewer + 1


def test_what_ends_before_the_training_leaves_no_plan(own_run: tuple[Plan, Path]) -> None:
    """After parts that do not exist, or a clip that is no sound, the corrected command has the folder to itself."""
    plan, folder = own_run
    with pytest.raises(DatasetError, match="no clips in 9"):
        fit_run(replace(plan, train_parts=("9",)), folder, Reporter())
    clip = min((plan.data_dir / "audio").iterdir())
    sound = clip.read_bytes()
    clip.write_bytes(b"RIFF")
    with pytest.raises(AudioError, match="not an audio file"):
        fit_run(plan, folder, Reporter())
    assert not folder.exists()
    clip.write_bytes(sound)
    fit_run(replace(plan, train_parts=("1", "2")), folder, Reporter())
