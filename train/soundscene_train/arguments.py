"""The command line's arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from soundscene.commands import add_version
from soundscene.settings import NETWORK_NAMES
from soundscene_train.datasets import DATASET_NAMES, DEFAULT_FOLD_COUNT
from soundscene_train.recipe import DEVICES, ENGINES
from soundscene_train.recipe_files import packaged_recipes

__all__ = ["make_parser", "parse"]

_LARGEST_GAIN_DB: Final = 100
_EXIT_USAGE: Final = 2

_OF_DATA: Final = ("dataset", "data_dir", "cache_dir", "quick", "folds", "skip_unreadable", "test_parts", "out")
_OF_TRAINING: Final = ("recipe", "seed", "epochs", "engine", "devices", "train_responses", "teacher", "train_parts")
_UNHEEDED: Final = {
    "--run": ((*_OF_DATA, *_OF_TRAINING), "a run knows what it was trained on and is tested on"),
    "--bundle": ((*_OF_TRAINING, "gains"), "a bundle is tested as it is"),
    "calibrate without --dataset": (
        ("cache_dir", "quick", "folds", "skip_unreadable", "test_parts"),
        "the temperature is that of the bundle's own evaluation",
    ),
    "cross-validate": (("test_parts",), "each of its parts is tested in turn; --train-parts may name them"),
}
"""Options that say nothing where a stage is given a run, or a bundle, or no data, or by itself."""

_EPILOG: Final = """\
With nothing at hand:
  soundscene-train run synthetic --quick
With your own recordings, a folder for each class (or a table: csv instead of folder):
  soundscene-train prepare folder --data-dir recordings
  soundscene-train cross-validate folder --data-dir recordings --jobs 2
With TAU Urban Acoustic Scenes 2020 Mobile (27.4 GB of archives, resumed when interrupted):
  soundscene-train prepare tau2020 --data-dir TAU --download --jobs 2
With ESC-10 or ESC-50 (a folder with meta/esc50.csv and audio/; --download fetches it):
  soundscene-train run esc10 --data-dir ESC-50-master --train-parts 1 2 3 4 --jobs 2
The same command again goes on where it was interrupted.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; a stage's whole usage would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(_EXIT_USAGE, f"{self.prog}: {message}; {self.prog} --help lists what it takes\n")


