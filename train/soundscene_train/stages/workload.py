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
    jobs : int > 0
        How many networks are trained at a time.
    clock : callable
        Seconds that never go back.
    """

    def __init__(
        self,
        work: Sequence[Training],
        multiply_adds: Sequence[int],
        jobs: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._weights = dict(zip(work, multiply_adds, strict=True))
        self._epochs = {training: epochs_kept(training) for training in work}
        self._ended: dict[Training, float] = {}
        self._jobs, self._clock = jobs, clock
        self._measured, self._measured_seconds = 0, 0.0

    def advance(self, training: Training, epochs: int) -> None:
        """Note that a network has just ended an epoch; its first shows no speed, since other work goes before it."""
        now = self._clock()
        if training in self._ended:
            self._measured += self._weights[training] * (epochs - self._epochs[training])
            self._measured_seconds += now - self._ended[training]
        self._ended[training], self._epochs[training] = now, epochs

    @property
    def percent(self) -> int:
        """Whole percents of the work that are done, by this call and by earlier ones."""
        total = sum(weight * training.plan.recipe.fit.epochs for training, weight in self._weights.items())
        return 100 * (total - sum(self._left())) // total

    def seconds_left(self) -> float | None:
        """Estimate the rest at the speed so far, None where that is not known yet.

        Networks of another kind may be slower or faster than their multiply-adds say.
        """
        if not self._measured:
            return None
        left = self._left()
        return self._measured_seconds / self._measured * max(sum(left) / self._jobs, *left)

    def _left(self) -> list[int]:
        """Multiply-adds of each network that are still to come."""
        return [
            weight * (training.plan.recipe.fit.epochs - self._epochs[training])
            for training, weight in self._weights.items()
        ]
