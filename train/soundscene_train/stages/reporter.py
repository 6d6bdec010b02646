"""How a stage tells how far it is."""

from __future__ import annotations

__all__ = ["Reporter"]


class Reporter:
    """Told how far a stage is, and what deserves a look; this one says nothing."""

    def step(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` units of a stage are finished; a total of 0 is not known yet."""

    def epoch(self, network: str, done: int, total: int, loss: float) -> None:
        """A network, of several runs one named with its run, has trained `done` of `total` epochs."""

    def whole(self, count: int, percent: int, seconds_left: float) -> None:
        """Of `count` networks that are trained, this much is done, and about so long the rest takes."""

    def remark(self, text: str) -> None:
        """Something was found that does not end the work, and that a person should know."""
