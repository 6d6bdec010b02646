"""`soundscene-train`: from recordings to a bundle."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soundscene.commands import EXIT_INTERRUPTED, run_command
from soundscene.errors import MissingExtraError
from soundscene_train.errors import TrainingError

if TYPE_CHECKING:
    from soundscene_train.plan import Plan
    from soundscene_train.report import Evaluation
    from soundscene_train.stages import Reporter

__all__ = ["main"]

_NAME: Final = "soundscene-train"
_GIVEN_AGAIN: Final = {
    "evaluate": "begins anew, but for the distortions that are done",
    **dict.fromkeys(("calibrate", "compare", "compress", "export"), "begins anew"),
}
"""What a stage does after an interruption; others go on from what is finished."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage or all of them.

    Returns
    -------
    int
        0 when done, 2 after an error, which is one line on standard error, 130 after Ctrl-C or SIGTERM.
    """
    from soundscene_train.arguments import parse

    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parse(words)
    return run_command(_NAME, lambda: _run_stage(parsed, shlex.join([_NAME, *words])))


def _run_stage(arguments: argparse.Namespace, command: str) -> int:
    """Run a stage; what ends it from outside gets a line that says how to go on."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's way to say Ctrl-C
    try:
        _dispatch(arguments, command)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed: pip install 'soundscene[train]'") from error
    except BrokenExecutor as error:
        raise TrainingError(
            "a process was killed from outside, perhaps for lack of memory; the same command goes on from what is "
            "finished, and --jobs 1 needs less memory"
        ) from error
    except (KeyboardInterrupt, SystemError) as error:
        if isinstance(error, SystemError) and not isinstance(error.__context__, KeyboardInterrupt):
            raise  # it is one only where Ctrl-C hits TensorFlow while it reads an array
        again = _GIVEN_AGAIN.get(arguments.stage, "goes on from what is finished")
        print(f"{_NAME}: interrupted; the same command {again}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _dispatch(arguments: argparse.Namespace, command: str) -> None:
    """Do what the stage asks for."""
    from soundscene_train.machines import Machines, require_alone

    stages = {
        "prepare": _prepare,
        "fit": _fit,
        "run": _run,
        "cross-validate": _cross_validate,
        "evaluate": _evaluate_stage,
        "compare": _compare,
        "compress": _compress,
        "export": _export_stage,
        "calibrate": _calibrate,
        "reproduce": _reproduce,
    }
    if arguments.stage in {"run", "cross-validate", "reproduce"}:
        require_alone(Machines.from_environment(), arguments.stage)
    stages[arguments.stage](arguments, command)


def _plan_of(arguments: argparse.Namespace, command: str, reporter: Reporter) -> tuple[Plan, Path]:
    """Return the plan and the run's folder."""
    from soundscene_train.plan_arguments import plan_from

    plan, folder = plan_from(arguments, command)
    return _readable(plan, arguments, reporter), folder


def _readable(plan: Plan, arguments: argparse.Namespace, reporter: Reporter) -> Plan:
    """Leave out what cannot be read, where that is asked for."""
    from soundscene_train.stages import without_unreadable

    return without_unreadable(plan, reporter, arguments.jobs) if arguments.skip_unreadable else plan


def _prepare(arguments: argparse.Namespace, command: str) -> None:
    """Print what the data set is, refuse what cannot be used, and compute the spectrograms."""
    from soundscene_train import stages
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.datasets import OWN_NAMES
    from soundscene_train.datasets.inspection import format_inspection, require_readable, write_inspection
    from soundscene_train.datasets.sources import describe
    from soundscene_train.plan_arguments import plan_from

    with ConsoleReporter() as reporter:
        if arguments.download or arguments.download_from:
            stages.download_run(plan_from(arguments, command)[0], reporter, arguments.download_from)
        plan, _ = _plan_of(arguments, command, reporter)
        stages.make_data(plan, reporter)
        if plan.dataset_name in OWN_NAMES:
            dataset, front_end = plan.open().dataset, plan.recipe.front_end
            facts = stages.inspect_run(plan, reporter, arguments.jobs)
            print(format_inspection(dataset, facts, front_end.window_length_samples / front_end.sample_rate_hz))
            path = plan.cache_dir / f"{dataset.name}-clips.csv"
            write_inspection(path, facts)
            print(f"each clip: {path}")
            require_readable(facts)
        if line := describe(plan.dataset_name, plan.open().dataset):
            print(line)
        selection, features = stages.prepare_run(plan, reporter, jobs=arguments.jobs, is_inspected=True)
    print(f"{selection.dataset.name}: {len(selection.dataset.clips)} clips, {features.window_count} windows")


def _fit(arguments: argparse.Namespace, command: str) -> None:
    """Train the networks of a run."""
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.stages import fit_run

    with ConsoleReporter() as reporter:
        plan, folder = _plan_of(arguments, command, reporter)
        fit_run(plan, folder, reporter, arguments.networks, arguments.jobs)
    print(f"trained in {folder}")


def _run(arguments: argparse.Namespace, command: str) -> None:
    """Prepare, fit, evaluate and export; what is needed after the training is looked for before it."""
    from soundscene.bundle import require_place
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.plan import Plan
    from soundscene_train.plan_arguments import export_names, plan_from
    from soundscene_train.run_folders import BUNDLE_NAME
    from soundscene_train.stages import fit_run

    plan, folder = plan_from(arguments, command)
    names = export_names(arguments, plan, command)
    require_place(arguments.out or folder / BUNDLE_NAME, names.name, names.version)
    with ConsoleReporter() as reporter:
        _look_ahead(plan, arguments, reporter)
        plan, folder = _plan_of(arguments, command, reporter)
        fit_run(plan, folder, reporter, jobs=arguments.jobs)
        print(f"trained in {folder}")
        plan = Plan.load(folder)  # with the recordings it was trained on, which may have changed since
        if plan.open().test_parts:
            _evaluate(plan, folder, reporter, arguments)
    _export(plan, folder, arguments, command)


def _look_ahead(plan: Plan, arguments: argparse.Namespace, reporter: Reporter) -> None:
    """Look for what is needed after the training, first for what needs no data to be found."""
    from soundscene_train.plan_arguments import assessment_from
    from soundscene_train.stages import make_data, prepare_assessment, require_score_of

    settings, score_of = assessment_from(arguments), arguments.metrics_from
    settings.require_sources()
    if score_of is not None:
        plan.load_kin(score_of)
    if settings.is_asked or arguments.gains or score_of is not None:
        make_data(plan, reporter)
    prepare_assessment(plan, settings)
    if settings.is_asked or arguments.gains:
        plan.open().require_test()
    if score_of is not None:
        require_score_of(plan, score_of)


def _cross_validate(arguments: argparse.Namespace, command: str) -> None:
    """Train and test fold by fold and print the table over all of them."""
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.cross_validation import cross_validate
    from soundscene_train.plan_arguments import assessment_from

    with ConsoleReporter() as reporter:
        plan, folder = _plan_of(arguments, command, reporter)
        evaluation = cross_validate(plan, folder, reporter, arguments.jobs, assessment_from(arguments))
    _tell(evaluation, folder)


def _evaluate_stage(arguments: argparse.Namespace, command: str) -> None:
    """Test a bundle or a run."""
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.plan import Plan

    if arguments.bundle is not None:
        _evaluate_bundle(arguments, command)
        return
    with ConsoleReporter() as reporter:
        _evaluate(Plan.load(arguments.run), arguments.run, reporter, arguments)


def _export_stage(arguments: argparse.Namespace, command: str) -> None:
    """Write the bundle of a run that is trained."""
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.plan import Plan
    from soundscene_train.plan_arguments import require_apart
    from soundscene_train.stages import make_data

    plan = Plan.load(arguments.run)
    require_apart(plan, {"--out": arguments.out or arguments.run})
    with ConsoleReporter() as reporter:
        make_data(plan, reporter)
    _export(plan, arguments.run, arguments, f"{plan.command}; {command}")


def _evaluate(plan: Plan, folder: Path, reporter: Reporter, arguments: argparse.Namespace) -> None:
    """Test and print the table."""
    from soundscene_train.plan_arguments import assessment_from
    from soundscene_train.stages import evaluate_run

    evaluation = evaluate_run(plan, folder, reporter, arguments.gains, assessment_from(arguments), jobs=arguments.jobs)
    _tell(evaluation, folder)


def _evaluate_bundle(arguments: argparse.Namespace, command: str) -> None:
    """Test a finished bundle and print the table."""
    from soundscene.bundle import load_bundle
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.plan_arguments import assessment_from
    from soundscene_train.stages import evaluate_bundle

    bundle = load_bundle(arguments.bundle)
    folder, settings = arguments.out, assessment_from(arguments)
    with ConsoleReporter() as reporter:
        plan, _ = _plan_of(arguments, command, reporter)
        evaluation = evaluate_bundle(bundle, plan, folder, reporter, settings, jobs=arguments.jobs)
    _tell(evaluation, folder)


def _tell(evaluation: Evaluation, folder: Path) -> None:
    """Print the tables of a test and where its report is."""
    from soundscene_train.report import format_table
    from soundscene_train.run_folders import EVALUATION_NAME, REPORT_NAME

    print(format_table(evaluation))
    for gain, results in evaluation.by_gain.items():
        fused = results[evaluation.rule]
        print(f"at {gain:+g} dB: {fused.correct_count}/{fused.clip_count}, {fused.accuracy:.1%}")
    print(f"report: {folder / REPORT_NAME}, {folder / EVALUATION_NAME}")


def _calibrate(arguments: argparse.Namespace, command: str) -> None:
    """Write a calibrated bundle and tell its temperature."""
    from soundscene.bundle import load_bundle, require_place
    from soundscene_train.assessment.text import threshold_text
    from soundscene_train.calibrate import calibrated_bundle, calibration_from_clips, calibration_from_metrics
    from soundscene_train.console import ConsoleReporter

    bundle = load_bundle(arguments.bundle)
    version = arguments.bundle_version or f"{bundle.version}-calibrated"
    require_place(arguments.out, bundle.name, version)
    if arguments.dataset is None and arguments.data_dir is None:
        calibration = calibration_from_metrics(bundle)
    else:
        with ConsoleReporter() as reporter:
            plan, _ = _plan_of(arguments, command, reporter)
            calibration, before, after = calibration_from_clips(bundle, plan, reporter)
        print(f"log loss of these clips: {before:.3f}, with the temperature {after:.3f}")
    made = calibrated_bundle(bundle, calibration, arguments.out, version, command, unsure_below=arguments.unsure_below)
    print(f"temperature {calibration.temperature:g}, fitted on {calibration.fitted_on}")
    if threshold := made.fusion.unsure_below:
        print(f"windows whose best score is below {threshold_text(threshold)} are declared not assessable")
    print(f"bundle {made.name} {made.version}: {made.directory}")


def _reproduce(arguments: argparse.Namespace, command: str) -> None:
    """Train a table of the paper and print it."""
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.plan_arguments import reproduction_from
    from soundscene_train.reproduce.run import reproduce

    plan, folder, seeds = reproduction_from(arguments, command)
    with ConsoleReporter() as reporter:
        plan = _readable(plan, arguments, reporter)
        print(reproduce(arguments.table, plan, folder, seeds, reporter, jobs=arguments.jobs))
    print(f"written: {folder / arguments.table}.csv, .md and .png")


def _compare(arguments: argparse.Namespace, _: str) -> None:
    """Pair two evaluated runs and print what changed."""
    from soundscene_train.assessment.clip_scores import ClipScores
    from soundscene_train.assessment.comparison import compare, format_comparison, never_right
    from soundscene_train.plan import Plan

    tests = ClipScores.load(arguments.run), ClipScores.load(arguments.against)
    rule = Plan.load(arguments.run).recipe.fusion.rule
    print(format_comparison(compare(*tests), rule, never_right(*tests)), end="")


def _compress(arguments: argparse.Namespace, _: str) -> None:
    """Test a run in fewer bytes and print the curve."""
    from soundscene_train.compression.curve import trade_off
    from soundscene_train.compression.output import format_points, write_points
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.files import make_folder
    from soundscene_train.plan import Plan
    from soundscene_train.plan_arguments import require_apart

    plan, folder = Plan.load(arguments.run), arguments.out or arguments.run
    require_apart(plan, {"--out": folder})
    make_folder(folder)
    with ConsoleReporter() as reporter:
        points = trade_off(arguments.run, reporter)
    write_points(folder, points, f"{plan.recipe.name} on {plan.dataset_name}")
    print(format_points(points), end="")
    print(f"written: {folder / 'compress.csv'}, .txt and .png")


def _export(plan: Plan, folder: Path, arguments: argparse.Namespace, command: str) -> None:
    """Write the bundle and print its size by both definitions of the limit."""
    from soundscene_train.plan_arguments import export_names
    from soundscene_train.run_folders import BUNDLE_NAME
    from soundscene_train.stages import export_run

    target = arguments.out or folder / BUNDLE_NAME
    names = export_names(arguments, plan, command)
    bundle = export_run(plan, folder, target, names, arguments.metrics_from)
    size_bytes = bundle.provenance["cost"]["bytes"]
    print(
        f"bundle: {target}, {bundle.parameter_count} parameters, {size_bytes} bytes = "
        f"{size_bytes / 1024:.2f} KiB of 128 ({size_bytes / 1000:.2f} kB of 128)"
    )


if __name__ == "__main__":
    sys.exit(main())
