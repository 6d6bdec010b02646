"""The paper's tables, from the command line to files, and what they make of several seeds."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from soundscene_train.__main__ import main
from soundscene_train.datasets.clips import digest_of
from soundscene_train.network import merged_parameter_count
from soundscene_train.plan import Plan
from soundscene_train.recipe import AugmentationSettings, Recipe
from soundscene_train.reproduce.cells import LENGTHS, NETWORKS, Cell, Results, train_cells
from soundscene_train.reproduce.output import format_entries
from soundscene_train.reproduce.run import reproduce
from soundscene_train.reproduce.tables import TABLES, collect
from soundscene_train.stages import Reporter


def test_the_papers_networks_have_the_papers_sizes() -> None:
    """CNN-7, CR and CR + DC are those of Table IV; the fourth is of the baseline's size, 46,246, to 3 %."""
    counts = {name: merged_parameter_count(settings, 10) for name, settings in NETWORKS.items()}
    assert (counts["CNN-7"], counts["CR"], counts["CR + DC"]) == (288_938, 80_010, 10_922)
    assert counts["DCASE baseline size class"] == pytest.approx(46_246, rel=0.03)


def test_tables_share_their_cells() -> None:
    """Table V and figure 3 are the augmented 5-second cell of Table III, so nothing is trained twice."""
    shared = TABLES["table5"].cells["product"]
    assert set(TABLES["figure3"].cells.values()) == {shared}
    assert TABLES["table3"].cells["5 s, augmented"] == shared
    folders = {cell.folder(Path(), seed) for cell in TABLES["table3"].cells.values() for seed in (0, 1)}
    assert len(folders) == 16


def test_seeds_make_a_mean_an_interval_and_a_comparison() -> None:
    """Seeds at 60 and 70 % give 65, Student's interval cut to 0..100 % and the paper's 66.7; one or equal ones none."""
    results = [{"product": {"accuracy": share, "device_accuracy": {"a": 0.8}}} for share in (0.6, 0.7)]
    entries = collect(TABLES["table5"], {Cell(): results})
    assert [(entry.column, entry.paper) for entry in entries] == [("all", 66.7), ("a", 79.1)]
    assert "| product | all | 65.0 | 1.5 to 100.0 | 66.7 |" in format_entries("t", entries, "tau2020")
    assert "| product | a | 80.0 |  | 79.1 |" in format_entries("t", entries, "tau2020")
    alone = collect(TABLES["table5"], {Cell(): results[:1]})
    assert "| product | all | 60.0 |  | 66.7 |" in format_entries("t", alone, "esc10")


def test_rows_of_other_seeds_and_rows_that_are_to_come_are_told_apart() -> None:
    """A table that is written before it is complete has the rows that are tested, and says of how many seeds."""
    first, second = list(TABLES["table4"].cells.values())[:2]
    result = {"mel": {"accuracy": 0.5, "class_accuracy": {}}}
    entries = collect(
        TABLES["table4"], dict.fromkeys(TABLES["table4"].cells.values(), ()) | {first: [result] * 2, second: [result]}
    )
    assert [(entry.row, len(entry.values)) for entry in entries] == [("DCASE baseline size class", 2), ("CNN-7", 1)]
    assert "on esc10, 1 or 2 seeds;" in format_entries("t", entries, "esc10")


def test_table_3_shows_each_input_and_their_product_beside_the_papers() -> None:
    """Each column is its own classifier's; the paper's product stands beside one training alone."""
    accuracies = {"mel": 0.5, "gammatone": 0.6, "cqt": 0.4, "product": 0.8, "average": 0.7}
    result = {name: {"accuracy": share} for name, share in accuracies.items()}
    table = TABLES["table3"]
    entries = collect(table, {cell: [result] for cell in table.cells.values()})
    columns = [(entry.column, entry.mean) for entry in entries]
    assert columns == [("mel", 50.0), ("gammatone", 60.0), ("cqt", 40.0), ("product", 80.0)] * 8
    printed = {(entry.row, entry.column): entry.paper for entry in entries if entry.paper is not None}
    assert printed == {
        ("5 s, augmented", "mel"): 59.5,
        ("5 s, augmented", "gammatone"): 60.6,
        ("5 s, augmented", "cqt"): 48.6,
        ("5 s, augmented", "product"): 66.7,
        ("5 s", "mel"): 56.2,
        ("5 s", "gammatone"): 53.1,
        ("5 s", "cqt"): 48.6,
        ("1 s", "mel"): 56.7,
    }


