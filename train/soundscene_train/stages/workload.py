"""How much of a training of several networks is done, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from soundscene_train.fitting import Training, epochs_kept

__all__ = ["Workload"]


class Workload:
    """Epochs of several networks, each weighed by its multiply-adds.

    Parameters
    ----------
    work : sequence of Training
        What is trained, some of it perhaps by an earlier call.
    multiply_adds : sequence of int > 0
        Of one epoch, for each of `work`.
    clock : callable
        Seconds that never go back.
    """

    def __init__(
        self, work: Sequence[Training], multiply_adds: Sequence[int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._weights = dict(zip(work, multiply_adds, strict=True))
        self._epochs = {training: epochs_kept(training) for training in work}
        self._total = sum(weight * training.plan.recipe.fit.epochs for training, weight in self._weights.items())
        self._kept = self._done()
        self._clock = clock
        self._began = clock()

    def advance(self, training: Training, epochs: int) -> None:
        """Note that a network has `epochs` behind it."""
        self._epochs[training] = epochs

    @property
    def percent(self) -> int:
        """Whole percents of the work that are done, by this call and by earlier ones."""
        return 100 * self._done() // self._total

    def seconds_left(self) -> float:
        """Estimate the rest at the speed so far: networks of other kinds may be slower or faster than their weight."""
        done = self._done()
        if done <= self._kept:
            return float("inf")
        return (self._clock() - self._began) * (self._total - done) / (done - self._kept)

    def _done(self) -> int:
        return sum(weight * self._epochs[training] for training, weight in self._weights.items())
