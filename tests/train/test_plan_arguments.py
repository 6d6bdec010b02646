"""What is written on the command line is what is done."""

import dataclasses
from pathlib import Path

import pytest

from soundscene_train.__main__ import main
from soundscene_train.arguments import make_parser
from soundscene_train.errors import DatasetError, TrainingError
from soundscene_train.plan_arguments import export_names, plan_from, reproduction_from
from soundscene_train.recipe import Recipe
from soundscene_train.recipe_files import load_recipe


def _recipe(words: str) -> Recipe:
    arguments = make_parser().parse_args(words.split())
    if arguments.stage == "reproduce":
        return reproduction_from(arguments, "")[0].recipe
    return plan_from(arguments, "")[0].recipe


def test_a_table_is_of_the_papers_recipe_unless_another_is_named() -> None:
    """`reproduce` trains as the paper does, or as the recipe it is given says."""
    assert _recipe("reproduce table3") == load_recipe("paper")
    assert _recipe("reproduce table3 --recipe strong") == load_recipe("strong")


@pytest.mark.parametrize(
    "words", ["prepare", "fit", "run", "cross-validate --quick", "reproduce figure3", "reproduce table3 --quick"]
)
def test_every_setting_reaches_the_recipe(words: str) -> None:
    """Seed, epochs, engine and devices change the recipe of each stage, a table's too, and nothing else in it."""
    plain = _recipe(words)
    changed = _recipe(f"{words} --seed 7 --epochs 3 --engine keras --devices all")
    expected = plain.with_fit(epochs=3, engine="keras", devices="all")
    assert changed == dataclasses.replace(expected, seed=7)


def test_an_engine_by_name_keeps_the_recipes_devices(tmp_path: Path) -> None:
    """`--engine keras` takes nothing from a recipe for all devices; the fast engine has one."""
    recipe = tmp_path / "all.toml"
    recipe.write_text('name = "all"\n[fit]\nengine = "keras"\ndevices = "all"\n')
    fits = [_recipe(f"fit --recipe {recipe} {words}").fit for words in ("", "--engine keras", "--engine fast")]
    assert [(fit.engine, fit.devices) for fit in fits] == [("keras", "all"), ("keras", "all"), ("fast", "one")]


def test_responses_that_would_not_be_trained_with_are_refused() -> None:
    """Nobody believes to have trained against microphones with a recipe that does not."""
    with pytest.raises(TrainingError, match="recipe demo trains with no responses of devices; leave out"):
        _recipe("fit --train-responses IR")
    assert _recipe("fit --recipe strong --train-responses IR") == load_recipe("strong")


def test_the_data_set_is_a_word_of_its_own_or_an_option() -> None:
    """`prepare tau2020` and `prepare --dataset tau2020` say the same; with neither, the synthetic city is meant."""
    for words in ("prepare", "fit", "run", "cross-validate", "reproduce table3"):
        arguments = make_parser().parse_args([*words.split(), "tau2020", "--data-dir", "TAU"])
        plan, folder = plan_from(arguments, "")
        option = make_parser().parse_args([*words.split(), "--data-dir", "TAU", "--dataset", "tau2020"])
        assert (plan, folder) == plan_from(option, "")
        assert plan.dataset_name == "tau2020"
        assert "tau2020" in folder.name
        assert plan_from(make_parser().parse_args(words.split()), "")[0].dataset_name == "synthetic"
        with pytest.raises(DatasetError, match="no data set 'tau'; there are esc10, tau2020"):
            plan_from(make_parser().parse_args([*words.split(), "tau"]), "")


@pytest.mark.parametrize(
    "words", ["evaluate --bundle B", "evaluate --bundle B --data-dir D", "calibrate --bundle B --out C --data-dir D"]
)
def test_a_bundle_is_not_tested_on_what_nobody_named(words: str) -> None:
    """No synthetic city is made for it: the command asks for --dataset; who names the city gets it."""
    with pytest.raises(DatasetError, match="name with --dataset what the bundle shall hear, and with --data-dir"):
        plan_from(make_parser().parse_args(words.split()), "")
    plan, _ = plan_from(make_parser().parse_args([*words.split(), "--dataset", "synthetic"]), "")
    assert plan.dataset_name == "synthetic"


