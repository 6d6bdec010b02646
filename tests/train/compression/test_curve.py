"""A curve's points are what would be stored and served, and its first is the run itself."""

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from soundscene_train import scoring
from soundscene_train.__main__ import main
from soundscene_train.compression import curve
from soundscene_train.compression.curve import trade_off
from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames
from soundscene_train.fast import FastNetwork
from soundscene_train.plan import Plan
from soundscene_train.recipe import StorageSettings
from soundscene_train.stages import Reporter, evaluate_run, export_run


def test_points_are_what_the_recipe_would_store(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> None:
    """A run in 4 bits has the count, the log loss and the bytes of the curve's point; so has its bundle."""
    run = esc_run
    plain = evaluate_run(esc_plan, run, Reporter()).results["product"]
    whole, few = trade_off(run, Reporter(), (StorageSettings(32), StorageSettings(4)))
    assert (whole.correct_count, whole.clip_count) == (plain.correct_count, 12)
    assert whole.log_loss == pytest.approx(plain.log_loss, abs=2e-4)
    (run / "plan.json").unlink()
    stored = replace(esc_plan, recipe=replace(esc_plan.recipe, storage=StorageSettings(4)))
    stored.save(run)
    evaluated = evaluate_run(stored, run, Reporter()).results
    assert few.correct_count == evaluated["product"].correct_count
    assert few.log_loss == pytest.approx(evaluated["product"].log_loss, abs=2e-4)
    assert few.correct_by_network == {name: evaluated[name].correct_count for name in few.correct_by_network}
    bundle = export_run(stored, run, tmp_path / "bundle", ExportNames("few"))
    sizes = [(bundle.directory / f"{name}.weights").stat().st_size for name in few.correct_by_network]
    assert few.stored_bytes == sum(sizes) == bundle.provenance["cost"]["bytes"]
    assert few.stored_bytes < whole.stored_bytes


def test_the_command_writes_a_curve_over_all_folds(
    esc_plan: Plan, esc_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At every point each fold is tested on its own clips, and judged with the others; a bad folder is said before."""
    folder = tmp_path / "folds"
    esc_plan.save(folder)
    tested = []
    for part, others in (("3", ("1", "2")), ("2", ("1", "3"))):
        home, plan = folder / f"fold-{part}", replace(esc_plan, train_parts=others, test_parts=(part,))
        shutil.copytree(esc_run, home)
        (home / "plan.json").unlink()
        plan.save(home)
        tested.append(evaluate_run(plan, home, Reporter()).results["product"])
    losses = [found.log_loss for found in tested]
    assert abs(losses[0] - losses[1]) > 0.002
    (tmp_path / "file").touch()
    assert main(["compress", "--run", str(folder), "--out", str(tmp_path / "file")]) == 2
    assert re.fullmatch(r"soundscene-train: \S+/file: cannot be written: File exists\n", capsys.readouterr().err)
    assert main(["compress", "--run", str(folder), "--out", str(tmp_path / "curve")]) == 0
    assert f"{sum(found.correct_count for found in tested)}/24" in capsys.readouterr().out.splitlines()[1]
    with (tmp_path / "curve" / "compress.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["weight_bits"], row["pruned_share"]) for row in rows][-1] == ("8", "0.75")
    assert {row["clips"] for row in rows} == {"24"}
    assert float(rows[0]["log_loss"]) == pytest.approx(sum(losses) / 2, abs=2e-4)
    sizes = [int(row["bytes"]) for row in rows if row["pruned_share"] == "0.0"]
    assert sizes == sorted(sizes, reverse=True)
    assert int(rows[-1]["nonzero_bytes"]) < int(rows[-1]["bytes"])
    assert (tmp_path / "curve" / "compress.png").stat().st_size > 10_000


def test_each_point_is_tested_with_its_own_weights(esc_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order, and where a compiled network keeps its first values, as on every backend but TensorFlow."""

    def compile_as_others_do(network: FastNetwork) -> Callable[[NDArray[np.float32]], Any]:
        held = [np.asarray(variable).copy() for variable in network.model.weights]

        def forward(patches: NDArray[np.float32]) -> Any:
            for variable, value in zip(network.model.weights, held, strict=True):
                variable.assign(value)
            return scoring.scoring_function(network)(patches)

        return forward

    settings = (StorageSettings(32), StorageSettings(2))
    expected = trade_off(esc_run, Reporter(), settings)
    assert expected[0].log_loss != expected[1].log_loss
    assert trade_off(esc_run, Reporter(), settings[::-1]) == expected[::-1]
    monkeypatch.setattr(curve, "scoring_function", compile_as_others_do)
    assert trade_off(esc_run, Reporter(), settings) == expected


def test_a_run_that_left_nothing_to_test_is_refused(esc_plan: Plan, tmp_path: Path) -> None:
    """A curve needs clips that were not trained on."""
    replace(esc_plan, train_parts=("1", "2", "3"), test_parts=()).save(tmp_path / "run")
    with pytest.raises(TrainingError, match="every part of esc10 is trained on"):
        trade_off(tmp_path / "run", Reporter())


def test_a_cross_validation_that_was_interrupted_has_no_curve(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> None:
    """Figures of some of its parts would pass for those of all."""
    folder = tmp_path / "folds"
    replace(esc_plan, train_parts=("1", "2", "3"), test_parts=()).save(folder)
    for part in ("1", "3"):
        shutil.copytree(esc_run, folder / f"fold-{part}")
    with pytest.raises(TrainingError, match="folds has no run in fold-2; give the command of `cross-validate` again"):
        trade_off(folder, Reporter())
