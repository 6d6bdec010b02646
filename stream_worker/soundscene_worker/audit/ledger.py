"""Expected windows, predictions and what explains the rest, in a temporary SQLite file: memory stays flat."""

from __future__ import annotations

import hashlib
import math
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from typing import Final, Self

from soundscene_worker.audit.expectation import Findings
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.audit.publication import TOLERANCE, facts, numbers
from soundscene_worker.audit.session import ExpectedWindow, Run
from soundscene_worker.messages.prediction import ModelReference, ScenePrediction, prediction_id

__all__ = ["Ledger"]

_SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -16384;
CREATE TABLE run (id INTEGER PRIMARY KEY, device TEXT, session TEXT, rate INTEGER, UNIQUE (device, session, rate));
CREATE TABLE window (id INTEGER PRIMARY KEY, run INTEGER, first_sample INTEGER, judged INTEGER, seen REAL,
    completed INTEGER DEFAULT 1, UNIQUE (run, first_sample));
CREATE TABLE prediction (id TEXT PRIMARY KEY, model INTEGER, device TEXT, session TEXT, first_sample INTEGER,
    length INTEGER, rate INTEGER, facts BLOB, numbers BLOB, smoothed_scene TEXT, smoothed_score REAL,
    repeated INTEGER DEFAULT 0, differing INTEGER DEFAULT 0, unsteady INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE model (id INTEGER PRIMARY KEY, hash TEXT UNIQUE, name TEXT, version TEXT, claimed_to INTEGER DEFAULT 0);
CREATE TABLE claim (id TEXT PRIMARY KEY, window INTEGER) WITHOUT ROWID;
CREATE INDEX claim_window ON claim (window);
CREATE TABLE absence (run INTEGER, first_index INTEGER, last_index INTEGER, hole_first INTEGER, hole_end INTEGER,
    skipped INTEGER);
CREATE INDEX absence_run ON absence (run, first_index);
CREATE TABLE excuse (run INTEGER, first INTEGER, end INTEGER, cause TEXT, part INTEGER, at INTEGER);
CREATE INDEX excuse_run ON excuse (run, end);
CREATE TABLE letter (part INTEGER, at INTEGER, PRIMARY KEY (part, at)) WITHOUT ROWID;
"""
_BATCH: Final = 10_000
_COMPLETE: Final = """
INSERT INTO window (run, first_sample, judged, seen) VALUES (?, ?, ?, ?)
ON CONFLICT (run, first_sample) DO UPDATE SET completed = completed + 1
"""
"""Complete a second time: the session was closed, and what it had sent came again."""

_REPEAT: Final = """
UPDATE prediction SET repeated = repeated + 1, differing = differing OR ?, unsteady = unsteady OR ? WHERE id = ?
"""


class Ledger:
    """What was found so far; the file is SQLite's own and gone when it is closed."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.database.executescript(_SCHEMA)
        self.database.execute("BEGIN")

    def close(self) -> None:
        """Throw everything away."""
        self.database.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def find(self, found: Findings, seen_seconds: float = 0.0, is_judged: bool = True) -> None:
        """Put in what a record brought about; what is not judged only explains predictions."""
        execute = self.database.execute
        for window in found.windows:
            values = (self._run(window.run), window.first_sample, is_judged, seen_seconds)
            execute(_COMPLETE, values)
        for excuse in found.excuses:
            execute("INSERT INTO excuse VALUES (?, ?, ?, ?, ?, ?)", (self._run(excuse.run), *excuse.span, *excuse[2:]))
        for absence in found.absences if is_judged else ():
            hole = (self._run(absence.run), *absence[1:3], *absence.hole, absence.skipped)
            execute("INSERT INTO absence VALUES (?, ?, ?, ?, ?, ?)", hole)

    def publish(self, prediction: ScenePrediction) -> None:
        """Put in a prediction, or compare it with the first of its id."""
        p = prediction
        said, measured = _digest(p), numbers(p)
        packed = struct.pack(f"<{len(measured)}d", *measured.values())
        where = (p.device, p.session, p.first_sample, p.sample_count, p.sample_rate)
        values = (p.id, self._model(p.model), *where, said, packed, p.smoothed_scene, p.smoothed_score)
        columns = (
            "id, model, device, session, first_sample, length, rate, facts, numbers, smoothed_scene, smoothed_score"
        )
        places = ", ".join("?" * len(values))
        if self.database.execute(f"INSERT OR IGNORE INTO prediction ({columns}) VALUES ({places})", values).rowcount:
            return
        query = "SELECT facts, numbers, smoothed_scene, smoothed_score FROM prediction WHERE id = ?"
        first, numbered, scene, score = self.database.execute(query, (p.id,)).fetchone()
        differs = first != said or not _near(numbered, packed)
        is_unsteady = scene != p.smoothed_scene or abs(score - p.smoothed_score) > TOLERANCE
        self.database.execute(_REPEAT, (differs, is_unsteady, p.id))

    def refuse(self, partition: int, offset: int) -> None:
        """Put in that a dead letter tells of a chunk."""
        self.database.execute("INSERT OR IGNORE INTO letter VALUES (?, ?)", (partition, offset))

    def models(self) -> list[ModelReference]:
        """Return the bundles that published."""
        rows = self.database.execute("SELECT name, version, hash FROM model ORDER BY hash")
        return [ModelReference(*row) for row in rows]

    def lengths(self) -> list[tuple[int, int]]:
        """Return the window lengths and rates that predictions speak of."""
        return self.database.execute("SELECT DISTINCT length, rate FROM prediction").fetchall()

    def claim(self) -> None:
        """Work out the ids under which each model must have published each window."""
        for model, model_hash, done in self.database.execute("SELECT id, hash, claimed_to FROM model").fetchall():
            highest = done
            for batch in self._windows_after(done):
                claims = ((prediction_id(*run, first, model_hash), window) for window, run, first in batch)
                self.database.executemany("INSERT OR IGNORE INTO claim VALUES (?, ?)", claims)
                highest = batch[-1][0]
            self.database.execute("UPDATE model SET claimed_to = ? WHERE id = ?", (highest, model))

    def _windows_after(self, window: int) -> Iterator[list[tuple[int, Run, int]]]:
        query = (
            "SELECT window.id, device, session, rate, first_sample FROM window JOIN run ON run.id = run "
            "WHERE window.id > ? ORDER BY window.id LIMIT ?"
        )
        while rows := self.database.execute(query, (window, _BATCH)).fetchall():
            yield [(name, Run(*run), first) for name, *run, first in rows]
            window = rows[-1][0]

    def excuses(self, run: int, first: int, end: int) -> Iterable[tuple[int, int, str]]:
        """Return the excuses that touch samples of a run; a chunk with a dead letter is `dead_lettered`."""
        query = (
            "SELECT first, end, CASE WHEN letter.at IS NULL THEN cause ELSE 'dead_lettered' END FROM excuse "
            "LEFT JOIN letter ON cause = 'rejected' AND letter.part = excuse.part AND letter.at = excuse.at "
            "WHERE run = ? AND end > ? AND first < ?"
        )
        return self.database.execute(query, (run, first, end)).fetchall()

    def awaited(self, since_seconds: float) -> tuple[int, float | None]:
        """Return how many windows seen since then are not published yet, and when the oldest of them was seen."""
        query = f"SELECT COUNT(*), MIN(seen) FROM window WHERE judged AND seen > ? AND NOT EXISTS ({PUBLISHED})"
        count, oldest = self.database.execute(query, (since_seconds, None, None)).fetchone()
        return count, oldest

    def missing(self, model: str | None, limit: int, seen_until: float = math.inf) -> list[ExpectedWindow]:
        """Return the first windows that nobody published."""
        query = (
            "SELECT device, session, run.rate, window.first_sample FROM window JOIN run ON run.id = run "
            f"WHERE judged AND seen <= ? AND NOT EXISTS ({PUBLISHED}) "
            "ORDER BY device, session, run.rate, window.first_sample LIMIT ?"
        )
        rows = self.database.execute(query, (seen_until, model, model, limit))
        return [ExpectedWindow(Run(*run), first) for *run, first in rows]

    def _run(self, run: Run) -> int:
        self.database.execute("INSERT OR IGNORE INTO run (device, session, rate) VALUES (?, ?, ?)", run)
        query = "SELECT id FROM run WHERE device = ? AND session = ? AND rate = ?"
        return int(self.database.execute(query, run).fetchone()[0])

    def _model(self, model: ModelReference) -> int:
        values = (model.hash, model.name, model.version)
        self.database.execute("INSERT OR IGNORE INTO model (hash, name, version) VALUES (?, ?, ?)", values)
        return int(self.database.execute("SELECT id FROM model WHERE hash = ?", values[:1]).fetchone()[0])


PUBLISHED: Final = (
    "SELECT 1 FROM claim JOIN prediction ON prediction.id = claim.id JOIN model ON model.id = prediction.model "
    "WHERE claim.window = window.id AND (? IS NULL OR model.hash = ?)"
)
"""Finds the predictions of a window; its two parameters are both the hash of a model, or both None."""


def _digest(prediction: ScenePrediction) -> bytes:
    return hashlib.sha256(repr((facts(prediction), list(numbers(prediction)))).encode()).digest()[:16]


def _near(first: bytes, again: bytes) -> bool:
    pairs = zip(struct.iter_unpack("<d", first), struct.iter_unpack("<d", again), strict=False)
    return len(first) == len(again) and all(abs(a - b) <= TOLERANCE for (a,), (b,) in pairs)
