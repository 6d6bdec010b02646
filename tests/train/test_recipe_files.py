"""Recipes as files: every setting named, checked and written down."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from soundscene.errors import SettingsError
from soundscene.settings import FrontEndSettings
from soundscene_train.network import merged_parameter_count
from soundscene_train.recipe import Recipe
from soundscene_train.recipe_files import load_recipe, packaged_recipes, parse_recipe

EXPERIMENTS = Path(__file__).parents[2] / "train" / "experiments"


@pytest.mark.parametrize("name", [*packaged_recipes(), *map(str, sorted(EXPERIMENTS.glob("*.toml")))])
def test_every_shipped_recipe_reads_and_returns(name: str) -> None:
    """Packaged recipes and experiments load, and survive being dumped beside results."""
    recipe = load_recipe(name)
    assert parse_recipe(recipe.to_dict()) == recipe
    assert recipe.name != "unnamed"


def test_a_preset_is_a_base_to_change() -> None:
    """A recipe's front end is its preset with the named settings changed."""
    recipe = parse_recipe({"front_end": {"preset": "paper", "remove_window_mean": True}})
    assert recipe.front_end.hop_size_samples == FrontEndSettings.preset("paper").hop_size_samples
    assert recipe.front_end.remove_window_mean
    assert parse_recipe({}) == Recipe()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 3}, "no setting epochs"),
        ({"fit": {"epoch": 3}}, "no setting epoch; known are"),
        ({"augmentation": {"mix": 1}}, "no setting mix"),
        ({"front_end": {"hop": 1}}, "unknown"),
        ({"front_end": {"preset": "none"}}, "no preset"),
        ({"network": {"widths": [1]}}, "widths"),
        ({"seed": -1}, "seed"),
        ({"storage": {"weight_bits": 16}}, "weight_bits must be 2 to 8, or 32"),
        ({"storage": {"pruned_share": 1.0}}, "pruned_share must lie in"),
        (
            {"fit": {"quantise_last_share": 0.2}},
            "quantise_last_share needs weight_bits below 32 or pruned_share above 0",
        ),
        ({"augmentation": {"crop_frames": 129}}, "crop_frames must not exceed the patch's 128 frames"),
        ({"augmentation": {"crop_frames": 7}}, r"frames must be at least 8, as each pool halves them, got \(128, 7\)"),
        ({"front_end": {"band_count": 4}}, "bands and frames must be at least 8"),
        ({"augmentation": {"response_probability": 1.5}}, "response_probability"),
        ({"augmentation": {"response_spread": -0.1}}, "response_spread"),
        ({"augmentation": {"noise_probability": 2.0}}, "noise_probability"),
        ({"augmentation": {"noise_min_snr_db": 50.0}}, "noise_max_snr_db"),
        ({"augmentation": {"style_probability": 1.1}}, "style_probability"),
        ({"fit": 3}, "fit must be a table of settings, got 3"),
        ({"front_end": "paper"}, "front_end must be a table of settings"),
        ({"front_end": {"preset": ["paper"]}}, "no preset"),
        ({"fit": {"epochs": "ten"}}, "epochs must be a valid integer, got 'ten'"),
        ({"fit": {"epochs": 1.5}}, "epochs must be a valid integer, got 1.5"),
        ({"fit": {"epochs": True}}, "epochs must be a valid integer, got True"),
        ({"fit": {"learning_rate": float("inf")}}, "learning_rate must be a finite number"),
        ({"augmentation": {"roll": "yes"}}, "roll must be a valid boolean"),
        ({"augmentation": {"held_out_responses": "one"}}, "held_out_responses must be a valid list, got 'one'"),
        ({"network": {"widths": [4, 8, 8, 8.5, 8, 8]}}, r"widths\[3\] must be a valid integer, got 8.5"),
        ({"fusion": {"rule": 3}}, "rule must be a valid string"),
        ({"seed": "1"}, "seed must be a valid integer"),
    ],
)
def test_unknown_and_wrong_keys_are_refused(values: dict[str, Any], message: str) -> None:
    """A misspelt setting, or a value of another kind, never passes silently."""
    with pytest.raises(SettingsError, match=message):
        parse_recipe(values)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    """Missing and broken files are named in the message."""
    with pytest.raises(
        SettingsError, match=r"'nowhere.toml': expected one of demo, paper, quick, small, steady, strong"
    ):
        load_recipe("nowhere.toml")
    broken = tmp_path / "broken.toml"
    for content in (b"epochs = [", b"\xff\xfe"):
        broken.write_bytes(content)
        with pytest.raises(SettingsError, match=r"broken.toml: not valid TOML"):
            load_recipe(str(broken))


def test_strong_fits_the_limit_at_a_byte_a_parameter_only() -> None:
    """Three strong networks keep to 128,000 bytes with 8-bit weights, and miss both limits with float32."""
    strong = load_recipe("strong")
    parameters = 3 * merged_parameter_count(strong.network, 10)
    assert parameters == 110_910
    assert parameters <= 128_000
    assert 4 * parameters > 131_072


def test_small_is_strong_in_half_the_bits() -> None:
    """Nothing but how weights are stored, and for how long they are trained so, tells the two recipes apart."""
    small, strong = load_recipe("small"), load_recipe("strong")
    assert small.storage.weight_bits * 2 == strong.storage.weight_bits
    assert small.fit.quantise_last_share == 0.3
    fit = dataclasses.replace(small.fit, quantise_last_share=strong.fit.quantise_last_share)
    assert dataclasses.replace(small, name="strong", storage=strong.storage, fit=fit) == strong


def test_steady_is_strong_with_band_means_left_in_for_gammatone() -> None:
    """Nothing else tells the two recipes apart."""
    steady, strong = load_recipe("steady"), load_recipe("strong")
    assert steady.front_end.remove_band_means == ("mel",)
    front_end = dataclasses.replace(steady.front_end, remove_band_means=strong.front_end.remove_band_means)
    assert dataclasses.replace(steady, name="strong", front_end=front_end) == strong


def test_the_papers_table_is_three_experiments() -> None:
    """Beside the packaged recipes, the other two rows differ from the paper's in the network alone."""
    paper = load_recipe("paper")
    for name in ("paper", "small", "steady", "strong"):
        assert load_recipe(str(EXPERIMENTS / f"{name}.toml")) == load_recipe(name)
    for row in ("paper-cnn7", "paper-channel-restriction"):
        other = load_recipe(str(EXPERIMENTS / f"{row}.toml"))
        assert (other.front_end, other.fit, other.augmentation) == (paper.front_end, paper.fit, paper.augmentation)
        assert other.network != paper.network
