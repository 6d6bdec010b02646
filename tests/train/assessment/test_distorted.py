"""Scores under distortions: kept one by one, and the same from one process as from two."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.bundle import Bundle
from soundscene.fusion import Calibration
from soundscene_train.assessment.assess import AssessmentSettings
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.distorted import score_distorted
from soundscene_train.datasets.clips import Clip
from soundscene_train.distortions import standard_distortions
from soundscene_train.export import ExportNames
from soundscene_train.plan import Plan
from soundscene_train.stages import export_run


@pytest.fixture(name="bundle")
def make_bundle(esc_plan: Plan, esc_run: Path, tmp_path: Path) -> Bundle:
    """Make a bundle of trained networks."""
    return export_run(esc_plan, esc_run, tmp_path / "bundle", ExportNames("tiny"))


@pytest.fixture(name="clips")
def some_clips(esc_plan: Plan) -> list[Clip]:
    """Take three clips, which are enough to tell scores apart."""
    return list(esc_plan.open().dataset.clips[:3])


@pytest.fixture(name="settings")
def make_settings(tmp_path: Path) -> AssessmentSettings:
    """Name a folder with one microphone, beside which all standard distortions are tested."""
    (tmp_path / "responses").mkdir()
    _write_response(tmp_path, [0.5, -0.4, 0.1])
    return AssessmentSettings(responses=tmp_path / "responses")


def test_an_interrupted_test_goes_on_and_ends_with_the_same_scores(
    bundle: Bundle, clips: list[Clip], settings: AssessmentSettings, tmp_path: Path
) -> None:
    """What was scored before Ctrl-C, and what is damaged alone is scored anew; two processes score as one does."""
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_distorted(bundle, clips, settings.distortions(), tmp_path / "kept", step=stop)
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 3
    (kept[0] / "scores.npz").write_bytes(b"PK, and no more")
    total = len(settings.distortions())
    first = told.copy()
    told.clear()
    found = score_distorted(bundle, clips, settings.distortions(), tmp_path / "kept", step=_note(told), jobs=2)
    assert first == [(1, total), (2, total), (3, total)]
    assert told == [(done, total) for done in range(2, total + 1)]

    told.clear()
    whole = score_distorted(bundle, clips, settings.distortions(), tmp_path / "others", step=_note(told))
    assert len(told) == total
    assert list(found) == list(whole) == [one.name for one in settings.distortions()]
    for name, (_, scores) in whole.items():
        np.testing.assert_array_equal(found[name][1].windows, scores.windows, err_msg=name)


def test_kept_scores_are_of_these_clips_this_bundle_and_this_microphone(
    bundle: Bundle, clips: list[Clip], settings: AssessmentSettings, tmp_path: Path
) -> None:
    """Another file under a microphone's name makes other scores; fewer clips find none that are kept."""
    told: list[tuple[int, int]] = []

    def score(clips: list[Clip]) -> ClipScores:
        told.clear()
        found = score_distorted(bundle, clips, settings.distortions(), tmp_path / "kept", step=_note(told))
        return found["phone"][1]

    before, total = score(clips), len(settings.distortions())
    np.testing.assert_array_equal(score(clips).windows, before.windows)
    assert told == [(total, total)]
    _write_response(tmp_path, [0.1, 0.2, 0.3, 0.4])
    assert np.abs(score(clips).windows - before.windows).max() > 1e-4
    assert told == [(total - 1, total), (total, total)]
    assert len(score(clips[:2]).truth) == 2
    assert told[0] == (1, total)


def test_kept_scores_are_judged_by_the_labels_of_now(
    bundle: Bundle, clips: list[Clip], settings: AssessmentSettings, tmp_path: Path
) -> None:
    """A label, a device and a place that were corrected since count, without anything being scored again."""
    told: list[tuple[int, int]] = []
    distortions, home = settings.distortions()[:2], tmp_path / "kept"
    score_distorted(bundle, clips, distortions, home, step=_note(told))
    told.clear()
    label = next(label for label in bundle.labels if label != clips[0].label)
    corrected = [replace(clips[0], label=label, device="b", group="elsewhere"), *clips[1:]]
    for _, scores in score_distorted(bundle, corrected, distortions, home, step=_note(told)).values():
        assert bundle.labels[scores.truth[0]] == label
        assert (scores.devices[0], scores.groups[0]) == ("b", "elsewhere")
    assert told == [(2, 2)]


def test_scores_are_kept_for_one_bundle_and_one_recording(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Whatever changes scores has them computed anew, and what changes none has not: names, versions, thresholds."""
    path, home, told = tmp_path / "rain.wav", tmp_path / "kept", list[tuple[int, int]]()
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(44_100), 44_100)
    quieter = [one for one in standard_distortions() if one.name == "-20 dB"]

    def folders(bundle: Bundle) -> int:
        score_distorted(bundle, [Clip(path, "park", "1")], quieter, home, step=_note(told))
        return len(list(home.iterdir()))

    one = tiny_bundle
    assert folders(one) == folders(replace(one, name="other", version="9", metrics={"accuracy": 1.0})) == 1
    assert folders(replace(one, fusion=replace(one.fusion, unsure_below=0.5))) == 1
    changed = [
        replace(one, labels=one.labels[::-1]),
        replace(one, networks={**one.networks, "mel": one.networks["cqt"]}),
        replace(one, front_end=replace(one.front_end, dynamic_range_db=40.0)),
        replace(one, standardisation={**one.standardisation, "mel": replace(one.standardisation["mel"], scale=2.0)}),
        replace(one, fusion=replace(one.fusion, short_clip="silence")),
        replace(one, calibration=Calibration(2.0, "320 clips")),
    ]
    assert [folders(bundle) for bundle in changed] == [2, 3, 4, 5, 6, 7]
    assert [folders(bundle) for bundle in changed] == [7] * 6, "all are kept"
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert folders(one) == 8
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(22_050), 44_100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert folders(one) == 9


def _note(told: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda done, total: told.append((done, total))


def _write_response(folder: Path, samples: list[float]) -> None:
    soundfile.write(folder / "responses" / "phone.wav", np.array(samples), 16_000)
