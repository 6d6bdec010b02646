"""`soundscene-train` from the outside: the whole path, and one clear line for what goes wrong."""

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundscene.audio_files import AudioFile
from soundscene.bundle import load_bundle
from soundscene.classifier import SceneClassifier
from soundscene_train import __main__ as command_line
from soundscene_train.__main__ import main
from soundscene_train.datasets import CitySettings
from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames
from soundscene_train.fitting import Training
from soundscene_train.plan import Plan
from soundscene_train.recipe import Recipe
from soundscene_train.stages import Reporter, evaluate_run, export_run, fit_run, fit_runs, require_score_of

RECIPE = """
name = "tiny"
[front_end]
sample_rate_hz = 16000
window_size_samples = 1024
fft_size_samples = 2048
hop_size_samples = 400
patch_frames = 32
step_frames = 16
band_count = 32
cqt_min_frequency_hz = 100.0
cqt_bins_per_octave = 6
[network]
widths = [8, 8, 8, 8, 8, 8]
[fit]
epochs = 8
batch_size = 8
learning_rate = 1e-2
[augmentation]
mixup_alpha = 0.0
frequency_mask_bands = 2
time_mask_frames = 2
"""


def test_run_goes_all_the_way_and_goes_on(
    esc_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command trains, tests and exports; again, it finds everything done; the bundle classifies the sounds."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(RECIPE)
    words = ["run", "--dataset", "esc10", "--data-dir", str(esc_folder), "--recipe", "tiny.toml", "--gains", "-20"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "product of three" in printed.out
    assert "at -20 dB: " in printed.out
    assert "training cqt: 8/8" in printed.err
    assert main(words) == 0
    again = capsys.readouterr()
    assert again.out == printed.out
    assert "training" not in again.err

    run = Path("runs") / "esc10-tiny"
    metrics = json.loads((run / "evaluation.json").read_text())["metrics"]
    bundle = load_bundle(run / "bundle")
    assert bundle.metrics == metrics
    assert metrics["correct_count"] >= 8, "three easy sounds, twelve clips"
    assert metrics["correct_count_at_gain"].keys() == {"-20 dB"}
    assert bundle.provenance["command"].startswith("soundscene-train run --dataset esc10")
    assert bundle.provenance["largest_score_difference_of_export"] <= 1e-5
    names = ExportNames("borrowed")
    plan = Plan.load(run)
    borrowed = export_run(plan, run, tmp_path / "borrowed", names, metrics_from=run)
    assert borrowed.metrics["tested_on"] == "esc10: the same recipe trained on 1, 2 and tested on 3"
    with pytest.raises(TrainingError, match=r"trained on esc10 in .*; its score says nothing about this run"):
        export_run(replace(plan, dataset_name="folder"), run, tmp_path / "folder", names, metrics_from=run)
    replace(plan, dataset_name="folder", train_digest="").save(tmp_path / "own")
    (tmp_path / "own" / "evaluation.json").write_bytes((run / "evaluation.json").read_bytes())
    with pytest.raises(TrainingError, match=r"trained on folder in .*; its score says nothing about this run"):
        require_score_of(replace(plan, dataset_name="folder", data_dir=tmp_path), tmp_path / "own")
    with pytest.raises(TrainingError, match="trained by another recipe"):
        export_run(replace(plan, recipe=plan.recipe.with_fit(epochs=9)), run, tmp_path / "no", names, metrics_from=run)
    for content in ('{"metrics": {"accuracy_by_classifier": {}}}', '{"metrics": null}', "[]"):
        (tmp_path / "own" / "evaluation.json").write_text(content)
        with pytest.raises(TrainingError, match="written by an earlier version; run `soundscene-train evaluate` on"):
            require_score_of(replace(plan, dataset_name="folder"), tmp_path / "own")
    correct = 0
    classifier = SceneClassifier(bundle)
    for path in sorted((esc_folder / "audio").glob("3-*.wav")):
        with AudioFile(path) as audio:
            (window,) = audio.windows(bundle.front_end)
        verdict = classifier.classify(window)
        correct += bundle.labels[int(np.argmax(verdict.scores))] == ("clicks", "noise", "tone")[int(path.name[2])]
    assert correct == metrics["correct_count"]


def test_two_processes_train_as_one_does(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> None:
    """Networks of two runs, side by side in processes, end with the same weights as one after the other."""
    beside, further = tmp_path / "beside", tmp_path / "further"
    one_fold = replace(esc_plan, train_parts=("1",))
    work = [
        Training(esc_plan, beside, "mel"),
        Training(one_fold, further, "mel"),
        Training(esc_plan, beside, "gammatone"),
    ]
    reporter = _Listener()
    ended: list[tuple[str, str]] = []
    fit_runs(work, reporter, jobs=2, finished=lambda training: ended.append((training.folder.name, training.network)))
    assert sorted(ended) == [("beside", "gammatone"), ("beside", "mel"), ("further", "mel")]
    for name in ("mel", "gammatone"):
        with np.load(esc_run / name / "checkpoint.npz") as one, np.load(beside / name / "checkpoint.npz") as other:
            for key in one.files:
                np.testing.assert_array_equal(one[key], other[key], err_msg=key)
    assert Plan.load(further).train_parts == ("1",)
    assert sorted(reporter.heard) == sorted(
        (name, done, 2) for name in ("beside mel", "beside gammatone", "further mel") for done in (1, 2)
    )
    counts, percents = zip(*reporter.wholes, strict=True)
    assert set(counts) == {3}
    assert list(percents) == sorted(percents)
    assert percents[-1] == 100
    with pytest.raises(TrainingError, match="holds no trained cqt network"):
        evaluate_run(esc_plan, beside, Reporter())


class _Listener(Reporter):
    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []
        self.wholes: list[tuple[int, int]] = []

    def epoch(self, network: str, done: int, total: int, loss: float) -> None:
        assert loss > 0.0
        self.heard.append((network, done, total))

    def whole(self, count: int, percent: int, seconds_left: float) -> None:
        assert seconds_left >= 0.0
        self.wholes.append((count, percent))


def test_the_synthetic_city_trains_on_every_device(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """With no data at hand the whole path runs, and the evaluation knows devices."""
    city = CitySettings(2, 9, 1.1, 16_000)
    plan = Plan(tiny_recipe, "synthetic", tmp_path / "city", tmp_path / "cache", city=city)
    fit_run(plan, tmp_path / "run", Reporter())
    results = evaluate_run(plan, tmp_path / "run", Reporter()).results
    assert set(results["product"].device_accuracy) == {"a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"}
    assert results["product"].clip_count == 90


def test_without_its_plan_a_run_goes_on_and_no_other_does(esc_plan: Plan, esc_run: Path) -> None:
    """A damaged plan may be removed: each network knows what trained it, and refuses another plan of its shapes."""
    before = (esc_run / "mel" / "checkpoint.npz").stat().st_mtime_ns
    (esc_run / "plan.json").unlink()
    with pytest.raises(TrainingError, match=r"mel holds a run of another plan"):
        fit_run(replace(esc_plan, train_parts=("1",)), esc_run, Reporter(), ["mel"])
    assert not (esc_run / "plan.json").exists()
    reporter = _Listener()
    fit_run(esc_plan, esc_run, reporter, ["mel", "cqt"], jobs=2)
    assert reporter.heard == [], "both are trained"
    assert Plan.load(esc_run) == esc_plan.pinned(esc_plan.open())
    assert (esc_run / "mel" / "checkpoint.npz").stat().st_mtime_ns == before


def test_a_full_disk_ends_training_with_one_line_and_it_goes_on(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> None:
    """A checkpoint that finds no room says so, and once there is some, the run ends at the same weights."""
    home = tmp_path / "run" / "mel"
    home.mkdir(parents=True)
    (home / ".lock").mkdir()
    with pytest.raises(TrainingError, match="mel: cannot be written: Is a directory"):
        fit_run(esc_plan, home.parent, Reporter(), ["mel"])
    (home / ".lock").rmdir()
    (home / "checkpoint.npz.tmp").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"mel: cannot be written: No space left on device; make room and run"):
        fit_run(esc_plan, home.parent, Reporter(), ["mel"])
    fit_run(esc_plan, home.parent, Reporter(), ["mel"])
    with np.load(home / "checkpoint.npz") as one, np.load(esc_run / "mel" / "checkpoint.npz") as other:
        for key in one.files:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


class _Impatient(Reporter):
    """After the first epoch gives the same command again."""

    def __init__(self, again: Callable[[], None]) -> None:
        self.again, self.refusals = again, list[str]()

    def epoch(self, network: str, done: int, total: int, loss: float) -> None:
        if done == 1:
            with pytest.raises(TrainingError) as refusal:
                self.again()
            self.refusals.append(str(refusal.value))


def test_one_network_is_trained_once_at_a_time(esc_plan: Plan, tmp_path: Path) -> None:
    """The same command, given while the first still trains, is refused; the first writes each epoch once."""
    run = tmp_path / "run"
    reporter = _Impatient(lambda: fit_run(esc_plan, run, Reporter(), ["mel"]))
    fit_run(esc_plan, run, reporter, ["mel"])
    assert reporter.refusals == [
        f"{run / 'mel'}: another process is training this network; wait for it, or train this one in another folder"
    ]
    epochs = [json.loads(line)["epoch"] for line in (run / "mel" / "history.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, esc_plan.recipe.fit.epochs + 1))


def test_damage_in_a_run_is_named(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> None:
    """A cut file of a trained run is one line that names it, whichever stage reads it."""
    run = tmp_path / "run"
    shutil.copytree(esc_run, run)
    names = ExportNames("damaged")
    for name in ("mel/checkpoint.npz", "mel/standardisation.json"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(TrainingError, match=rf"{name}: not "):
            evaluate_run(esc_plan, run, Reporter())
        (run / name).write_bytes(content)
    (run / "evaluation.json").write_text("{")
    with pytest.raises(TrainingError, match=r"evaluation\.json: not what `evaluate` wrote .* run `soundscene-train"):
        export_run(esc_plan, run, tmp_path / "bundle", names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "--dataset", "esc10"], "esc10 needs --data-dir"),
        (["run", "--dataset", "esc10", "--data-dir", "nowhere"], "nowhere: no such folder"),
        (["prepare", "--recipe", "nothing"], "no recipe 'nothing'"),
        (["evaluate", "--run", "nowhere"], "holds no plan.json"),
        (["export", "--run", "nowhere"], "holds no plan.json"),
    ],
)
def test_mistakes_cost_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong arguments exit with 2 and a single line that says what is missing."""
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --quick --responses nowhere", "nowhere holds no .wav file"),
        ("run --quick --calibrate-from nowhere", "nowhere holds no scores.npz"),
        ("run --quick --metrics-from nowhere", "nowhere holds no plan.json"),
        ("run --quick --out .", "something other than a bundle"),
        ("run --quick --bundle-version 1/2", "version must be"),
        ("cross-validate --quick --responses nowhere", "nowhere holds no .wav file"),
        ("run --quick --backgrounds nowhere", "nowhere holds no audio"),
        ("fit --recipe strong --train-responses nowhere", "nowhere holds no .wav file"),
        ("cross-validate --quick --teacher nowhere", "a recipe with teacher_share above 0 needs --teacher"),
    ],
)
def test_what_is_needed_later_is_looked_for_first(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that only the test after the training reads ends the command before anything is computed or written."""
    monkeypatch.chdir(tmp_path)
    Path("thesis.txt").touch()
    assert main(words.split()) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["thesis.txt"]


def test_another_backend_is_refused_where_the_engine_is_tensorflows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fast engine takes gradients of TensorFlow's own variables; that is said before anything is computed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    for words in ("fit --quick", "cross-validate --quick", "reproduce table4 --quick"):
        assert main(words.split()) == 2
        assert "KERAS_BACKEND=jax is for --engine keras; unset it" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.rglob("*.wav"))


@pytest.mark.parametrize("swallowed", [False, True])
def test_an_interruption_says_how_to_go_on(
    swallowed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is one line and exit code 130, also where an extension module has made a SystemError of it."""

    def interrupted(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if swallowed:
                raise SystemError("returned a result with an exception set") from None
            raise

    monkeypatch.setattr(command_line, "_fit", interrupted)
    assert main(["fit", "--quick"]) == 130
    assert capsys.readouterr().err == "soundscene-train: interrupted; the same command goes on from what is finished\n"
    monkeypatch.setattr(command_line, "_compress", interrupted)
    assert main(["compress", "--run", "R"]) == 130
    assert capsys.readouterr().err == "soundscene-train: interrupted; the same command begins anew\n"
    monkeypatch.setattr(command_line, "_fit", raise_system_error)
    with pytest.raises(SystemError, match="of its own"):
        main(["fit", "--quick"])


def test_a_scheduler_that_ends_a_training_gets_the_same_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM, as batch systems send it at the end of their time, is told like Ctrl-C."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(command_line, "_fit", lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        assert main(["fit", "--quick"]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "interrupted; the same command goes on" in capsys.readouterr().err


def raise_system_error(*_: object) -> None:
    raise SystemError("of its own")


def test_stages_out_of_order_say_what_to_do(esc_plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Evaluating before fitting, and testing a run that kept nothing for it, name the way out."""
    esc_plan.save(tmp_path / "run")
    assert main(["evaluate", "--run", str(tmp_path / "run")]) == 2
    assert "run `soundscene-train fit` first" in capsys.readouterr().err
    everything = Plan(esc_plan.recipe, "esc10", esc_plan.data_dir, esc_plan.cache_dir, ("1", "2", "3"))
    with pytest.raises(TrainingError, match="none is left to test on; a run needs --test-parts, or fewer"):
        evaluate_run(everything, tmp_path / "run", Reporter())
    words = ["run", "esc10", "--data-dir", str(esc_plan.data_dir), "--train-parts", "1", "2", "3"]
    for asked in (["--robustness"], ["--gains", "20"]):
        assert main([*words, "--run", str(tmp_path / "whole"), *asked]) == 2
        assert "every part of esc10 is trained on, and none is left to test on" in capsys.readouterr().err
    assert not (tmp_path / "whole").exists()


def test_importing_is_silent_and_light() -> None:
    """The command's module loads without TensorFlow, matplotlib or Essentia."""
    import subprocess
    import sys

    code = (
        "import sys, soundscene_train.__main__, soundscene_train.arguments; "
        "print(sorted({'tensorflow', 'keras', 'matplotlib', 'essentia'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert not done.stderr
