"""Recipes as TOML files: found, read, and refused where a key or a value is not what a recipe knows."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from soundscene.errors import SettingsError
from soundscene.fusion import FusionSettings
from soundscene.settings import FrontEndSettings
from soundscene_train.network import NetworkSettings
from soundscene_train.recipe import AugmentationSettings, FitSettings, Recipe, StorageSettings

__all__ = ["load_recipe", "packaged_recipes", "parse_recipe"]


def packaged_recipes() -> dict[str, str]:
    """Return the text of the recipes that come with the package, by name."""
    folder = resources.files("soundscene_train").joinpath("recipes")
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda item: item.name)
        if entry.name.endswith(".toml")
    }


def load_recipe(name_or_path: str) -> Recipe:
    """Read a packaged recipe by its name or any other by its path.

    Raises
    ------
    SettingsError
        There is no such recipe, it is not valid TOML, or a key or value is not known.
    """
    packaged = packaged_recipes()
    path = Path(name_or_path)
    if name_or_path not in packaged and not path.is_file():
        raise SettingsError(f"no recipe {name_or_path!r}: expected one of {', '.join(packaged)} or a TOML file")
    try:
        text = packaged[name_or_path] if name_or_path in packaged else path.read_text(encoding="utf-8")
        return parse_recipe(tomllib.loads(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"recipe {name_or_path}: not valid TOML: {error}") from error
    except SettingsError as error:
        raise SettingsError(f"recipe {name_or_path}: {error}") from error


def parse_recipe(values: Mapping[str, Any]) -> Recipe:
    """Build a recipe from nested tables; whatever is left out keeps its default.

    `front_end` may name a `preset`, on which its other keys are laid.

    Raises
    ------
    SettingsError
        A key is unknown, or a value is of another kind or outside its range.
    """
    parts = {
        "network": NetworkSettings,
        "fit": FitSettings,
        "augmentation": AugmentationSettings,
        "storage": StorageSettings,
        "fusion": FusionSettings,
    }
    fields: dict[str, Any] = dict(values)
    for key, kind in parts.items():
        if key in fields:
            fields[key] = _build(kind, fields[key], key)
    if "front_end" in fields:
        table = dict(_table(fields["front_end"], "front_end"))
        base = FrontEndSettings.preset(table.pop("preset", "five-seconds"))
        fields["front_end"] = FrontEndSettings.from_dict(base.to_dict() | table)
    return _build(Recipe, fields, "the recipe")  # type: ignore[no-any-return]


def _build(kind: Any, values: Mapping[str, Any], place: str) -> Any:
    """Make a settings object from a table, refusing keys it does not have and values of another kind."""
    kinds = get_type_hints(kind)
    unknown = sorted(set(_table(values, place)) - set(kinds))
    if unknown:
        raise SettingsError(f"{place} has no setting {', '.join(unknown)}; known are {', '.join(sorted(kinds))}")
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    for key, value in fields.items():
        if not dataclasses.is_dataclass(kinds[key]):  # these are built already
            _require_kind(key, kinds[key], value)
    return kind(**fields)


def _require_kind(key: str, kind: Any, value: object) -> None:
    """Refuse text where a number belongs, a fraction where a whole one does, and so on."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError  # not there without the extra

    try:
        TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        setting = key + "".join(f"[{position}]" for position in first["loc"])
        expected = first["msg"].removeprefix("Input should be ").replace("tuple", "list")
        raise SettingsError(f"{setting} must be {expected}, got {first['input']!r}") from error


def _table(values: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise SettingsError(f"{place} must be a table of settings, got {values!r}")
    return values
