"""What is written on the command line is what is done."""

import dataclasses

import pytest

from soundscene_train.arguments import make_parser, plan_from, reproduction_from
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


@pytest.mark.parametrize("gain_db", ["200", "-101", "nan", "inf", "loud"])
def test_a_gain_that_leaves_nothing_to_hear_is_refused(gain_db: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Gains are numbers within 100 dB of the recorded level."""
    assert make_parser().parse_args(["evaluate", "--run", "run", "--gains", "-20", "20"]).gains == [-20.0, 20.0]
    with pytest.raises(SystemExit):
        make_parser().parse_args(["evaluate", "--run", "run", f"--gains={gain_db}"])
    assert "argument --gains" in capsys.readouterr().err.splitlines()[-1]