def make_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = _Parser(
        prog="soundscene-train",
        description="Train the three networks of a soundscene bundle.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    commands = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    helps = {
        "prepare": "make or check the data set and compute its spectrograms",
        "fit": "train the networks of a run",
        "cross-validate": "train and test once for each fold, and judge all clips together",
        "evaluate": "test a run or a bundle: tables, JSON and a report in HTML",
        "compare": "pair two evaluated runs clip by clip: gained, lost, and a sign test",
        "compress": "test a trained run again in fewer bytes: a curve of bytes against accuracy and log loss",
        "export": "write a run's bundle",
        "calibrate": "calibrate a bundle's scores by its own evaluation or, with --dataset, by clips it has not seen",
        "run": "prepare, fit, evaluate and export",
        "reproduce": "train a table of the paper and set it beside the paper's figures",
    }
    stages = {name: commands.add_parser(name, help=text, description=text) for name, text in helps.items()}
    for stage in stages.values():
        stage.set_defaults(of_stage=stage)
    _add_table_arguments(stages["reproduce"])
    for name in ("prepare", "fit", "run", "cross-validate", "reproduce"):
        _add_plan_arguments(stages[name], has_word=True)
    stages["prepare"].add_argument(
        "--download", action="store_true", help="tau2020, esc10: fetch what is missing first, into --data-dir"
    )
    stages["prepare"].add_argument(
        "--download-from", metavar="URL", help="another place that has the same files; implies --download"
    )
    for name in ("fit", "run", "cross-validate"):
        stages[name].add_argument("--run", type=Path, metavar="DIR", help="the run's folder (runs/DATASET-RECIPE)")
    for name in ("prepare", "fit", "run", "cross-validate", "evaluate", "reproduce"):
        stages[name].add_argument("--jobs", type=_at_least(1), default=1, help="processes, one core each (1)")
    stages["fit"].add_argument("--networks", nargs="+", choices=NETWORK_NAMES, default=NETWORK_NAMES, help="(all)")
    stages["export"].add_argument("--run", type=Path, metavar="DIR", required=True, help="the folder of `fit`")
    _add_subject_arguments(stages["evaluate"])
    _add_calibrate_arguments(stages["calibrate"])
    for name, text in (("compress", "folder of `fit` or `cross-validate`"), ("compare", "folder of an evaluated run")):
        stages[name].add_argument("--run", type=Path, metavar="DIR", required=True, help=text)
    stages["compress"].add_argument("--out", type=Path, metavar="DIR", help="the curve's folder (the run's)")
    stages["compare"].add_argument("--against", type=Path, metavar="DIR", required=True, help="the one it should beat")
    for name in ("evaluate", "run"):
        stages[name].add_argument(
            "--gains", nargs="+", type=_gain_db, default=(), metavar="DB", help="test at these gains too, as -20 20"
        )
        _add_calibration_argument(stages[name])
    for name in ("evaluate", "run", "cross-validate"):
        _add_assessment_arguments(stages[name])
    for name in ("export", "run"):
        _add_export_arguments(stages[name])
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read a command line; an option that the stage would not heed is refused, as is one it does not know.

    Raises
    ------
    SystemExit
        After `--help`, `--version`, or one line about what is wrong.
    """
    arguments = make_parser().parse_args(words)
    for subject in _subjects(arguments):
        names, reason = _UNHEEDED.get(subject, ((), ""))
        default = arguments.of_stage.get_default
        given = [name for name in names if getattr(arguments, name, default(name)) != default(name)]
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            arguments.of_stage.error(f"{subject} takes no {options}: {reason}")
    return arguments


def _subjects(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield what a stage works on, as `_UNHEEDED` names it."""
    if arguments.stage not in {"evaluate", "calibrate"}:
        yield arguments.stage
        return
    yield "--run" if getattr(arguments, "run", None) is not None else "--bundle"
    if arguments.stage == "calibrate" and arguments.dataset is None and arguments.data_dir is None:
        yield "calibrate without --dataset"


def _add_plan_arguments(parser: argparse.ArgumentParser, *, has_word: bool = False) -> None:
    """What is trained or tested on what; `has_word`: the data set may be named by a word of its own."""
    recipes = ", ".join(packaged_recipes())
    data = parser.add_mutually_exclusive_group()
    if has_word:
        data.add_argument("word", nargs="?", metavar="DATASET", help=f"{', '.join(DATASET_NAMES)} (synthetic)")
    data.add_argument("--dataset", choices=DATASET_NAMES, default="synthetic", help="(synthetic; with --bundle: none)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where it lies; synthetic: where it is written")
    parser.add_argument("--cache-dir", type=Path, default=Path("runs/cache"), metavar="DIR", help="(runs/cache)")
    parser.add_argument(
        "--recipe", metavar="NAME|FILE", help=f"one of {recipes}, or a TOML file (demo; reproduce: paper)"
    )
    parser.add_argument("--quick", action="store_true", help="recipe `quick`, and a small synthetic city")
    parser.add_argument("--seed", type=_at_least(0), help="instead of the recipe's")
    parser.add_argument("--epochs", type=_at_least(1), help="instead of the recipe's")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="fast: one core; keras: what KERAS_BACKEND and its devices offer (the recipe's)",
    )
    parser.add_argument(
        "--devices",
        choices=DEVICES,
        help="all: Keras shares each batch among all devices; those of several machines, where its variables "
        "KERAS_DISTRIBUTION_* connect them (the recipe's)",
    )
    parser.add_argument(
        "--folds",
        type=_at_least(2),
        default=DEFAULT_FOLD_COUNT,
        metavar="N",
        help="folder, csv without folds: make N (%(default)s)",
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="folder, csv: leave out what cannot be read")
    parser.add_argument(
        "--train-responses",
        type=Path,
        metavar="DIR",
        help="impulse responses of devices, for recipes that augment with them (simulated devices)",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="RUN",
        help="finished run or cross-validation, for recipes with teacher_share",
    )
    parser.add_argument("--train-parts", nargs="+", metavar="PART", help="folds or splits to train on")
    parser.add_argument("--test-parts", nargs="+", metavar="PART", help="folds or splits to test on (the rest)")


