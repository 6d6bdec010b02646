"""Scores of clips under distortions, each kept as soon as it is there, so that an interrupted test goes on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

from soundscene.bundle import Bundle, load_bundle
from soundscene.classifier import SceneClassifier
from soundscene_train.assessment.clip_scores import ClipScores, score_clips
from soundscene_train.datasets.clips import Clip
from soundscene_train.distortions import Distortion
from soundscene_train.errors import TrainingError
from soundscene_train.files import make_folder
from soundscene_train.processes import process_pool
from soundscene_train.progress import Progress

__all__ = ["score_distorted"]


def score_distorted(
    bundle: Bundle,
    clips: Sequence[Clip],
    distortions: Sequence[Distortion],
    home: Path,
    *,
    step: Progress,
    jobs: int = 1,
) -> dict[str, tuple[Distortion, ClipScores]]:
    """Score clips under each distortion, or read what an earlier call has kept.

    Parameters
    ----------
    bundle : Bundle
        What scores them.
    clips : sequence of Clip
        The same for every distortion.
    distortions : sequence of Distortion
        No two of one name.
    home : Path
        Where scores are kept, in a folder for each distortion. Its name changes with all that they depend on.
    step : callable
        Told distortions done, and in all.
    jobs : int > 0
        Processes.

    Returns
    -------
    dict of name to (Distortion, ClipScores)
        In the order of the distortions.

    Raises
    ------
    TrainingError
        As `score_clips`, or scores cannot be kept.
    """
    folders = {one.name: home / _folder_name(bundle, clips, one) for one in distortions}
    held = {name: scores for name, folder in folders.items() if (scores := _kept(folder, clips)) is not None}
    missing = [one for one in distortions if one.name not in held]
    if held:
        step(len(held), len(distortions))
    for name, scores in _compute(bundle, clips, missing, jobs):
        make_folder(folders[name])
        scores.save(folders[name])
        held[name] = scores
        step(len(held), len(distortions))
    return {one.name: (one, held[one.name]) for one in distortions}


def _kept(folder: Path, clips: Sequence[Clip]) -> ClipScores | None:
    """Scores in a folder, of clips as they are known now, since a label may have been corrected.

    None where there are none, or damaged ones, which are computed again.
    """
    with suppress(TrainingError):
        held = ClipScores.load(folder)
        return ClipScores.of(held.windows, held.clip_of_window, clips, held.labels, held.temperature)
    return None


def _compute(
    bundle: Bundle, clips: Sequence[Clip], distortions: Sequence[Distortion], jobs: int
) -> Iterator[tuple[str, ClipScores]]:
    """Yield scores as they come, from this process if it is the only one."""
    if jobs == 1 or len(distortions) < 2:
        classifier = SceneClassifier(bundle)
        for one in distortions:
            yield one.name, score_clips(classifier, clips, one)
        return
    with process_pool(min(jobs, len(distortions))) as pool:
        work = {pool.submit(_score, bundle.directory, clips, one): one.name for one in distortions}
        for future in as_completed(work):
            yield work[future], future.result()


def _score(bundle_dir: Path, clips: Sequence[Clip], distortion: Distortion) -> ClipScores:
    """Score under one distortion, in a process of its own."""
    return score_clips(SceneClassifier(load_bundle(bundle_dir)), clips, distortion)


def _folder_name(bundle: Bundle, clips: Sequence[Clip], distortion: Distortion) -> str:
    """Make a name of all that the scores depend on, the files' sizes and dates included."""
    sources = [*(clip.path for clip in clips), *distortion.sources]
    content = json.dumps([_judge(bundle), distortion.name, [_fingerprint(path) for path in sources]], sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:12]
    name = f"{distortion.kind} {distortion.name}".lower()
    return f"{re.sub('[^a-z0-9+-]+', '-', name).strip('-')}-{key}"


def _judge(bundle: Bundle) -> Mapping[str, Any]:
    """What makes a bundle's scores, but for its name and version."""
    return {
        "networks": {name: hashlib.sha256(content).hexdigest() for name, content in bundle.networks.items()},
        "labels": bundle.labels,
        "front_end": bundle.front_end.to_dict(),
        "standardisation": {name: item.to_dict() for name, item in bundle.standardisation.items()},
        "short_clip": bundle.fusion.short_clip,
        "temperature": bundle.temperature,
    }


def _fingerprint(path: Path) -> tuple[str, int, int]:
    """Tell a file from what it was before; one that is missing is refused where it is read."""
    with suppress(OSError):
        return str(path), path.stat().st_size, path.stat().st_mtime_ns
    return str(path), 0, 0
