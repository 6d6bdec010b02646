"""A bundle is calibrated by what its evaluation found, or by clips it has not seen, and nothing else in it changes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundscene.audio_files import AudioFile
from soundscene.bundle import Bundle, load_bundle
from soundscene.classifier import SceneClassifier
from soundscene.cli.info import bundle_to_dict, bundle_to_text
from soundscene.fusion import Calibration
from soundscene_train.__main__ import main
from soundscene_train.calibrate import calibrated_bundle, calibration_from_clips, calibration_from_metrics
from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames
from soundscene_train.plan import Plan
from soundscene_train.run_folders import REPORT_NAME
from soundscene_train.stages import Reporter, evaluate_run, export_run

CROSS_FITTED = {"temperature": 2.64, "temperature_by_part": {"1": 2.3, "2": 2.8}}
HELD_OUT = {"temperature": 1.9, "fitted_on": {"parts": ["4"], "clips": 80}}


@pytest.fixture
def bundle(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> Bundle:
    """Trained on parts 1 and 2, tested on 3."""
    evaluate_run(esc_plan, esc_run, Reporter())
    return export_run(esc_plan, esc_run, tmp_path / "bundle", ExportNames("tiny"))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (CROSS_FITTED, Calibration(2.64, "320 clips: each by the others")),
        (HELD_OUT, Calibration(1.9, "80 clips held out of its training, part 4")),
    ],
)
def test_the_temperature_of_the_evaluation_is_taken(
    tiny_bundle: Bundle, found: dict[str, Any], expected: Calibration
) -> None:
    """The manifest's metrics hold it, and say what it was fitted on."""
    metrics = {"clip_count": 320, "tested_on": "each by the others", "calibration": found}
    assert calibration_from_metrics(replace(tiny_bundle, metrics=metrics)) == expected


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"before": {}}, "without a temperature"),
        (CROSS_FITTED | {"temperature": 0.05}, "at its limit"),
        (HELD_OUT | {"temperature": 20.0}, "80 clips held out .* too few wrong answers"),
        (CROSS_FITTED | {"temperature": 0.0502}, "at its limit"),
        (CROSS_FITTED | {"temperature": 19.9}, "at its limit"),
    ],
)
def test_a_temperature_that_says_nothing_is_refused(tiny_bundle: Bundle, found: dict[str, Any], message: str) -> None:
    """None was fitted, or it ran into its limit, as it does where every clip is right."""
    metrics = {"clip_count": 320, "tested_on": "each by the others", "calibration": found}
    with pytest.raises(TrainingError, match=message):
        calibration_from_metrics(replace(tiny_bundle, metrics=metrics))


