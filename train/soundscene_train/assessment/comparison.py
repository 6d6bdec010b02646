"""Two tests of the same clips, paired: which clips one alone gets right, and whether that is chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundscene.fusion import RULES
from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.errors import TrainingError

__all__ = ["Comparison", "compare", "format_comparison"]


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
    order = np.argsort(np.asarray(scores.names))
    names = np.asarray(scores.names)[order]
    hits, hits_before = _hits(scores), _hits(before)
    order_before = np.argsort(np.asarray(before.names))
    return {name: _pair(names, hits[name][order], hits_before[name][order_before]) for name in (*NETWORK_NAMES, *RULES)}


def format_comparison(found: Mapping[str, Comparison], rule: str) -> str:
    """Format all classifiers, then the clips that the fused one gains and loses, as plain text."""
    lines = [f"{'classifier':<14}{'correct':>10}{'before':>8}{'gained':>8}{'lost':>6}{'p':>10}"]
    for name, one in found.items():
        correct = f"{one.correct}/{one.clip_count}"
        lines.append(
            f"{name:<14}{correct:>10}{one.correct_before:>8}{len(one.gained):>8}{len(one.lost):>6}{one.p_value:>10.2g}"
        )
    for title, clips in (("gained", found[rule].gained), ("lost", found[rule].lost)):
        lines.append(f"{title} by {rule}: {', '.join(clips) or 'none'}")
    return "\n".join(lines) + "\n"


def _hits(scores: ClipScores) -> dict[str, NDArray[np.bool_]]:
    alone = {name: scores.of_network(name) for name in NETWORK_NAMES}
    joined = {rule: scores.fused(rule) for rule in RULES}
    return {name: fused.argmax(axis=1) == scores.truth for name, fused in (alone | joined).items()}


def _pair(names: NDArray[np.str_], hits: NDArray[np.bool_], before: NDArray[np.bool_]) -> Comparison:
    gained, lost = (tuple(str(name) for name in names[one & ~other]) for one, other in ((hits, before), (before, hits)))
    return Comparison(len(names), int(hits.sum()), int(before.sum()), gained, lost)
