"""The whole assessment of a run or of a finished bundle: its figures, and the scores that are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier
from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.clip_scores import ClipScores, score_clips
from soundscene_train.assessment.distorted import score_distorted
from soundscene_train.assessment.summary import robustness, summarise
from soundscene_train.datasets.clips import Clip, Dataset, digest_of
from soundscene_train.distortions import Distortion, backgrounds, microphones, standard_distortions
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import Result, evaluate_all
from soundscene_train.progress import StageProgress
from soundscene_train.run_folders import DISTORTED_NAME

__all__ = ["AssessmentSettings", "assess_bundle", "assess_robustness", "assess_scores", "clips_to_test", "results_of"]


@dataclass(frozen=True, slots=True)
class AssessmentSettings:
    """What is measured beside the plain test.

    Parameters
    ----------
    robust : bool
        Score the test clips again under every standard distortion.
    responses : Path or None
        A folder of microphone responses, each one distortion more; implies `robust`.
    backgrounds : Path or None
        A folder of recordings to lay the clips over; implies `robust`.
    calibrate_from : Path or None
        Folder of an evaluated run that tested a part of this one's training data; fits the temperature.
    """

    robust: bool = False
    responses: Path | None = None
    backgrounds: Path | None = None
    calibrate_from: Path | None = None

    @property
    def is_asked(self) -> bool:
        """Whether anything is."""
        return self.robust or any((self.responses, self.backgrounds, self.calibrate_from))

    def require_sources(self) -> None:
        """Look for what is named here, before hours are spent on what it shall assess.

        Raises
        ------
        TrainingError
            A folder holds no recordings or no impulse responses, or the run has not been evaluated.
        """
        self.distortions()
        if self.calibrate_from is not None:
            ClipScores.load(self.calibrate_from)

    def distortions(self, held_out: Collection[str] = (), trained: Collection[str] = ()) -> tuple[Distortion, ...]:
        """Return what the clips are put through, none if nothing is asked for.

        Parameters
        ----------
        held_out : collection of str
            Where some of these are in the folder of responses, the others are not tested.
        trained : collection of str
            Responses that were trained with, and so are not tested.

        Raises
        ------
        TrainingError
            A folder holds no recordings, or no impulse responses that were not trained with.
        """
        if not self.robust and self.responses is None and self.backgrounds is None:
            return ()
        laid_over = () if self.backgrounds is None else backgrounds(self.backgrounds)
        return (*standard_distortions(), *laid_over, *self._microphones(held_out, trained))

    def _microphones(self, held_out: Collection[str], trained: Collection[str]) -> tuple[Distortion, ...]:
        if self.responses is None:
            return ()
        unheard = tuple(one for one in microphones(self.responses) if one.name not in trained)
        if not unheard:
            raise TrainingError(
                f"every response in {self.responses} was trained with; test with others, or keep some out of "
                "the training (held_out_responses)"
            )
        return tuple(one for one in unheard if one.name in held_out) or unheard


def results_of(scores: ClipScores, rule: str, networks: Sequence[str] = NETWORK_NAMES) -> dict[str, Result]:
    """Evaluate each network alone and, of all three, both ways to join them, the served one with its calibration."""
    known = (scores.windows, scores.clip_of_window, scores.truth, scores.labels, scores.devices)
    return evaluate_all(*known, temperatures={rule: scores.temperature}, networks=networks)


def assess_scores(scores: ClipScores, rule: str, calibrate_from: Path | None = None) -> dict[str, Any]:
    """Return everything that follows from the scores of the clean clips.

    Raises
    ------
    TrainingError
        `calibrate_from` is not evaluated.
    """
    held_out = None if calibrate_from is None else ClipScores.load(calibrate_from)
    return summarise(scores, rule, held_out)


def assess_robustness(
    bundle: Bundle,
    clips: Sequence[Clip],
    clean: ClipScores,
    distortions: Sequence[Distortion],
    folder: Path,
    *,
    step: StageProgress,
    jobs: int = 1,
) -> dict[str, Any]:
    """Return what each distortion costs; empty where there is none.

    Scores are kept in `distorted`, in the folder of the test, for the next call.
    """
    tell = partial(step, "distortions")
    distorted = score_distorted(bundle, clips, distortions, folder / DISTORTED_NAME, step=tell, jobs=jobs)
    return robustness(clean, distorted, bundle.fusion.rule) if distorted else {}


def assess_bundle(
    bundle: Bundle,
    clips: Sequence[Clip],
    distortions: Sequence[Distortion],
    folder: Path,
    calibrate_from: Path | None = None,
    *,
    step: StageProgress,
    jobs: int = 1,
) -> tuple[ClipScores, Mapping[str, Any]]:
    """Test a finished bundle as it is served, and keep in a folder what would take long to compute again.

    Returns
    -------
    scores : ClipScores
        Of the clean clips.
    summary : mapping
        Its assessment, `robustness` included where asked for.
    """
    scores = score_clips(SceneClassifier(bundle), clips, None, lambda done, total: step("clips", done, total))
    summary = assess_scores(scores, bundle.fusion.rule, calibrate_from)
    found = assess_robustness(bundle, clips, scores, distortions, folder, step=step, jobs=jobs)
    return scores, summary | ({"robustness": found} if found else {})


def clips_to_test(bundle: Bundle, dataset: Dataset, parts: Sequence[str] | None) -> list[Clip]:
    """Return the clips that a bundle may be tested on.

    Parameters
    ----------
    bundle : Bundle
        Its provenance names what it was trained on.
    dataset : Dataset
        Where the clips are taken from.
    parts : sequence of str or None
        None takes every part that the bundle was not trained on.

    Raises
    ------
    TrainingError
        A part was trained on, does not exist, or nothing is left; or the parts are no longer what they were.
    """
    known = bundle.provenance.get("dataset") == dataset.name
    trained = set(bundle.provenance.get("train_parts", ())) if known else set()
    heard = [clip for clip in dataset.clips if clip.part in trained]
    if heard and bundle.provenance.get("train_digest") not in {None, digest_of(heard)}:
        raise TrainingError(
            f"the parts of {dataset.name} are no longer what the bundle was trained on: recordings were added, removed "
            "or labelled anew, or --folds or --skip-unreadable differ; test it on recordings it has not heard, in a "
            "folder of another name"
        )
    chosen = [part for part in dataset.parts if part not in trained] if parts is None else list(parts)
    seen = sorted(trained & set(chosen))
    if seen:
        raise TrainingError(f"the bundle was trained on {', '.join(seen)}; name --test-parts it has not seen")
    clips = [clip for clip in dataset.clips if clip.part in chosen]
    if not clips:
        raise TrainingError(
            f"no clips to test in {', '.join(chosen) or 'what is left'}; there is {', '.join(dataset.parts)}"
        )
    return clips
