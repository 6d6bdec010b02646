"""What goes wrong with real sensors, on demand: each fault turns a stream of chunks into another one.

Pure: the same stream, rules and generator give the same faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from soundscene.errors import SettingsError
from soundscene_worker.sensor.chunks import Outgoing, require_rate

__all__ = ["DAMAGES", "FAULT_KINDS", "Fault", "misbehave"]

DAMAGES: Final = ("truncated", "header lost", "encoding unknown", "header garbled")
"""What `corrupt` chooses from."""

_RULE: Final = re.compile(
    r"(?P<kind>[a-z]+)(?::(?P<probability>[\d.]+)|@(?P<at>[\d.]+)(?:\+(?P<duration>[\d.]+))?)(?:=(?P<value>[\d.]+))?"
)
_CLIP_GAIN: Final = 100.0  # 40 dB: quiet places clip too

Hits = Callable[[Outgoing], bool]


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule of misbehaviour.

    Parameters
    ----------
    kind : str
        One of `FAULT_KINDS`.
    probability : float, 0 to 1, or None
        Of each chunk to be hit.
    at_seconds : float >= 0 or None
        Instead: when, in the device's sound.
    duration_seconds : float >= 0
        From then on for so long; 0 hits one chunk.
    value : float or None
        `reorder`: chunks that overtake it (1). `rate`: the other rate in Hz (48000).

    Raises
    ------
    SettingsError
        A value is outside its range.
    """

    kind: str
    probability: float | None = None
    at_seconds: float | None = None
    duration_seconds: float = 0.0
    value: float | None = None

    def __post_init__(self) -> None:
        """Check every range."""
        if self.kind not in FAULT_KINDS:
            raise SettingsError(f"no fault {self.kind!r}; there are {', '.join(FAULT_KINDS)}")
        if (self.probability is None) == (self.at_seconds is None):
            raise SettingsError(f"fault {self.kind} needs either a probability or a time")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise SettingsError(f"expected a probability of 0 to 1 for fault {self.kind}, got {self.probability:g}")
        if self.kind == "rate":
            require_rate(self._value(48_000))
        if self.kind == "reorder" and not 1 <= self._value(1) <= 1_000:
            raise SettingsError(f"expected reorder to hold back 1 to 1000 chunks, got {self.value:g}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KIND:PROBABILITY` or `KIND@SECONDS[+DURATION]`, each with `=VALUE` after it if need be.

        Raises
        ------
        SettingsError
            The text is no such rule.

        Examples
        --------
        >>> Fault.parse("silence@20+5")
        Fault(kind='silence', probability=None, at_seconds=20.0, duration_seconds=5.0, value=None)
        """
        match = _RULE.fullmatch(text)
        if match is None:
            raise SettingsError(
                f"expected a fault such as drop:0.05, silence@20+5, reorder:0.1=3 or rate@30=48000, got {text!r}"
            )
        try:
            numbers = {name: None if number is None else float(number) for name, number in match.groupdict().items()
                       if name != "kind"}  # fmt: skip
        except ValueError as error:
            raise SettingsError(f"a number in fault {text!r} cannot be read: {error}") from None
        return cls(match["kind"], numbers["probability"], numbers["at"], numbers["duration"] or 0.0, numbers["value"])

    def _value(self, default: int) -> int:
        return default if self.value is None else round(self.value)


def misbehave(
    chunks: Iterable[Outgoing], faults: Sequence[Fault], generator: np.random.Generator
) -> Iterator[Outgoing]:
    """Apply faults one after another, each with chances of its own."""
    stream = iter(chunks)
    for fault, own in zip(faults, generator.spawn(len(faults)), strict=True):
        stream = _KINDS[fault.kind](stream, fault, own)
    return stream


def _hits(fault: Fault, generator: np.random.Generator) -> Hits:
    """Return whether the fault strikes a chunk; each chunk is asked about once."""
    if fault.probability is not None:
        return lambda _: bool(generator.random() < (fault.probability or 0.0))
    at = fault.at_seconds or 0.0

    def strikes(chunk: Outgoing) -> bool:
        lasts = chunk.header.sample_count / chunk.header.sample_rate_hz
        return chunk.position_seconds < at + max(fault.duration_seconds, 1e-9) and chunk.position_seconds + lasts > at

    return strikes


def _drop(chunks: Iterator[Outgoing], fault: Fault, generator: np.random.Generator) -> Iterator[Outgoing]:
    hits = _hits(fault, generator)
    for chunk in chunks:
        yield chunk.with_fault("drop", is_sent=False) if hits(chunk) else chunk


def _duplicate(chunks: Iterator[Outgoing], fault: Fault, generator: np.random.Generator) -> Iterator[Outgoing]:
    hits = _hits(fault, generator)
    for chunk in chunks:
        yield chunk
        if hits(chunk):
            yield chunk.with_fault("duplicate")


def _reorder(chunks: Iterator[Outgoing], fault: Fault, generator: np.random.Generator) -> Iterator[Outgoing]:
    """Let later chunks overtake the ones that are hit."""
    hits = _hits(fault, generator)
    held: list[tuple[int, Outgoing]] = []  # how many may still overtake, and what is held back
    for chunk in chunks:
        if hits(chunk):
            held.append((fault._value(1), chunk))
            continue
        yield chunk
        held = [(count - 1, late) for count, late in held]
        for _, late in (item for item in held if item[0] == 0):
            yield late.with_fault("reorder", due_seconds=chunk.due_seconds)
        held = [item for item in held if item[0] > 0]
    for _, late in held:
        yield late.with_fault("reorder")


def _restart(chunks: Iterator[Outgoing], fault: Fault, generator: np.random.Generator) -> Iterator[Outgoing]:
    """Begin new sessions, each numbered from 0 again; what was recorded before and comes late stays in the old one."""
    hits = _hits(fault, generator)
    origins: list[Outgoing] = []
    for chunk in chunks:
        is_hit = hits(chunk)
        if is_hit:
            origins.append(chunk)
        number = sum(origin.position_seconds <= chunk.position_seconds for origin in origins)
        renamed = _in_session(chunk, origins[number - 1], number) if number else chunk
        yield renamed.with_fault("restart") if is_hit else renamed


def _in_session(chunk: Outgoing, origin: Outgoing, number: int) -> Outgoing:
    header = replace(
        chunk.header,
        session=f"{chunk.header.session}.{number}",
        sequence=chunk.header.sequence - origin.header.sequence,
        first_sample=chunk.header.first_sample - origin.header.first_sample,
    )
    return replace(chunk, header=header)


def _rate(chunks: Iterator[Outgoing], fault: Fault, generator: np.random.Generator) -> Iterator[Outgoing]:
    """Change to the other rate, for the duration or until the next hit; the session goes on at the same time."""
    hits = _hits(fault, generator)
    is_changed = False
    for chunk in chunks:
        was_changed, is_hit = is_changed, hits(chunk)
        is_changed = is_hit if fault.duration_seconds else is_changed != is_hit
        changed = _at_rate(chunk, fault._value(48_000)) if is_changed else chunk
        yield changed.with_fault("rate") if is_changed != was_changed else changed


def _at_rate(chunk: Outgoing, rate_hz: int) -> Outgoing:
    """Resample a chunk by itself, to the bounds it has in a session at the new rate: no sample is lost between two."""
    import soxr

    own_hz = chunk.header.sample_rate_hz
    first = chunk.header.first_sample * rate_hz // own_hz
    count = max(1, chunk.header.end_sample * rate_hz // own_hz - first)
    padded = np.pad(chunk.samples, ((0, own_hz // rate_hz + 2), (0, 0)), mode="edge")
    samples = soxr.resample(padded, own_hz, rate_hz)[:count]
    header = replace(chunk.header, sample_rate_hz=rate_hz, first_sample=first, sample_count=len(samples))
    return replace(chunk, header=header, samples=samples)


def _clip(chunks: Iterator[Outgoing], fault: Fault, generator: np.random.Generator) -> Iterator[Outgoing]:
    hits = _hits(fault, generator)
    for chunk in chunks:
        clipped = np.clip(_CLIP_GAIN * chunk.samples, -1.0, 1.0).astype(np.float32)
        yield chunk.with_fault("clip", samples=clipped) if hits(chunk) else chunk


def _silence(chunks: Iterator[Outgoing], fault: Fault, generator: np.random.Generator) -> Iterator[Outgoing]:
    hits = _hits(fault, generator)
    for chunk in chunks:
        yield chunk.with_fault("silence", samples=np.zeros_like(chunk.samples)) if hits(chunk) else chunk


def _corrupt(chunks: Iterator[Outgoing], fault: Fault, generator: np.random.Generator) -> Iterator[Outgoing]:
    hits = _hits(fault, generator)
    for chunk in chunks:
        damage = str(generator.choice(DAMAGES))
        yield chunk.with_fault("corrupt", damage=damage) if hits(chunk) else chunk


_KINDS: Final[dict[str, Callable[[Iterator[Outgoing], Fault, np.random.Generator], Iterator[Outgoing]]]] = {
    "drop": _drop,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "restart": _restart,
    "rate": _rate,
    "clip": _clip,
    "silence": _silence,
    "corrupt": _corrupt,
}

FAULT_KINDS: Final = tuple(_KINDS)
"""What `Fault.kind` may be."""
