"""What a command line asks for: the plan of a run, the folder of a table, the name of a bundle."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from soundscene_train.assessment.assess import AssessmentSettings
from soundscene_train.datasets import OWN_NAMES, CitySettings, own_name, require_known
from soundscene_train.errors import DatasetError, TrainingError
from soundscene_train.export import ExportNames
from soundscene_train.files import one_name
from soundscene_train.plan import Plan
from soundscene_train.recipe import Recipe
from soundscene_train.recipe_files import load_recipe

__all__ = ["assessment_from", "export_names", "plan_from", "reproduction_from", "require_apart"]

_QUICK_CITY: Final = CitySettings(train_clips_per_scene=6, evaluate_clips_per_scene=3, clip_seconds=5.0)


def plan_from(arguments: argparse.Namespace, command: str) -> tuple[Plan, Path]:
    """Return the plan that the arguments describe, and the run's folder.

    Raises
    ------
    SettingsError
        The recipe is unknown or damaged.
    DatasetError
        The data set is unknown, or it needs a folder and none is given; or something would be written among recordings,
        where each folder is a class.
    TrainingError
        Responses are given that the recipe would not train with.
    """
    dataset = getattr(arguments, "word", None) or arguments.dataset
    if dataset is None:
        raise DatasetError("name with --dataset what the bundle shall hear, and with --data-dir where it lies")
    require_known(dataset)
    recipe = _recipe_from(arguments)
    if arguments.data_dir is None and dataset != "synthetic":
        raise DatasetError(f"{dataset} needs --data-dir, the folder it lies in")
    if arguments.train_responses is not None and recipe.augmentation.response_probability == 0.0:
        raise TrainingError(f"recipe {recipe.name} trains with no responses of devices; leave out --train-responses")
    default_data = Path("data") / ("synthetic-city-quick" if arguments.quick else "synthetic-city")
    plan = Plan(
        recipe=recipe,
        dataset_name=dataset,
        data_dir=one_name(arguments.data_dir or default_data),
        cache_dir=one_name(arguments.cache_dir),
        train_parts=None if arguments.train_parts is None else tuple(arguments.train_parts),
        test_parts=None if arguments.test_parts is None else tuple(arguments.test_parts),
        city=_QUICK_CITY if arguments.quick else CitySettings(),
        fold_count=arguments.folds,
        responses_dir=None if arguments.train_responses is None else one_name(arguments.train_responses),
        teacher_dir=None if arguments.teacher is None else one_name(arguments.teacher),
        command=command,
    )
    suffix = "-folds" if arguments.stage == "cross-validate" else ""
    default_run = Path("runs") / f"{dataset}-{recipe.name}{suffix}"
    folder = getattr(arguments, "run", None) or default_run
    require_apart(plan, _written(arguments, plan, folder))
    return plan, folder


def reproduction_from(arguments: argparse.Namespace, command: str) -> tuple[Plan, Path, range]:
    """Return the plan that a table's cells are laid on, the folder of the tables, and the seeds."""
    plan, _ = plan_from(arguments, command)
    suffix = "-quick" if arguments.quick else ""
    first = arguments.seed or 0
    folder = arguments.out or Path("runs") / f"reproduce-{plan.dataset_name}{suffix}"
    require_apart(plan, {"--out": folder})
    return plan, folder, range(first, first + arguments.seeds)


def assessment_from(arguments: argparse.Namespace) -> AssessmentSettings:
    """Return what is measured beside the plain test."""
    return AssessmentSettings(
        arguments.robustness,
        arguments.responses,
        arguments.backgrounds,
        getattr(arguments, "calibrate_from", None),
    )


def export_names(arguments: argparse.Namespace, plan: Plan, command: str) -> ExportNames:
    """Return how the bundle is called; from recordings of one's own, as the folder they lie in."""
    is_own = plan.dataset_name in OWN_NAMES
    recordings = (own_name(plan.data_dir) if is_own else "") or plan.dataset_name
    description = arguments.description or f"Trained on {recordings}"
    return ExportNames(arguments.name or recordings, arguments.bundle_version, description, command)


def _written(arguments: argparse.Namespace, plan: Plan, folder: Path) -> dict[str, Path]:
    """Return the folders that a stage writes into, by the options that name them."""
    written = {} if arguments.stage in {"evaluate", "calibrate"} else {"--cache-dir": plan.cache_dir}
    if arguments.stage in {"fit", "run", "cross-validate"}:
        written["--run"] = folder
    if getattr(arguments, "out", None) is not None:
        written["--out"] = arguments.out
    return written


def require_apart(plan: Plan, written: Mapping[str, Path]) -> None:
    """Refuse to write where it would become a class: in a folder of recordings, unless it is hidden there."""
    if plan.dataset_name != "folder":
        return
    home = plan.data_dir.resolve()
    inside = {name: place.resolve() for name, place in written.items() if place.resolve().is_relative_to(home)}
    tops = {name: place.relative_to(home).parts[:1] for name, place in inside.items()}
    options = [name for name, top in tops.items() if not any(part.startswith(".") for part in top)]
    if options:
        raise DatasetError(
            f"{plan.data_dir} holds a folder for each class, and what is written in it would be taken for one; name "
            f"a folder elsewhere with {' and '.join(options)}"
        )


def _recipe_from(arguments: argparse.Namespace) -> Recipe:
    """Return the recipe that is named, or the stage's own, with what the arguments change in it."""
    is_table = arguments.stage == "reproduce"
    recipe = load_recipe(arguments.recipe or ("paper" if is_table else "quick" if arguments.quick else "demo"))
    if is_table and arguments.quick:
        recipe = recipe.with_fit(epochs=1, batch_size=8, learning_rate=3e-3)
    if arguments.seed is not None:
        recipe = dataclasses.replace(recipe, seed=arguments.seed)
    if arguments.epochs is not None:
        recipe = recipe.with_fit(epochs=arguments.epochs)
    engine = arguments.engine or recipe.fit.engine
    return recipe.with_fit(
        engine=engine, devices=arguments.devices or (recipe.fit.devices if engine == "keras" else "one")
    )
