"""Two tests are compared clip by clip."""

import json
from pathlib import Path

import numpy as np
import pytest

from soundscene_train.__main__ import main
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.comparison import compare, format_comparison, never_right
from soundscene_train.errors import TrainingError
from soundscene_train.plan import Plan
from soundscene_train.stages import Reporter, evaluate_run

NAMES = tuple(f"{index:02d}.wav" for index in range(12))


def make_scores(right: set[int], order: list[int] | None = None) -> ClipScores:
    """Twelve clips of one label, of which all networks get those in `right`; in another order if asked."""
    places = list(range(12)) if order is None else order
    share = np.where([place in right for place in places], 0.9, 0.2)
    windows = np.stack([np.stack([share, 1.0 - share], axis=1)] * 3)
    names = tuple(NAMES[place] for place in places)
    return ClipScores(windows, np.arange(12), np.zeros(12, np.int64), ("a", "b"), ("",) * 12, ("",) * 12, ("1",), names)


def test_clips_are_paired_by_name() -> None:
    """Gained and lost are named whatever the order of the clips, and the counts add up."""
    found = compare(make_scores({0, 1, 2, 3}, order=list(range(11, -1, -1))), make_scores({3, 4}))["product"]
    assert (found.correct, found.correct_before, found.clip_count) == (4, 2, 12)
    assert found.gained == NAMES[:3]
    assert found.lost == (NAMES[4],)
    printed = format_comparison({"product": found}, "product", ["11.wav"])
    assert "gained by product: 3\n  00.wav\n  01.wav\n  02.wav\nlost by product: 1\n  04.wav\n" in printed
    assert printed.endswith("wrong in every network: 1\n  11.wav\n")


@pytest.mark.parametrize(("gained", "lost", "p_value"), [(0, 0, 1.0), (6, 0, 2 / 2**6), (5, 1, 14 / 2**6), (1, 1, 1.0)])
def test_the_sign_test_is_exact(gained: int, lost: int, p_value: float) -> None:
    """Both tails of a fair coin, counted by hand."""
    after, before = set(range(gained)), set(range(gained, gained + lost))
    assert compare(make_scores(after), make_scores(before))["mel"].p_value == pytest.approx(p_value)


def test_what_no_network_of_either_gets_right_is_found() -> None:
    """A clip counts as hopeless only if every network of both tests is wrong, however the clips are ordered."""
    one, other = make_scores({0, 1}), make_scores({2}, order=list(range(11, -1, -1)))
    assert never_right(one, other) == list(NAMES[3:])
    one.windows[1, 5] = 0.6, 0.4
    assert one.fused("product")[5].argmax() != one.truth[5]
    assert never_right(one, other) == [*NAMES[3:5], *NAMES[6:]], "one network alone hears the sixth"


def test_other_clips_are_refused() -> None:
    """Two tests of different clips say nothing about each other, nor do two of other labels."""
    scores = make_scores({1})
    for change in ({"names": ("x.wav",) * 12}, {"labels": ("b", "a")}):
        other = ClipScores(**{name: getattr(scores, name) for name in scores.__slots__} | change)
        with pytest.raises(TrainingError, match="not of the same clips and labels"):
            compare(scores, other)


def test_the_command_compares_runs(esc_plan: Plan, esc_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run against itself changes nothing; a run without a test says what to do."""
    run = esc_run
    assert main(["compare", "--run", str(run), "--against", str(run)]) == 2
    assert "run `soundscene-train evaluate` on this folder" in capsys.readouterr().err
    evaluate_run(esc_plan, run, Reporter())
    assert main(["compare", "--run", str(run), "--against", str(run)]) == 0
    printed = capsys.readouterr().out
    correct = json.loads((run / "evaluation.json").read_text())["results"]["product"]["correct_count"]
    assert f"{correct}/12" in printed
    assert "gained by product: 0" in printed
