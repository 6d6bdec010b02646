"""The rules of ADR 3 in their plainest form, a dictionary of the samples that were seen: no code of `streams/`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

Key = tuple[str, str, int]
Published = tuple[Key, int, bytes]


@dataclass
class Session:
    """What one session has brought so far."""

    heard_at_ms: int = 0
    furthest: int = 0
    seen: dict[int, float] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)


@dataclass
class SeenSamples:
    """Windows of `length` samples every `step`, counted at `rate_hz`; the other limits are the policy's."""

    rate_hz: int
    length: int
    step: int
    hold_back_seconds: float
    idle_seconds: float
    sessions_per_device: int
    devices: int
    clock_ms: int | None = None
    sessions: dict[Key, Session] = field(default_factory=dict)  # longest quiet first

    def take(self, key: Key, first: int, samples: list[float], timestamp_ms: int) -> list[Published]:
        """Take a chunk; return the windows of which it brought the last sample."""
        clock_ms = timestamp_ms if self.clock_ms is None else self.clock_ms
        own_ms = 1000 * len(samples) // key[2]
        self.clock_ms = max(clock_ms, min(timestamp_ms, clock_ms + own_ms))
        self._close(key)
        session = self.sessions.pop(key, Session())
        self.sessions[key] = session
        session.heard_at_ms = self.clock_ms
        if session.seen and first < session.furthest - math.ceil(self.hold_back_seconds * key[2]):
            return []
        session.furthest = max(session.furthest, first + len(samples))
        for at, sample in enumerate(samples, first):
            session.seen.setdefault(at, sample)
        return self._complete(key, session, first, first + len(samples))

    def _close(self, key: Key) -> None:
        limit_ms = (self.clock_ms or 0) - 1000 * self.idle_seconds
        self.sessions = {k: s for k, s in self.sessions.items() if s.heard_at_ms >= limit_ms}
        if key in self.sessions:
            return
        own = [k for k in self.sessions if k[0] == key[0]]
        for oldest in own[: max(0, len(own) + 1 - self.sessions_per_device)]:
            del self.sessions[oldest]
        last_heard = {k[0]: n for n, k in enumerate(self.sessions)}
        if key[0] not in last_heard and len(last_heard) >= self.devices:
            quietest = min(last_heard, key=lambda device: last_heard[device])
            self.sessions = {k: s for k, s in self.sessions.items() if k[0] != quietest}

    def _complete(self, key: Key, session: Session, first: int, end: int) -> list[Published]:
        rate_hz = key[2]
        length = self.length if rate_hz == self.rate_hz else math.ceil(self.length * rate_hz / self.rate_hz) + 1
        found = []
        for index in range(end * self.rate_hz // (self.step * rate_hz) + 2):
            at = index * self.step * rate_hz // self.rate_hz
            span = range(at, at + length)
            if index not in session.done and at + length > first and all(n in session.seen for n in span):
                session.done.add(index)
                found.append((key, index, np.array([session.seen[n] for n in span], np.float32).tobytes()))
        return found
