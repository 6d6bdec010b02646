"""The assessment of finished bundles, from the command line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from soundscene.bundle import Bundle, load_bundle
from soundscene.cli.info import bundle_to_dict, bundle_to_text
from soundscene_train.__main__ import main
from soundscene_train.assessment.assess import AssessmentSettings, clips_to_test
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.cross_validation import cross_validate
from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames
from soundscene_train.plan import Plan
from soundscene_train.stages import Reporter, evaluate_run, export_run


def test_a_run_and_its_bundle_say_the_same(
    esc_plan: Plan,
    esc_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A temperature comes from held-out training data alone; report, manifest and `info` agree; so does the bundle."""
    check, final = tmp_path / "check", esc_run
    _pass_off(esc_run, check, replace(esc_plan, train_parts=("1",), test_parts=("2",)))
    evaluate_run(Plan.load(check), check, Reporter())
    settings = AssessmentSettings(responses=_responses(tmp_path), calibrate_from=check)
    found = evaluate_run(esc_plan, final, Reporter(), (), settings).summary
    assert found["calibration"]["fitted_on"] == {"parts": ["2"], "clips": 12}
    assert set(found["robustness"]["conditions"]) >= {"-20 dB", "MP3", "Opus", "phone"}
    assert found["robustness"]["microphones"]["worst"] == "phone"

    bundle = export_run(esc_plan, final, final / "bundle", ExportNames("tiny"))
    assert bundle.metrics["robustness"] == found["robustness"]
    assert bundle.metrics["calibration"] == found["calibration"]
    cost = bundle.provenance["cost"]
    assert cost["cpu_milliseconds_per_window"] > 0.0
    assert 0 < cost["nonzero_parameters"] <= cost["parameters"] == bundle.parameter_count
    assert cost["bytes"] == 4 * bundle.parameter_count
    assert str(cost["cpu_milliseconds_per_window"]) in (bundle.directory / "report.html").read_text()
    assert cost["processor"] in bundle_to_text(bundle_to_dict(bundle))

    monkeypatch.chdir(tmp_path)
    data = ["--dataset", "esc10", "--data-dir", str(esc_plan.data_dir)]
    assert main(["evaluate", "--bundle", str(bundle.directory), *data, "--out", "out"]) == 0
    assert "product of three" in capsys.readouterr().out
    again = json.loads(Path("out/evaluation.json").read_text())
    assert again["results"]["product"]["correct_count"] == bundle.metrics["correct_count"]
    np.testing.assert_allclose(ClipScores.load(Path("out")).windows, ClipScores.load(final).windows, atol=1e-5)
    assert load_bundle(bundle.directory).hash == bundle.hash

    assert main(["evaluate", "--bundle", str(bundle.directory), *data, "--test-parts", "1"]) == 2
    assert "trained on 1; name --test-parts it has not seen" in capsys.readouterr().err
    assert main(["evaluate", "--run", str(final), "--calibrate-from", str(final)]) == 2
    assert "a temperature cannot be fitted on 3" in capsys.readouterr().err
    assert main(["evaluate", "--run", str(final), "--calibrate-from", "nowhere"]) == 2
    assert "nowhere holds no scores.npz" in capsys.readouterr().err
    assert main(["run", *data, "--calibrate-from", str(check), "--train-parts", "1", "2", "3"]) == 2
    assert "check was trained by another recipe" in capsys.readouterr().err
    assert not Path("runs").exists(), "found out before the training"