def test_table_4_and_figure_3_show_each_class_beside_all() -> None:
    """A row's classes are its own network's or fusion's; the paper's stand beside what they are of."""
    result = {
        name: {"accuracy": share, "macro_accuracy": 0.9, "class_accuracy": {"bus": share - 0.1, "tram": share + 0.1}}
        for name, share in (("mel", 0.5), ("gammatone", 0.6), ("cqt", 0.4), ("product", 0.8))
    }
    found = {}
    for name in ("table4", "figure3"):
        entries = collect(TABLES[name], {cell: [result] for cell in TABLES[name].cells.values()})
        found[name] = [(one.row, one.column, round(one.mean, 6), one.paper) for one in entries]
    assert found["table4"][:6] == [
        ("DCASE baseline size class", "all", 50.0, 47.7),
        ("DCASE baseline size class", "bus", 40.0, 47.1),
        ("DCASE baseline size class", "tram", 60.0, 53.0),
        ("CNN-7", "all", 50.0, 59.7),
        ("CNN-7", "bus", 40.0, None),
        ("CNN-7", "tram", 60.0, None),
    ]
    printed = {"mel": 59.5, "gammatone": 60.6, "cqt": 48.6, "product": 66.7}
    assert found["figure3"] == [
        (row, column, share, printed[row] if column == "all" else None)
        for row, mean in (("mel", 50.0), ("gammatone", 60.0), ("cqt", 40.0), ("product", 80.0))
        for column, share in (("all", mean), ("bus", mean - 10.0), ("tram", mean + 10.0))
    ]


def test_an_interval_over_seeds_stays_in_percent() -> None:
    """Seeds at 1 and 5 % do not reach below none, nor those at 95 and 99 % above all."""
    table = TABLES["table5"]
    for shares, ends in (((0.01, 0.05), (0.0, 28.4)), ((0.95, 0.99), (71.6, 100.0))):
        results = [{"product": {"accuracy": share, "device_accuracy": {}}} for share in shares]
        (entry,) = collect(table, {Cell(): results})
        assert entry.interval is not None
        assert (entry.interval.low, entry.interval.high) == pytest.approx(ends, abs=0.05)


def test_a_cell_is_its_length_its_network_and_its_seed(tiny_recipe: Recipe) -> None:
    """Laid on a recipe it keeps what tables do not vary: the dropout, and where it is augmented the augmentation."""
    hops = {length: Cell(length=length).recipe(tiny_recipe, 0).front_end.hop_size_samples for length in LENGTHS}
    assert hops == {"1 s": 620, "2 s": 1120, "5 s": 1850, "10 s": 2048}
    base = replace(tiny_recipe, network=replace(tiny_recipe.network, dropout=0.123))
    for name, settings in NETWORKS.items():
        recipe = Cell(name, augmented=True).recipe(base, 7)
        assert (recipe.seed, recipe.augmentation) == (7, base.augmentation)
        assert recipe.network == replace(settings, dropout=0.123)
    plain = Cell(augmented=False).recipe(replace(base, augmentation=AugmentationSettings(roll=True)), 0).augmentation
    assert (plain.mixup_alpha, plain.frequency_mask_bands, plain.time_mask_frames, plain.roll) == (0.0, 0, 0, False)
    folders = {Cell(name, "1 s", augmented=False).folder(Path(), 0) for name in NETWORKS}
    assert len(folders) == len(NETWORKS)


def test_a_table_is_written_anew_after_each_cell(esc_plan: Plan, tmp_path: Path) -> None:
    """When a cell is told as tested, the table has its row already, though others are to come."""
    selection = esc_plan.open()
    test = digest_of(selection.dataset.clips[index] for index in selection.test_clips)
    held = {"test": test, "results": {"mel": {"accuracy": 0.5, "class_accuracy": {}}}}
    for cell in TABLES["table4"].cells.values():
        folder = cell.folder(tmp_path / "cells", 0)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(held))
    seen = []

    class Reader(Reporter):
        def step(self, stage: str, done: int, total: int) -> None:
            with (tmp_path / "table4.csv").open(newline="") as stream:
                seen.append((stage, done, total, [row["row"] for row in csv.DictReader(stream)]))

    reproduce("table4", esc_plan, tmp_path, [0], Reader())
    rows = list(TABLES["table4"].cells)
    assert seen == [("table4, tested", done, 4, rows[:done]) for done in (1, 2, 3, 4)]


