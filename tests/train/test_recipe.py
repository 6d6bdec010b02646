"""A recipe's settings cannot be what no training can follow."""

from typing import Any

import pytest

from soundscene.errors import SettingsError
from soundscene_train.recipe import AugmentationSettings, FitSettings, Recipe


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"schedule": "linear"},
        {"warm_up_share": 1.0},
        {"weight_decay": -1.0},
        {"average_last_share": 1.0},
    ],
)
def test_fit_settings_are_checked(fields: dict[str, Any]) -> None:
    """Settings that no training can follow do not come into being."""
    with pytest.raises(SettingsError, match=next(iter(fields))):
        FitSettings(**fields)


@pytest.mark.parametrize("name", ["", ".", "../other", "a/b", "a\\b", "a\x00b", " ", 3])
def test_a_name_that_no_folder_may_have_is_refused(name: Any) -> None:
    """The name becomes that of a run's folder: it cannot lead elsewhere."""
    with pytest.raises(SettingsError, match="name must begin with a letter or digit and hold no slash"):
        Recipe(name=name)


@pytest.mark.parametrize("name", ["Lärm", "my recipe", "CR + DC, 5 s (plain)", "v1.2_b"])
def test_any_other_name_is_taken(name: str) -> None:
    """Runs of earlier versions bear such names in their plans, and go on."""
    assert Recipe(name=name).name == name


@pytest.mark.parametrize("fields", [{"mixup_alpha": -0.1}, {"frequency_mask_bands": -1}, {"time_mask_frames": -1}])
def test_augmentation_settings_are_checked(fields: dict[str, Any]) -> None:
    """Negative strengths are refused."""
    with pytest.raises(SettingsError, match=next(iter(fields))):
        AugmentationSettings(**fields)