def test_robustness_is_summed_over_folds_and_asks_unseen_devices_alone(
    esc_plan: Plan, esc_run: Path, tmp_path: Path
) -> None:
    """Counts under each distortion are the folds' sums; of the responses, those that the recipe held out are tested.

    The folds are of 12 and of 10 clips, so that each counts as much as it holds; the recipe's rule joins the networks.
    """
    data = tmp_path / "data"
    shutil.copytree(esc_plan.data_dir, data, ignore=shutil.ignore_patterns("cache"))
    table = data / "meta" / "esc50.csv"
    lines = [line for line in table.read_text().splitlines() if not line.startswith(("2-00", "2-10"))]
    table.write_text("\n".join(lines) + "\n")
    responses = _responses(tmp_path)
    soundfile.write(responses / "seen.wav", np.array([0.3, 0.4, 0.1]), 16_000)
    augmentation = replace(esc_plan.recipe.augmentation, response_probability=0.5, held_out_responses=("phone",))
    fusion = replace(esc_plan.recipe.fusion, rule="average")
    recipe = replace(esc_plan.recipe, augmentation=augmentation, fusion=fusion)
    plan = Plan(recipe, "esc10", data, tmp_path / "cache", ("1", "2"), responses_dir=responses)
    settings = AssessmentSettings(responses=responses, backgrounds=esc_plan.data_dir)
    for part in "12":
        rest = tuple({"1", "2"} - {part})
        _pass_off(esc_run, tmp_path / "folds" / f"fold-{part}", replace(plan, train_parts=rest, test_parts=(part,)))
    summary = cross_validate(plan, tmp_path / "folds", Reporter(), 1, settings).summary
    assert set(summary["calibration"]["temperature_by_part"]) == {"1", "2"}
    page, text = ((tmp_path / "folds" / name).read_text() for name in ("report.html", "evaluation.txt"))
    assert "fitted on the clips of the other parts" in page
    found, joined = summary["robustness"], ClipScores.load(tmp_path / "folds")
    folds = [json.loads((tmp_path / "folds" / f"fold-{part}" / "evaluation.json").read_text()) for part in "12"]
    first, second = (fold["results"]["average"]["correct_count"] for fold in folds)
    assert f"by part: {first}/12 (1), {second}/10 (2)" in page
    assert f"average of three, by part: {first}/12 (1), {second}/10 (2)\n" in text
    assert len(joined.truth) == 22
    assert joined.parts == ("1", "2")
    assert found["microphones"]["count"] == 1
    assert "seen" not in found["conditions"]
    assert {"-20 dB", "background, SNR 0 dB", "phone"} <= set(found["conditions"])
    for name, condition in found["conditions"].items():
        parts = [fold["metrics"]["robustness"]["conditions"][name] for fold in folds]
        assert condition["correct_count"] == sum(part["correct_count"] for part in parts), name
        assert condition["accuracy"] == pytest.approx(condition["correct_count"] / 22, abs=1e-4)
        loss = np.average([part["log_loss"] for part in parts], weights=(12, 10))
        assert condition["log_loss"] == pytest.approx(loss, abs=1e-4)