def test_nothing_but_the_calibration_changes(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Networks, files and settings are those of the old bundle; version, hash and calibration are new."""
    made = calibrated_bundle(tiny_bundle, Calibration(2.5, "320 clips"), tmp_path / "made", "1-quiet", "calibrate it")
    assert load_bundle(made.directory).temperature == 2.5
    assert made.files == tiny_bundle.files
    assert made.networks == tiny_bundle.networks
    for name in ("front_end", "fusion", "metrics", "labels", "standardisation", "self_test"):
        assert getattr(made, name) == getattr(tiny_bundle, name), name
    assert made.version == "1-quiet"
    assert made.hash != tiny_bundle.hash
    said = {"calibrated_by": "calibrate it", "uncalibrated_hash": tiny_bundle.hash}
    assert made.provenance == {**tiny_bundle.provenance, **said}
    assert "320 clips" in bundle_to_text(bundle_to_dict(made))


def test_clips_calibrate_a_bundle_that_was_trained_without_them(
    bundle: Bundle, esc_plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command fits on unseen parts alone; `evaluate` then finds what it promised, and fitting again the same."""
    monkeypatch.chdir(tmp_path)
    data = ["--dataset", "esc10", "--data-dir", str(esc_plan.data_dir)]
    words = ["calibrate", "--bundle", str(bundle.directory), "--bundle-version", "2", *data]
    assert main([*words, "--out", "made"]) == 0
    said = capsys.readouterr().out
    made = load_bundle("made")
    assert made.calibration is not None
    assert made.calibration.fitted_on == "12 clips of esc10, part 3"
    assert made.version == "2"
    page = Path("made/report.html").read_text()
    assert f"it serves its scores with a temperature of {made.temperature}, fitted on 12 clips of esc10" in page
    assert "How well it hears: tiny 2" in page
    assert f"{bundle.provenance['cost']['cpu_milliseconds_per_window']} ms" in page
    promised = float(said.split("with the temperature ")[1].split()[0])
    assert main(["evaluate", "--bundle", "made", *data, "--out", "out"]) == 0
    found = json.loads(Path("out/evaluation.json").read_text())
    assert found["results"]["product"]["log_loss"] == pytest.approx(promised, abs=1e-3)
    average = bundle.metrics["classifiers"]["average"]["log_loss"]
    assert found["results"]["average"]["log_loss"] == pytest.approx(average, abs=1e-3)
    assert found["results"]["product"]["correct_count"] == bundle.metrics["correct_count"]
    assert found["metrics"]["calibration"]["served_temperature"] == made.temperature
    assert "as served, calibrated" in Path("out/report.html").read_text()
    again, before, after = calibration_from_clips(made, esc_plan, Reporter())
    assert again.temperature == pytest.approx(made.temperature, rel=1e-3)
    assert before == pytest.approx(after, abs=1e-4)
    assert main([*words, "--out", "other", "--test-parts", "1"]) == 2
    assert "trained on 1" in capsys.readouterr().err
    assert not Path("other").exists()
    assert main([*words, "--out", "other", "--test-parts", "3", "--skip-unreadable"]) == 0
    Path("other/thesis.txt").touch()
    Path("other/manifest.json").unlink()
    capsys.readouterr()
    assert main([*words, "--out", "other"]) == 2
    printed = capsys.readouterr()
    assert "something other than a bundle" in printed.err
    assert "log loss" not in printed.out, "found out before the clips are scored"


def test_a_temperature_is_fitted_to_the_decision_that_is_served(bundle: Bundle, esc_plan: Plan) -> None:
    """A bundle that takes the average of its networks is calibrated by the average, not by their product."""
    averaging = replace(bundle, fusion=replace(bundle.fusion, rule="average"))
    found, losses = bundle.metrics["classifiers"], []
    for one in (bundle, averaging):
        _, before, after = calibration_from_clips(one, esc_plan, Reporter())
        assert after < before
        losses.append(before)
    assert abs(losses[0] - losses[1]) > 3e-3
    assert losses == pytest.approx([found["product"]["log_loss"], found["average"]["log_loss"]], abs=1e-3)


def test_a_threshold_keeps_what_the_report_of_the_calibrated_bundle_says(
    bundle: Bundle, esc_plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`calibrate --unsure-below` takes a threshold of the report; as many windows are assessable as stand beside it."""
    data = ["--dataset", "esc10", "--data-dir", str(esc_plan.data_dir)]
    words = ["calibrate", "--bundle", str(bundle.directory), *data, "--out", str(tmp_path / "made")]
    assert main(words) == 0
    assert load_bundle(tmp_path / "made").fusion == bundle.fusion
    assert load_bundle(tmp_path / "made").version == f"{bundle.version}-calibrated"
    assert main(["evaluate", "--bundle", str(tmp_path / "made"), *data, "--out", str(tmp_path / "out")]) == 0
    points = json.loads((tmp_path / "out" / "evaluation.json").read_text())["metrics"]["selective_windows"]
    point = next(one for one in points if one["coverage"] < 0.8)
    capsys.readouterr()
    assert main([*words, "--unsure-below", str(point["unsure_below"])]) == 0
    assert "are declared not assessable" in capsys.readouterr().out
    made = load_bundle(tmp_path / "made")
    assert made.fusion == replace(bundle.fusion, unsure_below=point["unsure_below"])
    assert f"best score is below {point['unsure_below']:.9g}." in (made.directory / REPORT_NAME).read_text()
    classifier, kept = SceneClassifier(made), []
    selection = esc_plan.open()
    for index in selection.test_clips:
        with AudioFile(selection.dataset.clips[index].path) as audio:
            kept += [classifier.classify(window).assessable for window in audio.windows(made.front_end)]
    assert np.mean(kept) == pytest.approx(point["coverage"], abs=1e-4)
    for wrong in ("1", "-0.1", "much"):
        with pytest.raises(SystemExit):
            main([*words, f"--unsure-below={wrong}"])
        assert "must be a score from 0 up, below 1" in capsys.readouterr().err


def test_half_a_data_set_is_no_wish_for_the_metrics(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who names clips gets those or an error, never another temperature."""
    words = ["calibrate", "--bundle", str(tiny_bundle.directory), "--out", str(tmp_path / "made")]
    assert main([*words, "--dataset", "folder"]) == 2
    assert "folder needs --data-dir" in capsys.readouterr().err
    assert main([*words, "--data-dir", str(tmp_path)]) == 2
    assert "name with --dataset" in capsys.readouterr().err
    assert main(words) == 2
    assert "without a temperature" in capsys.readouterr().err
