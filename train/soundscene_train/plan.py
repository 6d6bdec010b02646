"""What a run trains on what, written down in its folder before the training starts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from reprlib import Repr
from typing import Any, Final, Self

from soundscene.frontend import Standardisation
from soundscene_train.datasets import DEFAULT_FOLD_COUNT, CitySettings, Dataset, Selection, open_dataset
from soundscene_train.errors import DatasetError, TrainingError
from soundscene_train.features import Features, FeatureSettings, has_features, prepare_features
from soundscene_train.files import one_name, reading, write_json, writing
from soundscene_train.listing import first_few
from soundscene_train.progress import Progress
from soundscene_train.recipe import Recipe
from soundscene_train.recipe_files import parse_recipe
from soundscene_train.run_folders import PLAN_NAME, STANDARDISATION_NAME, trained_file

__all__ = ["Plan", "read_standardisation"]

_ELSEWHERE: Final = "name another folder (--run; of reproduce: --out)"
_WITHOUT_PLAN: Final = f"remove it and give the same command again, which keeps what is trained, or {_ELSEWHERE}"
_CHANGED: Final = (
    "recordings to train on were added, removed, changed or labelled anew since; "
    f"put back what was there, or {_ELSEWHERE}"
)
_VALUES: Final = Repr()
_VALUES.maxstring = 300  # paths are shown whole


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run trains on what.

    Parameters
    ----------
    recipe : Recipe
        All settings.
    dataset_name : str
        One of `DATASET_NAMES`.
    data_dir, cache_dir : Path
        Where the data set lies and where spectrograms are kept.
    train_parts, test_parts : tuple of str or None
        Folds or splits; None takes the data set's own.
    city : CitySettings
        Size of the synthetic city, used by that data set alone.
    fold_count : int >= 2
        Folds of the user's own recordings, where these name none.
    skipped : tuple of str
        Files that are left out because they cannot be read.
    responses_dir : Path or None
        Impulse responses of recording devices, for recipes that augment with them; None takes simulated ones.
    teacher_dir : Path or None
        Finished run whose scores are part of the targets, where the recipe asks for a teacher; of a cross-validation
        another, whose folds teach the same folds.
    train_digest : str
        Of the clips that are trained on, once it is known which: a run stays with the recordings it began with.
    command : str
        What the user typed, for the record.
    """

    recipe: Recipe
    dataset_name: str
    data_dir: Path
    cache_dir: Path
    train_parts: tuple[str, ...] | None = None
    test_parts: tuple[str, ...] | None = None
    city: CitySettings = field(default_factory=CitySettings)
    fold_count: int = DEFAULT_FOLD_COUNT
    skipped: tuple[str, ...] = ()
    responses_dir: Path | None = None
    teacher_dir: Path | None = None
    train_digest: str = ""
    command: str = ""

    def dataset(self) -> Dataset:
        """Open the data set, without what is left out of it.

        Raises
        ------
        DatasetError
            The data is missing or damaged.
        """
        dataset = open_dataset(self.dataset_name, self.data_dir, self.city, self.fold_count)
        return replace(dataset, clips=tuple(clip for clip in dataset.clips if str(clip.path) not in self.skipped))

    def open(self) -> Selection:
        """Open the data set and check the parts.

        Raises
        ------
        DatasetError
            The data is missing or damaged, a part does not exist, or what was trained on is no longer what is there.
        """
        dataset = self.dataset()
        train = self.train_parts if self.train_parts is not None else dataset.train_parts
        test = self.test_parts if self.test_parts is not None else dataset.test_parts
        if self.test_parts is None and self.train_parts is not None:
            test = tuple(part for part in dataset.parts if part not in train)
        selection = Selection(dataset, train, test)
        if self.train_digest not in {"", selection.train_digest}:
            raise DatasetError(f"{self.data_dir}: {_CHANGED}")
        return selection

    def pinned(self, selection: Selection) -> Plan:
        """Return the plan of the recordings that are there now."""
        return replace(self, train_digest=selection.train_digest)

    def features(
        self, selection: Selection, gain_db: float = 0.0, progress: Progress | None = None, jobs: int = 1
    ) -> Features:
        """Compute or find the spectrograms of the whole data set."""
        return prepare_features(selection.dataset, self._feature_settings(gain_db), self.cache_dir, progress, jobs)

    def has_features(self, selection: Selection) -> bool:
        """Tell whether the spectrograms of the whole data set are there."""
        return has_features(selection.dataset, self._feature_settings(), self.cache_dir)

    def save(self, folder: Path) -> None:
        """Write the plan; a folder that holds another plan is refused.

        Raises
        ------
        TrainingError
            The folder belongs to another run or to other recordings, or cannot be written.
        """
        self.require_free(folder)
        if (folder / PLAN_NAME).is_file() and (not self.train_digest or Plan.load(folder).train_digest):
            return
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / PLAN_NAME, self._to_dict())

    def require_free(self, folder: Path) -> None:
        """Refuse a folder that holds another plan; one that holds none is free.

        Raises
        ------
        TrainingError
            The folder belongs to another run or to other recordings.
        """
        if (folder / PLAN_NAME).is_file():
            self.require_in(folder)

    def require_in(self, folder: Path) -> None:
        """Refuse a folder that holds another plan, and say in what it differs.

        Raises
        ------
        TrainingError
            It does, or it holds none.
        """
        held = Plan.load(folder)
        if differ := _differences(held._comparable(), self._comparable()):
            raise TrainingError(f"{folder} holds a run of another plan: {differ}; {_ELSEWHERE}, or remove this one")
        if self.train_digest and held.train_digest not in {"", self.train_digest}:
            raise TrainingError(f"{folder}: {_CHANGED}")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a run's plan.

        Raises
        ------
        TrainingError
            There is none, or it is not readable.
        """
        path = folder / PLAN_NAME
        if not path.is_file():
            raise TrainingError(f"{folder} holds no {PLAN_NAME}; name the --run folder of `soundscene-train fit`")
        with reading(path, "a plan of this version", _WITHOUT_PLAN):
            return cls._from_dict(json.loads(path.read_text(encoding="utf-8")))

    def load_kin(self, folder: Path) -> Plan:
        """Read the plan of another run of the same recipe, which says something about this one.

        Raises
        ------
        TrainingError
            There is none, or its recipe is another.
        """
        held = Plan.load(folder)
        if differ := _differences({"recipe": held.recipe.to_dict()}, {"recipe": self.recipe.to_dict()}):
            raise TrainingError(f"{folder} was trained by another recipe: {differ}; name a run of the same recipe")
        return held

    def _feature_settings(self, gain_db: float = 0.0) -> FeatureSettings:
        return FeatureSettings(self.recipe.front_end, self.recipe.fusion.short_clip, gain_db)

    def _comparable(self) -> dict[str, Any]:
        """Return what makes two plans one: neither how a place was typed, nor the command, nor what may come later."""
        values = self._to_dict()
        for name in ("data_dir", "cache_dir", "responses_dir", "teacher_dir"):
            values[name] = None if values[name] is None else str(one_name(Path(values[name])))
        values["skipped"] = [str(one_name(Path(name))) for name in values["skipped"]]
        return {name: value for name, value in values.items() if name not in {"command", "train_digest"}}

    def _to_dict(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.to_dict(),
            "dataset": self.dataset_name,
            "data_dir": str(self.data_dir),
            "cache_dir": str(self.cache_dir),
            "train_parts": None if self.train_parts is None else list(self.train_parts),
            "test_parts": None if self.test_parts is None else list(self.test_parts),
            "city": self.city.to_dict(),
            "fold_count": self.fold_count,
            "skipped": list(self.skipped),
            "responses_dir": None if self.responses_dir is None else str(self.responses_dir),
            "teacher_dir": None if self.teacher_dir is None else str(self.teacher_dir),
            "train_digest": self.train_digest,
            "command": self.command,
        }

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> Self:
        train, test = values["train_parts"], values["test_parts"]
        return cls(
            recipe=parse_recipe(values["recipe"]),
            dataset_name=values["dataset"],
            data_dir=Path(values["data_dir"]),
            cache_dir=Path(values["cache_dir"]),
            train_parts=None if train is None else tuple(train),
            test_parts=None if test is None else tuple(test),
            city=CitySettings(**values["city"]),
            fold_count=values["fold_count"],
            skipped=tuple(values["skipped"]),
            responses_dir=None if values["responses_dir"] is None else Path(values["responses_dir"]),
            teacher_dir=None if values["teacher_dir"] is None else Path(values["teacher_dir"]),
            train_digest=values.get("train_digest", ""),
            command=values["command"],
        )


def _differences(held: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Say which settings of two plans differ, the first few; nothing if none does."""
    of_held = dict(_settings(held))
    return first_few(
        f"{name} is {_VALUES.repr(of_held.get(name))}, not {_VALUES.repr(value)}"
        for name, value in _settings(asked)
        if of_held.get(name) != value
    )


def _settings(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is not a table of its own, named as `recipe.fit.epochs`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def read_standardisation(folder: Path, network: str) -> Standardisation:
    """Read the constants that `fit` measured for a network."""
    path = trained_file(folder, network, STANDARDISATION_NAME)
    with reading(path, "the constants of a network", "run `soundscene-train fit` again"):
        return Standardisation.from_dict(json.loads(path.read_text(encoding="utf-8")))