def test_a_microphone_that_was_trained_with_is_not_tested(
    esc_plan: Plan, esc_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is held out, only other responses are tested, by the run and by its bundle; none is an error."""
    known, others = _responses(tmp_path), tmp_path / "others"
    augmentation = replace(esc_plan.recipe.augmentation, response_probability=0.5)
    plan = replace(esc_plan, recipe=replace(esc_plan.recipe, augmentation=augmentation), responses_dir=known)
    run = tmp_path / "heard"
    _pass_off(esc_run, run, plan)
    export_run(plan, run, run / "bundle", ExportNames("heard"))
    bundle = ["--bundle", str(run / "bundle"), "--dataset", "esc10", "--data-dir", str(plan.data_dir)]
    for subject in (["--run", str(run)], [*bundle, "--out", str(tmp_path / "out")]):
        assert main(["evaluate", *subject, "--responses", str(known)]) == 2
        assert "every response in" in capsys.readouterr().err
    with pytest.raises(TrainingError, match="every response in"):
        cross_validate(plan, tmp_path / "folds", Reporter(), 1, AssessmentSettings(responses=known))
    assert not (tmp_path / "folds").exists()
    shutil.copytree(known, others)
    soundfile.write(others / "new.wav", np.array([0.3, 0.4, 0.1]), 16_000)
    conditions = evaluate_run(plan, run, Reporter(), (), AssessmentSettings(responses=others)).summary["robustness"]
    assert {name for name in conditions["conditions"] if name in {"new", "phone"}} == {"new"}


@pytest.mark.parametrize(
    ("said", "parts", "tested"),
    [
        ({"train_parts": ["1", "2"]}, None, {"3"}),
        ({"train_parts": ["1"]}, None, {"2", "3"}),
        ({"train_parts": ["1"]}, ["2"], {"2"}),
        ({"train_parts": ["1", "2"], "train_digest": "of 1 and 2"}, None, {"3"}),
        ({"train_parts": ["1", "2"], "dataset": "folder-other"}, ["1"], {"1"}),
        ({"train_parts": ["1", "2"]}, ["2", "3"], "was trained on 2; name --test-parts it has not seen"),
        ({"train_parts": ["1", "2"], "train_digest": "0a"}, None, "are no longer what the bundle was trained on"),
        ({"train_parts": ["1", "2", "3"]}, None, "no clips to test in what is left; there is 1, 2, 3"),
        ({"train_parts": ["1"]}, ["9"], "no clips to test in 9"),
    ],
)
def test_a_bundle_is_tested_on_clips_that_it_has_not_heard(
    tiny_bundle: Bundle, esc_plan: Plan, said: dict[str, Any], parts: list[str] | None, tested: set[str] | str
) -> None:
    """By what it says of its training, where that was on this data set and on the clips that are there."""
    dataset = esc_plan.dataset()
    if said.get("train_digest") == "of 1 and 2":
        said = said | {"train_digest": esc_plan.open().train_digest}
    bundle = replace(tiny_bundle, provenance={"dataset": "esc10"} | said)
    if isinstance(tested, str):
        with pytest.raises(TrainingError, match=tested):
            clips_to_test(bundle, dataset, parts)
        return
    assert clips_to_test(bundle, dataset, parts) == [clip for clip in dataset.clips if clip.part in tested]


def test_what_is_asked_for_is_what_is_tested(tmp_path: Path) -> None:
    """Nothing by itself; what needs files brings the standard distortions; what was trained with is left out."""
    folder = _responses(tmp_path)
    for name in ("seen", "spare"):
        shutil.copy(folder / "phone.wav", folder / f"{name}.wav")
    standard = [one.name for one in AssessmentSettings(robust=True).distortions()]
    assert "-20 dB" in standard
    assert not AssessmentSettings(calibrate_from=tmp_path).distortions()
    settings = AssessmentSettings(responses=folder)
    for held_out, trained, left in (
        ((), (), ["phone", "seen", "spare"]),
        ((), ("seen",), ["phone", "spare"]),
        (("phone",), ("seen", "spare"), ["phone"]),
        (("phone", "elsewhere"), (), ["phone"]),
    ):
        assert [one.name for one in settings.distortions(held_out, trained)] == [*standard, *left]
    laid_over = AssessmentSettings(backgrounds=folder).distortions()
    assert [one.kind for one in laid_over[len(standard) :]] == ["background"] * 3
    for asked in ({"robust": True}, {"responses": folder}, {"backgrounds": folder}, {"calibrate_from": folder}):
        assert AssessmentSettings(**asked).is_asked
    assert not AssessmentSettings().is_asked
    for missing in ({"calibrate_from": folder}, {"responses": tmp_path}, {"backgrounds": tmp_path / "none"}):
        with pytest.raises(TrainingError, match=r"holds no"):
            AssessmentSettings(**missing).require_sources()  # type: ignore[arg-type]


def _pass_off(run: Path, target: Path, plan: Plan) -> None:
    """Make another plan's run of trained networks, which saves the time to train its own."""
    shutil.copytree(run, target)
    for written in target.rglob("plan.json"):
        written.unlink()
    plan.save(target)


def _responses(folder: Path) -> Path:
    target = folder / "responses"
    target.mkdir()
    soundfile.write(target / "phone.wav", np.array([0.5, -0.4, 0.1]), 16_000)
    return target