def test_a_folder_has_one_name_however_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`own`, `./own` and `../home/own` are one plan; behind a link `..` stays, as it leads elsewhere."""
    (tmp_path / "home" / "own").mkdir(parents=True)
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    (tmp_path / "home" / "link").symlink_to(tmp_path / "elsewhere" / "below")
    monkeypatch.chdir(tmp_path / "home")
    words = "fit folder --recipe strong --data-dir {0} --cache-dir {0}/.c --train-responses {0}/r --teacher {0}/t"
    plans = [
        plan_from(make_parser().parse_args(words.format(typed).split()), "")[0]
        for typed in ("own", "./own", "../home/own", "link/../own")
    ]
    assert plans[0].data_dir == tmp_path / "home" / "own"
    assert plans[0] == plans[1] == plans[2]
    assert plans[3].data_dir == tmp_path / "home" / "link" / ".." / "own"


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("prepare folder", "--cache-dir"),
        ("fit folder", "--cache-dir and --run"),
        ("run folder --cache-dir ../cache --out ../home/bundle", "--run and --out"),
        ("cross-validate folder --cache-dir ../cache --run .", "--run"),
        ("reproduce figure3 folder --cache-dir ../cache", "--out"),
        ("evaluate --bundle B --dataset folder", "--out"),
        ("calibrate --bundle B --dataset folder --out link/made", "--out"),
    ],
)
def test_nothing_is_written_among_the_classes(
    words: str, options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of recordings it would be a class without sound; the refusal names the options that lead out."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "link").symlink_to(tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    arguments = make_parser().parse_args([*words.split(), "--data-dir", "."])
    with pytest.raises(DatasetError, match=rf"holds a folder for each class, .* elsewhere with {options}$"):
        (reproduction_from if arguments.stage == "reproduce" else plan_from)(arguments, "")


@pytest.mark.parametrize("stage", ["export", "compress"])
def test_what_comes_after_a_training_is_not_written_among_the_classes_either(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`export` and `compress` know the recordings by the run's plan, and refuse a folder beside the classes."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    words = ["fit", "folder", "--data-dir", "home", "--run", "run"]
    plan_from(make_parser().parse_args(words), "")[0].save(Path("run"))
    assert main([stage, "--run", "run", "--out", "home/made"]) == 2
    assert "would be taken for one; name a folder elsewhere with --out" in capsys.readouterr().err
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        "fit folder --data-dir . --run ../run --cache-dir .cache",
        "fit csv --data-dir .",
        "fit folder --data-dir sounds",
        "evaluate --bundle B --dataset folder --data-dir . --out ../evaluation",
    ],
)
def test_beside_the_classes_anything_may_be_written(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder, a hidden one, or the folder of a table, which names its files."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    plan_from(make_parser().parse_args(words.split()), "")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("run", "synthetic"),
        ("run tau2020 --data-dir TAU", "tau2020"),
        ("run folder --data-dir {home}", "my-street-2026"),
        ("run csv --data-dir {home}", "my-street-2026"),
        ("run csv --data-dir {home}/clips.csv", "my-street-2026"),
        ("run csv --data-dir {home}/улица", "csv"),
        ("run csv --data-dir {home} --name corner", "corner"),
    ],
)
def test_a_bundle_is_called_as_the_recordings_it_knows(words: str, name: str, tmp_path: Path) -> None:
    """Two bundles of one's own recordings are told apart by their folders' names, whatever else these hold."""
    home = tmp_path / "My_Street.2026"
    home.mkdir()
    (home / "clips.csv").touch()
    arguments = make_parser().parse_args([word.format(home=home) for word in words.split()])
    names = export_names(arguments, plan_from(arguments, "")[0], "")
    assert names.name == name
    assert names.description == f"Trained on {'my-street-2026' if arguments.name else name}"