def test_each_seed_has_cells_of_its_own(esc_plan: Plan, tmp_path: Path) -> None:
    """Figures of two seeds that are trained make a table of their means; cells of all seeds are told."""
    selection = esc_plan.open()
    test = digest_of(selection.dataset.clips[index] for index in selection.test_clips)
    for seed, share in ((3, 0.5), (5, 0.7)):
        for cell in TABLES["table4"].cells.values():
            folder = cell.folder(tmp_path / "cells", seed)
            folder.mkdir(parents=True)
            held = {"test": test, "results": {"mel": {"accuracy": share, "class_accuracy": {}}}}
            (folder / "result.json").write_text(json.dumps(held))
    told = []

    class Listener(Reporter):
        def step(self, stage: str, done: int, total: int) -> None:
            told.append((done, total))

    printed = reproduce("table4", esc_plan, tmp_path, [3, 5], Listener())
    assert "| CNN-7 | all | 60.0 |" in printed
    assert told == [(done, 8) for done in range(1, 9)]


def test_a_cell_is_tested_as_soon_as_it_is_trained(esc_plan: Plan, tmp_path: Path) -> None:
    """The first of two cells has its figures before the second begins; later only what is missing is made, or of a test
    with other clips or labels.
    """
    cells = [Cell(length="1 s", augmented=augmented, inputs=("mel",)) for augmented in (False, True)]
    folders = [cell.folder(tmp_path, 0) for cell in cells]
    seen: list[tuple[Cell, dict[str, float], list[bool]]] = []

    def finished(cell: Cell, results: Results) -> None:
        accuracy = {name: result["accuracy"] for name, result in results.items()}
        seen.append((cell, accuracy, [(folder / "mel" / "checkpoint.npz").is_file() for folder in folders]))

    train_cells(cells, esc_plan, tmp_path, 0, Reporter(), finished=finished)
    assert [cell for cell, *_ in seen] == cells
    assert [begun for *_, begun in seen] == [[True, False], [True, True]]
    (folders[1] / "result.json").unlink()
    held = json.loads((folders[0] / "result.json").read_text())
    held["test"], held["results"]["mel"]["accuracy"] = "other clips", 2.0
    (folders[0] / "result.json").write_text(json.dumps(held))
    ages = [(folder / "mel" / "checkpoint.npz").stat().st_mtime_ns for folder in folders]
    train_cells(cells, esc_plan, tmp_path, 0, Reporter(), finished=finished)
    assert [found[:2] for found in seen[2:]] == [found[:2] for found in seen[:2]]
    assert [(folder / "mel" / "checkpoint.npz").stat().st_mtime_ns for folder in folders] == ages


@pytest.mark.slow
def test_quick_tables_run_end_to_end_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each table is written with what it needs, and a cell that is trained is not trained again."""
    monkeypatch.chdir(tmp_path)
    out = Path("runs/reproduce-synthetic-quick")
    assert main(["reproduce", "table5", "--quick"]) == 0
    assert "training cqt: 1/1" in capsys.readouterr().err
    assert main(["reproduce", "figure3", "--quick"]) == 0
    assert "training" not in capsys.readouterr().err, "the same cell"
    with (out / "table5.csv").open(newline="") as stream:
        rows = {row["column"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"all", "a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6"}
    held = json.loads((Cell().folder(out / "cells", 0) / "result.json").read_text())["results"]
    assert float(rows["all"]["accuracy_percent"]) == pytest.approx(100 * held["product"]["accuracy"], abs=0.01)
    assert rows["s6"]["paper_percent"] == "60.3"
    assert (out / "figure3.png").read_bytes().startswith(b"\x89PNG")
    assert main(["reproduce", "table4", "--quick", "--jobs", "2"]) == 0
    printed = capsys.readouterr()
    assert "| CNN-7 | all |" in printed.out
    assert "training cr-dc-1-s-plain-seed-0 mel: 1/1" in printed.err