def _add_table_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", choices=("table3", "table4", "table5", "figure3"))
    parser.add_argument("--seeds", type=_at_least(1), default=1, metavar="N", help="trainings of each cell (1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of tables and cells (runs/reproduce-DATASET)")


def _add_subject_arguments(parser: argparse.ArgumentParser) -> None:
    """What is tested: a run, which knows its data, or a bundle, which is told."""
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--run", type=Path, metavar="DIR", help="the folder of `fit`")
    subject.add_argument("--bundle", type=Path, metavar="DIR", help="a finished bundle, tested as it is served")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help="with --bundle: the report's folder (%(default)s)",
    )
    _add_plan_arguments(parser)
    parser.set_defaults(dataset=None)


def _add_assessment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--robustness", action="store_true", help="test under gain, noise, a band limit, MP3 and Opus too"
    )
    parser.add_argument(
        "--responses",
        type=Path,
        metavar="DIR",
        help="and through the microphone responses in a folder, those alone that the recipe holds out if it names any",
    )
    parser.add_argument(
        "--backgrounds",
        type=Path,
        metavar="DIR",
        help="and laid over recordings in a folder, of your street perhaps",
    )


def _add_calibration_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calibrate-from", type=Path, metavar="RUN", help="evaluated run whose test is held-out training data"
    )


def _add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, metavar="DIR", required=True, help="a finished bundle")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="the calibrated bundle's folder")
    parser.add_argument("--bundle-version", metavar="V", help="(the bundle's, and -calibrated)")
    parser.add_argument(
        "--unsure-below",
        type=_threshold,
        metavar="SCORE",
        help="declare windows not assessable whose best score is lower; the report tells what it keeps (the bundle's)",
    )
    _add_plan_arguments(parser)
    parser.set_defaults(dataset=None, jobs=1)


def _add_export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", help="the bundle's folder (bundle, in the run's folder)")
    parser.add_argument("--name", help="the bundle's name (the data set's; folder, csv: their folder's)")
    parser.add_argument("--bundle-version", default="1", metavar="V", help="(1)")
    parser.add_argument("--description", default="", metavar="TEXT", help="what it knows, in words")
    parser.add_argument(
        "--metrics-from", type=Path, metavar="DIR", help="another run of the same recipe whose score the bundle states"
    )


def _gain_db(text: str) -> float:
    """Read a gain that leaves something to hear."""
    with suppress(ValueError):
        if abs(value := float(text)) <= _LARGEST_GAIN_DB:
            return value
    raise argparse.ArgumentTypeError(f"must lie within -{_LARGEST_GAIN_DB} and {_LARGEST_GAIN_DB} dB, got {text!r}")


def _threshold(text: str) -> float:
    """Read a score that a window can reach."""
    with suppress(ValueError):
        if 0.0 <= (value := float(text)) < 1.0:
            return value
    raise argparse.ArgumentTypeError(f"must be a score from 0 up, below 1, got {text!r}")


def _at_least(lowest: int) -> Callable[[str], int]:
    """Return a reader of whole numbers that refuses lower ones."""

    def read(text: str) -> int:
        with suppress(ValueError):
            if (value := int(text)) >= lowest:
                return value
        raise argparse.ArgumentTypeError(f"must be a whole number from {lowest} up, got {text!r}")

    return read
