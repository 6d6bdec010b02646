"""Two tests of the same clips, paired: which clips one alone gets right, and whether that is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundscene.fusion import RULES
from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.errors import TrainingError

__all__ = ["Comparison", "compare", "format_comparison", "never_right"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One classifier of two tests.

    Parameters
    ----------
    clip_count, correct, correct_before : int
        Clips, and how many of them are right in the test and in the one it is set against.
    gained, lost : tuple of str
        Clips that only the first gets right, and only the second.
    """

    clip_count: int
    correct: int
    correct_before: int
    gained: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def p_value(self) -> float:
        """Exact two-sided sign test: the chance of a split at least as uneven if both were equally good."""
        from scipy.stats import binomtest

        changed = len(self.gained) + len(self.lost)
        return float(binomtest(len(self.gained), changed).pvalue) if changed else 1.0


def compare(scores: ClipScores, before: ClipScores) -> dict[str, Comparison]:
    """Pair two tests clip by clip.

    Parameters
    ----------
    scores, before : ClipScores
        Of the same clips, in any order.

    Returns
    -------
    dict of classifier to Comparison
        Each network alone, and both ways to join them.

    Raises
    ------
    TrainingError
        They are not of the same clips, or the labels differ.
    """
    if scores.labels != before.labels or sorted(scores.names) != sorted(before.names):
        raise TrainingError("the two tests are not of the same clips and labels; only the same test can be compared")
    names = sorted(scores.names)
    hits, hits_before = _hits(scores), _hits(before)
    return {name: _pair(names, hits[name], hits_before[name]) for name in hits}


def never_right(*tests: ClipScores) -> list[str]:
    """Return the clips that no network of any of the tests gets right."""
    found = [hits for test in tests for name, hits in _hits(test).items() if name in NETWORK_NAMES]
    return [name for name in sorted(tests[0].names) if not any(hits[name] for hits in found)]


def format_comparison(found: Mapping[str, Comparison], rule: str, never: Sequence[str]) -> str:
    """Format all classifiers, then the clips that the fused one gains and loses, as plain text."""
    lines = [f"{'classifier':<14}{'correct':>10}{'before':>8}{'gained':>8}{'lost':>6}{'p':>10}"]
    for name, one in found.items():
        correct = f"{one.correct}/{one.clip_count}"
        lines.append(
            f"{name:<14}{correct:>10}{one.correct_before:>8}{len(one.gained):>8}{len(one.lost):>6}{one.p_value:>10.2g}"
        )
    kinds = {
        f"gained by {rule}": found[rule].gained,
        f"lost by {rule}": found[rule].lost,
        "wrong in every network": never,
    }
    for title, clips in kinds.items():
        lines.append(f"{title}: {len(clips)}")
        lines += [f"  {clip}" for clip in clips]
    return "\n".join(lines) + "\n"


def _hits(scores: ClipScores) -> dict[str, dict[str, bool]]:
    """For each classifier, whether it gets each clip right."""
    alone = {name: scores.of_network(name) for name in NETWORK_NAMES}
    joined = {rule: scores.fused(rule) for rule in RULES}
    return {
        name: dict(zip(scores.names, (fused.argmax(axis=1) == scores.truth).tolist(), strict=True))
        for name, fused in (alone | joined).items()
    }


def _pair(names: Sequence[str], hits: Mapping[str, bool], before: Mapping[str, bool]) -> Comparison:
    gained = tuple(name for name in names if hits[name] and not before[name])
    lost = tuple(name for name in names if before[name] and not hits[name])
    return Comparison(len(names), sum(hits.values()), sum(before.values()), gained, lost)
