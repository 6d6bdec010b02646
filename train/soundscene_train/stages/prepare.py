"""The first stage: the data set, and its spectrograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from soundscene_train.datasets import OWN_NAMES, Selection, build_city
from soundscene_train.datasets.clips import Clip
from soundscene_train.datasets.inspection import ClipFacts, inspect_clips, leaks, require_readable, unreadable
from soundscene_train.datasets.sources import download, require_whole
from soundscene_train.features import Features
from soundscene_train.plan import Plan
from soundscene_train.progress import Progress
from soundscene_train.stages.reporter import Reporter

__all__ = ["download_run", "inspect_run", "make_data", "prepare_run", "require_clips", "without_unreadable"]

_MEBIBYTE: Final = 1 << 20


def make_data(plan: Plan, reporter: Reporter) -> None:
    """Make what is missing of the synthetic city; other data sets are there, or are fetched.

    Raises
    ------
    DatasetError
        As `build_city`.
    """
    if plan.dataset_name == "synthetic":
        build_city(plan.data_dir, plan.city, _step(reporter, "synthetic city"))


def prepare_run(
    plan: Plan, reporter: Reporter, gain_db: float = 0.0, *, jobs: int = 1, is_inspected: bool = False
) -> tuple[Selection, Features]:
    """Make or open the data set and compute what is missing of its spectrograms.

    A user's own recordings are all read once before, unless that has been done: hours of work should not meet a file
    that cannot be read.
    """
    make_data(plan, reporter)
    selection = plan.open()
    if plan.dataset_name in OWN_NAMES and not is_inspected and not plan.has_features(selection):
        facts = inspect_run(plan, reporter, jobs)
        require_readable(facts)
        if line := leaks(facts):
            reporter.remark(line)
    stage = "spectrograms" if not gain_db else f"spectrograms at {gain_db:+g} dB"
    return selection, plan.features(selection, gain_db, _step(reporter, stage), jobs)


def download_run(plan: Plan, reporter: Reporter, address: str | None = None) -> None:
    """Fetch what is missing of a public data set, going on where it stopped, and hold it to what was published.

    Raises
    ------
    DatasetError
        It is not public, cannot be fetched, or is not what was published.
    """

    def tell(name: str, done_bytes: int, total_bytes: int) -> None:
        reporter.step(f"{name} (MiB)", -(-done_bytes // _MEBIBYTE), -(-total_bytes // _MEBIBYTE))

    download(plan.dataset_name, plan.data_dir, tell, address)
    require_whole(plan.dataset_name, plan.open().dataset)


def inspect_run(plan: Plan, reporter: Reporter, jobs: int = 1) -> list[ClipFacts]:
    """Decode every clip of a plan's data set once, to know what is in it."""
    return inspect_clips(plan.dataset(), jobs, _step(reporter, "looking at the clips"))


def require_clips(plan: Plan, clips: Sequence[Clip], reporter: Reporter, jobs: int = 1) -> None:
    """Read those of a user's own recordings that shall be scored once before: scoring should not break off at one.

    Raises
    ------
    DatasetError
        Some cannot be read; it names the first few, and the ways out.
    """
    if plan.dataset_name in OWN_NAMES:
        looked_at = replace(plan.dataset(), clips=tuple(clips))
        require_readable(inspect_clips(looked_at, jobs, _step(reporter, "looking at the clips")))


def without_unreadable(plan: Plan, reporter: Reporter, jobs: int = 1) -> Plan:
    """Return the plan without the clips that cannot be read."""
    make_data(plan, reporter)
    bad = unreadable(inspect_run(plan, reporter, jobs))
    return replace(plan, skipped=tuple(one.path for one in bad))


def _step(reporter: Reporter, stage: str) -> Progress:
    return lambda done, total: reporter.step(stage, done, total)
