"""`soundscene-train`: from recordings to a bundle."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soundscene.errors import SceneError
from soundscene.settings import NETWORK_NAMES

if TYPE_CHECKING:
    from soundscene_train.plan import Plan
    from soundscene_train.stages import Reporter

__all__ = ["main"]

_EXIT_ERROR: Final = 2
_EXIT_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage or all of them.

    Returns
    -------
    int
        0 when done, 2 after an error, which is one line on standard error, 130 when interrupted.
    """
    from soundscene_train.arguments import make_parser

    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = make_parser().parse_args(words)
    try:
        _dispatch(parsed, shlex.join(["soundscene-train", *words]))
    except SceneError as error:
        print(f"soundscene-train: {error}", file=sys.stderr)
        return _EXIT_ERROR
    except ModuleNotFoundError as error:
        print(f"soundscene-train: {error.name} is not installed: pip install 'soundscene[train]'", file=sys.stderr)
        return _EXIT_ERROR
    except KeyboardInterrupt:
        print("soundscene-train: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return _EXIT_INTERRUPTED
    return 0


def _dispatch(arguments: argparse.Namespace, command: str) -> None:
    """Do what the stage asks for."""
    from soundscene_train import stages
    from soundscene_train.arguments import plan_from
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.machines import Machines, require_alone
    from soundscene_train.plan import Plan

    stage = arguments.stage
    if stage in {"run", "cross-validate", "reproduce"}:
        require_alone(Machines.from_environment(), stage)
    apart = {"reproduce": _reproduce, "compare": _compare, "compress": _compress, "calibrate": _calibrate}
    if stage == "evaluate" and arguments.bundle is not None:
        apart[stage] = _evaluate_bundle
    if stage in apart:
        apart[stage](arguments, command)
        return
    with ConsoleReporter() as reporter:
        if stage in {"prepare", "fit", "run", "cross-validate"}:
            plan, folder = plan_from(arguments, command)
            if stage == "prepare" and (arguments.download or arguments.download_from):
                stages.download_run(plan, reporter, arguments.download_from)
            if arguments.skip_unreadable:
                plan = stages.without_unreadable(plan, reporter, arguments.jobs)
        else:
            folder = arguments.run
            plan = Plan.load(folder)
        if stage == "prepare":
            _prepare(plan, reporter, arguments)
        if stage == "cross-validate":
            _cross_validate(plan, folder, reporter, arguments)
        if stage in {"fit", "run"}:
            networks = getattr(arguments, "networks", NETWORK_NAMES)
            stages.fit_run(plan, folder, reporter, networks, arguments.jobs)
            print(f"trained in {folder}")
        if stage == "evaluate" or (stage == "run" and plan.open().test_parts):
            _evaluate(plan, folder, reporter, arguments)
        if stage in {"export", "run"}:
            _export(plan, folder, arguments, command)


def _prepare(plan: Plan, reporter: Reporter, arguments: argparse.Namespace) -> None:
    """Print what the data set is, refuse what cannot be used, and compute the spectrograms."""
    from soundscene_train import stages
    from soundscene_train.datasets import OWN_NAMES
    from soundscene_train.datasets.inspection import format_inspection, require_readable, write_inspection
    from soundscene_train.datasets.sources import describe

    jobs = arguments.jobs
    if plan.dataset_name in OWN_NAMES:
        dataset, front_end = plan.open().dataset, plan.recipe.front_end
        facts = stages.inspect_run(plan, reporter, jobs)
        print(format_inspection(dataset, facts, front_end.window_length_samples / front_end.sample_rate_hz))
        path = plan.cache_dir / f"{dataset.name}-clips.csv"
        write_inspection(path, facts)
        print(f"each clip: {path}")
        require_readable(facts)
    if line := describe(plan.dataset_name, plan.open().dataset):
        print(line)
    selection, features = stages.prepare_run(plan, reporter, jobs=jobs, is_inspected=True)
    print(f"{selection.dataset.name}: {len(selection.dataset.clips)} clips, {features.window_count} windows")


def _cross_validate(plan: Plan, folder: Path, reporter: Reporter, arguments: argparse.Namespace) -> None:
    """Train and test fold by fold and print the table over all of them."""
    from soundscene_train.arguments import assessment_from
    from soundscene_train.cross_validation import cross_validate
    from soundscene_train.report import format_table

    evaluation = cross_validate(plan, folder, reporter, arguments.jobs, assessment_from(arguments))
    print(format_table(evaluation.results, evaluation.rule))
    print(f"report: {folder / 'report.html'}, {folder / 'evaluation.json'}")


def _evaluate(plan: Plan, folder: Path, reporter: Reporter, arguments: argparse.Namespace) -> None:
    """Test and print the table."""
    from soundscene_train.arguments import assessment_from
    from soundscene_train.report import format_table
    from soundscene_train.stages import evaluate_run

    evaluation = evaluate_run(plan, folder, reporter, arguments.gains, assessment_from(arguments))
    print(format_table(evaluation.results, evaluation.rule))
    for gain, results in evaluation.by_gain.items():
        fused = results[evaluation.rule]
        print(f"at {gain:+g} dB: {fused.correct_count}/{fused.clip_count}, {fused.accuracy:.1%}")
    print(f"report: {folder / 'report.html'}, {folder / 'evaluation.json'}")


def _evaluate_bundle(arguments: argparse.Namespace, command: str) -> None:
    """Test a finished bundle and print the table."""
    from soundscene.bundle import load_bundle
    from soundscene_train.arguments import assessment_from, plan_from
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.report import format_table
    from soundscene_train.stages import evaluate_bundle

    bundle = load_bundle(arguments.bundle)
    plan, _ = plan_from(arguments, command)
    folder = arguments.out or Path("evaluation")
    with ConsoleReporter() as reporter:
        evaluation = evaluate_bundle(bundle, plan, folder, reporter, assessment_from(arguments))
    print(format_table(evaluation.results, evaluation.rule))
    print(f"report: {folder / 'report.html'}, {folder / 'evaluation.json'}")


def _calibrate(arguments: argparse.Namespace, command: str) -> None:
    """Write a calibrated bundle and tell its temperature."""
    from soundscene.bundle import load_bundle
    from soundscene_train.arguments import plan_from
    from soundscene_train.calibrate import calibrated_bundle, calibration_from_clips, calibration_from_metrics
    from soundscene_train.console import ConsoleReporter

    bundle = load_bundle(arguments.bundle)
    if arguments.dataset is None and arguments.data_dir is None:
        calibration = calibration_from_metrics(bundle)
    else:
        plan, _ = plan_from(arguments, command)
        with ConsoleReporter() as reporter:
            calibration, before, after = calibration_from_clips(bundle, plan, reporter)
        print(f"log loss of these clips: {before:.3f}, with the temperature {after:.3f}")
    made = calibrated_bundle(bundle, calibration, arguments.out, arguments.bundle_version, command)
    print(f"temperature {calibration.temperature:g}, fitted on {calibration.fitted_on}")
    print(f"bundle {made.name} {made.version}: {made.directory}")


def _reproduce(arguments: argparse.Namespace, command: str) -> None:
    """Train a table of the paper and print it."""
    from soundscene_train.arguments import reproduction_from
    from soundscene_train.console import ConsoleReporter
    from soundscene_train.reproduce.run import reproduce

    plan, folder, seeds = reproduction_from(arguments, command)
    with ConsoleReporter() as reporter:
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
    from soundscene_train.plan import Plan

    plan, folder = Plan.load(arguments.run), arguments.out or arguments.run
    with ConsoleReporter() as reporter:
        points = trade_off(arguments.run, reporter)
    write_points(folder, points, f"{plan.recipe.name} on {plan.dataset_name}")
    print(format_points(points), end="")
    print(f"written: {folder / 'compress.csv'}, .txt and .png")


def _export(plan: Plan, folder: Path, arguments: argparse.Namespace, command: str) -> None:
    """Write the bundle and print its size by both definitions of the limit."""
    from soundscene_train.arguments import export_names
    from soundscene_train.stages import export_run

    target = arguments.out or folder / "bundle"
    made_by = command if arguments.stage == "run" else f"{plan.command}; {command}"
    bundle = export_run(
        plan, folder, target, export_names(arguments, plan.dataset_name, made_by), arguments.metrics_from
    )
    size_bytes = bundle.provenance["cost"]["bytes"]
    print(
        f"bundle: {target}, {bundle.parameter_count} parameters, {size_bytes} bytes = "
        f"{size_bytes / 1024:.2f} KiB of 128 ({size_bytes / 1000:.2f} kB of 128)"
    )


if __name__ == "__main__":
    sys.exit(main())
