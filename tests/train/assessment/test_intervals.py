"""Intervals against published figures and against what they must do."""

import numpy as np
import pytest

from soundscene_train.assessment.intervals import accuracy_interval, mean_interval, wilson


def test_wilson_as_published() -> None:
    """74 of 80 is 84.6 to 96.5 %, and no trial leaves the unit interval."""
    interval = wilson(74, 80)
    assert interval.low == pytest.approx(0.8459, abs=2e-4)
    assert interval.high == pytest.approx(0.9652, abs=2e-4)
    assert wilson(10, 10).high == pytest.approx(1.0)
    assert wilson(10, 10).high <= 1.0
    assert wilson(10, 10).low == pytest.approx(0.7225, abs=2e-4)
    assert wilson(0, 21).low == 0.0
    assert interval.to_dict() == {"low": 0.8459, "high": 0.9652, "method": "wilson"}


def test_clips_of_one_place_do_not_count_as_many() -> None:
    """Where whole places are right or wrong, the interval is as wide as the places are few."""
    hits = np.repeat(np.arange(16) % 4 > 0, 10)
    places = [str(index // 10) for index in range(160)]
    grouped, alone = accuracy_interval(hits, places), accuracy_interval(hits)
    assert grouped.method == "bootstrap over groups"
    assert alone.method == "wilson"
    assert grouped.high - grouped.low > 2.5 * (alone.high - alone.low)
    assert accuracy_interval(hits, places) == grouped


def test_groups_of_one_clip_are_clips() -> None:
    """Where each clip is a group of its own, drawing groups gives Wilson's interval, as wide to a tenth."""
    hits = np.arange(400) % 4 > 0
    drawn, known = accuracy_interval(hits, [str(index) for index in range(400)]), wilson(300, 400)
    assert drawn.method == "bootstrap over groups"
    assert drawn.high - drawn.low == pytest.approx(known.high - known.low, rel=0.1)


def test_a_group_weighs_as_much_as_it_has_clips() -> None:
    """Of one group of 91 wrong clips and nine of one right clip, the interval is of 9 in 100, not of nine in ten."""
    interval = accuracy_interval(np.repeat([False, True], [91, 9]), ["street"] * 91 + list("abcdefghi"))
    assert interval.method == "bootstrap over groups"
    assert interval.low <= 0.09 <= interval.high


def test_five_groups_are_enough_to_differ() -> None:
    """From five groups on they are drawn; with four, clips are."""
    hits = np.array([True, False, True, True, True, False, True, True, True, True])
    methods = [accuracy_interval(hits, [str(index % count) for index in range(10)]).method for count in (4, 5)]
    assert methods == ["wilson", "bootstrap over groups"]


@pytest.mark.parametrize("groups", [("",) * 6, ("a", "b") * 3, ("", "a", "b", "c", "d", "e")])
def test_few_or_unknown_groups_fall_back(groups: tuple[str, ...]) -> None:
    """No bootstrap over groups that are unknown or too few to differ."""
    assert accuracy_interval(np.array([True, False] * 3), groups).method == "wilson"


@pytest.mark.parametrize("pattern", [[True, False, False], [True] * 3, [False] * 3])
def test_groups_that_do_equally_well_fall_back(pattern: list[bool]) -> None:
    """Drawn again, such groups always give the same share, which would promise certainty."""
    hits, groups = np.array(pattern * 6), [str(index // 3) for index in range(18)]
    interval = accuracy_interval(hits, groups)
    assert interval == wilson(int(hits.sum()), 18)
    assert interval.high - interval.low > 0.15


def test_an_interval_over_seeds_is_students() -> None:
    """Three seeds at 1, 2, 3 give 2 +- 4.303 / sqrt 3, two at 1 and 2 give 1.5 +- 12.706 / 2; one seed gives none."""
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval is not None
    assert interval.high - 2.0 == pytest.approx(4.3027 / np.sqrt(3), abs=1e-3)
    two = mean_interval([1.0, 2.0])
    assert two is not None
    assert (two.low, two.high) == pytest.approx((1.5 - 6.353, 1.5 + 6.353), abs=1e-3)
    assert mean_interval([1.0]) is None
