"""Which subscriptions an event goes to: compiled once per change of subscriptions, no Django.

Subscriptions are filed by what decides most, (table or type, operation, company), and below that
by the equality of their filter that fewest others share. An event looks at those whose equality it
meets; what cannot match costs nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from operator import attrgetter
from typing import Any

from subscriptions.envelope import Envelope
from subscriptions.filters import Path, Scalar, value_at
from subscriptions.patterns import Pattern, compile_filter

TRUNCATE = "TRUNCATE"
GLOB_CHARACTERS = frozenset("*?[")
BY_ID = attrgetter("id")


@dataclass(frozen=True)
class Target:
    """What matching and handing over need of one subscription."""

    id: int
    company: str | None
    table: str | None
    event_type: str | None
    operations: frozenset[str]
    filter: Any
    handler_type: str
    is_paused: bool = False
    # Whether its deliveries know their record: they are ordered by it, or the last one is enough.
    is_by_record: bool = False
    debounce: timedelta = timedelta()

    @cached_property
    def pattern(self) -> Pattern:
        """The filter, compiled; raises FilterError for one that cannot be."""
        return compile_filter(self.filter)


def is_glob(event_type: str) -> bool:
    return not GLOB_CHARACTERS.isdisjoint(event_type)


@dataclass
class _Shelf:
    """Subscriptions of one kind: `certain` get what led here, `asked` if their filters say so."""

    certain: list[Target] = field(default_factory=list)
    asked: list[Target] = field(default_factory=list)

    def all(self) -> Iterator[Target]:
        yield from self.certain
        yield from self.asked

    def matching(self, event: Envelope) -> list[Target]:
        if not self.asked:
            return self.certain
        return self.certain + [one for one in self.asked if one.pattern.matches(event)]


@dataclass
class _Bucket:
    """Subscriptions that differ in their filters only."""

    others: _Shelf = field(default_factory=_Shelf)
    indexed: dict[Path, dict[Scalar, _Shelf]] = field(default_factory=dict)

    @classmethod
    def of(cls, targets: list[Target]) -> "_Bucket":
        found = [(target, list(target.pattern.atoms())) for target in targets]
        shared = Counter(atom for _, atoms in found for atom in set(atoms))
        bucket = cls()
        for target, atoms in found:
            if not atoms:
                (bucket.others.asked if target.filter else bucket.others.certain).append(target)
                continue
            path, value = min(atoms, key=lambda atom: shared[atom])
            shelf = bucket.indexed.setdefault(path, {}).setdefault(value, _Shelf())
            (shelf.certain if target.pattern.is_one_equality else shelf.asked).append(target)
        return bucket

    def all(self) -> Iterator[Target]:
        yield from self.others.all()
        for by_value in self.indexed.values():
            for shelf in by_value.values():
                yield from shelf.all()

    def matching(self, event: Envelope) -> Iterator[Target]:
        yield from self.others.matching(event)
        for path, by_value in self.indexed.items():
            value = value_at(event.document, path)
            if value is not None and (shelf := by_value.get(value)) is not None:
                yield from shelf.matching(event)


Place = tuple[str, str]  # ("table", name) or ("type", name)


class Matcher:
    """All subscriptions, compiled. `match` gives each event's subscriptions by ascending id."""

    def __init__(self, targets: Iterable[Target] = ()) -> None:
        rows: defaultdict[tuple[str, str, str | None], list[Target]] = defaultdict(list)
        types: defaultdict[tuple[str, str | None], list[Target]] = defaultdict(list)
        globs: defaultdict[tuple[str, str | None], list[Target]] = defaultdict(list)
        truncates: defaultdict[str, list[Target]] = defaultdict(list)
        for target in targets:
            if target.table is not None:
                for operation in target.operations:
                    if operation == TRUNCATE:  # has no rows, so no company and no filter to ask
                        truncates[target.table].append(target)
                    else:
                        rows[target.table, operation, target.company].append(target)
            elif target.event_type is not None:
                where = globs if is_glob(target.event_type) else types
                where[target.event_type, target.company].append(target)
        self._rows = {place: _Bucket.of(found) for place, found in rows.items()}
        self._types = {place: _Bucket.of(found) for place, found in types.items()}
        self._globs: dict[str | None, list[tuple[str, _Bucket]]] = {}
        for (pattern, company), found in globs.items():
            self._globs.setdefault(company, []).append((pattern, _Bucket.of(found)))
        self._truncates = dict(truncates)

    def match(self, event: Envelope) -> list[Target]:
        """Return who gets the event. Its document is parsed only if a filter asks for it; what
        the parser raises is raised.
        """
        if event.operation == TRUNCATE:
            return self._truncates.get(event.table or "", [])
        found = [target for bucket in self._buckets(event) for target in bucket.matching(event)]
        found.sort(key=BY_ID)
        return found

    def addressed(self, event: Envelope) -> list[Target]:
        """Return who would get the event if filters were not asked: its document is not read."""
        if event.operation == TRUNCATE:
            return self._truncates.get(event.table or "", [])
        found = [target for bucket in self._buckets(event) for target in bucket.all()]
        found.sort(key=BY_ID)
        return found

    def _buckets(self, event: Envelope) -> Iterator[_Bucket]:
        # Of the event's own company, and of the platform, which sees every company.
        for company in {event.company, None}:
            yield from self._buckets_of(event, company)

    def _buckets_of(self, event: Envelope, company: str | None) -> Iterator[_Bucket]:
        if event.type is None:
            if bucket := self._rows.get((event.table or "", event.operation or "", company)):
                yield bucket
            return
        if bucket := self._types.get((event.type, company)):
            yield bucket
        for pattern, globbed in self._globs.get(company, ()):
            if fnmatchcase(event.type, pattern):
                yield globbed
