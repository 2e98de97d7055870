"""The goals of the project for its speed, each beside what was measured. None is judged on what was not measured."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bench.load import Results
from bench.parts import NEVER_SEEN, REPEATED
from bench.servers import LABELS, PEERS
from bench.workload import READS, SEARCH

# At best, in requests/s, of Django Ninja, FastAPI + asyncpg, FastAPI + SQLAlchemy, Flask + SQLAlchemy, Fastify +
# knex and Go gin + gorm: public implementations of the same API, one process, 16 connections, 500 articles. They
# were measured on another machine, so this is for orientation.
PUBLIC = {"articles": 75, "feed": 80, "article": 760, "comments": 1_200, "tags": 3_600, "comment": 590}

_ANONYMOUS = ["articles", "tag", "author", "favorited", "article", "comments", "tags"]


@dataclass(frozen=True)
class Goal:
    """A row of the table; `met` is None where nothing was measured."""

    what: str
    goal: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """The last column."""
        return {True: "met", False: "not met", None: "–"}[self.met]


# A measured value, and where it was measured.
_Found = tuple[float, str]


def judge(results: Results, sizes: tuple[int, ...], peer_sizes: tuple[int, ...]) -> list[Goal]:
    """Every goal. Where one is about several routes or sizes, what counts is the worst of them."""
    judges = _Judges(results, sizes, peer_sizes)
    return [
        *judges.against_limits(),
        *judges.against_others(),
        *judges.sizes_and_processes(),
        *judges.writes_and_costs(),
    ]


def _at_least(what: str, least: float, found: Iterable[_Found], unit: str = "") -> Goal:
    return _goal(what, f"≥ {least:g}{unit}", min(found, default=None), lambda value: value >= least, unit)


def _at_most(what: str, most: float, found: Iterable[_Found], unit: str = "") -> Goal:
    return _goal(what, f"≤ {most:g}{unit}", max(found, default=None), lambda value: value <= most, unit)


def _goal(what: str, goal: str, worst: _Found | None, is_met: Callable[[float], bool], unit: str = "") -> Goal:
    if worst is None:
        return Goal(what, goal, "not measured", None)
    value, where = worst
    return Goal(what, goal, f"{value:.3g}{unit}" + (f" ({where})" if where else ""), is_met(value))


class _Judges:
    def __init__(self, results: Results, sizes: tuple[int, ...], peer_sizes: tuple[int, ...]) -> None:
        self._results = results
        self._sizes = sizes
        self._peer_sizes = peer_sizes

    def against_limits(self) -> Iterator[Goal]:
        """One process against the ceiling."""
        yield _at_least("repeated anonymous GETs against the ceiling", 0.85, self._of_ceiling(_ANONYMOUS, REPEATED))
        for route, least in (("articles", 0.25), ("article", 0.5), ("comments", 0.35)):
            yield _at_least(f"never-seen {route} against the ceiling", least, self._of_ceiling([route], NEVER_SEEN))

    def against_others(self) -> Iterator[Goal]:
        """One process against one process of the peers, and of public implementations."""
        yield _at_least("read routes against the best peer, requests/s", 4, self._against_peers("rps", max))
        worst = max(self._against_peers("p99_ms", min), default=None)
        yield _goal("read routes against the best peer, p99", "< 1", worst, lambda value: value < 1)
        public = dict(self._against_public())
        yield _goal(
            "against public implementations, every route",
            "> 1",
            min(public.values(), default=None),
            lambda value: value > 1,
        )
        listings = [public[route] for route in ("articles", "feed") if route in public]
        yield _at_least("against public implementations, listing and feed", 20, listings)

    def sizes_and_processes(self) -> Iterator[Goal]:
        """Flatness, scaling, search."""
        yield _at_least("two pinned processes against one", 1.7, self._scaling())
        small, large = self._sizes[0], self._sizes[-1]
        yield _at_most(f"p50 at {large:,} articles against {small:,}", 1.3, self._flatness(small, large))
        yield _at_most(
            f"first page of a two-word search at {large:,} articles, p99",
            50,
            self._values("search", SEARCH, NEVER_SEEN, "p99_ms"),
            " ms",
        )

    def writes_and_costs(self) -> Iterator[Goal]:
        """Durable writes, readers beside writers, memory, start."""
        for part, least in (("durable", 0.8), ("durable, slow fsync", 4)):
            yield _at_least(f"{part} comment writes against the SQL limit", least, self._of_sql_limit(part))
        yield _at_most(
            "longest wait for a durable write, slow fsync",
            1000,
            self._values("durable, slow fsync", "comment", NEVER_SEEN, "max_ms"),
            " ms",
        )
        yield _at_most("readers while 16 clients write, p99 against readers alone", 2, self._readers())
        for when, most in (("idle", 50), ("after load", 120)):
            yield _at_most(
                f"memory of a worker {when}", most, self._figure(f"memory of the worker {when}, rss_mb"), " MB"
            )
        yield _at_most("`serve` to first answer", 0.6, self._figure("start, seconds"), " s")

    def _median(self, part: str, size: int, who: str, route: str, mode: str, what: str = "rps") -> float | None:
        return self._results.median(part, size, who, route, mode, what)

    def _values(self, part: str, route: str, mode: str, what: str) -> Iterator[_Found]:
        for size in self._sizes:
            if value := self._median(part, size, "rowboat", route, mode, what):
                yield value, ""

    def _of_ceiling(self, routes: list[str], mode: str) -> Iterator[_Found]:
        for size in self._sizes:
            for route in routes:
                own = self._median("compare", size, "rowboat", route, mode)
                ceiling = self._median("compare", size, "ceiling", route, mode)
                if own and ceiling:
                    yield own / ceiling, f"{route}, {size:,} articles"

    def _against_peers(self, what: str, best: Callable[..., tuple[float, str]]) -> Iterator[_Found]:
        for size in self._peer_sizes:
            for route in READS:
                for mode in (REPEATED, NEVER_SEEN):
                    own = self._median("compare", size, "rowboat", route, mode, what)
                    peers = [
                        (value, peer)
                        for peer in PEERS
                        if (value := self._median("compare", size, peer, route, mode, what))
                    ]
                    if own and peers:
                        value, peer = best(peers)
                        yield own / value, f"{route}, {mode}, {size:,} articles, {LABELS[peer]}"

    def _against_public(self) -> Iterator[tuple[str, _Found]]:
        size = self._sizes[0]
        for route, figure in PUBLIC.items():
            mode = REPEATED if route == "tags" else NEVER_SEEN
            if own := self._median("compare", size, "rowboat", route, mode):
                yield route, (own / figure, f"{route}, {size:,} articles")

    def _scaling(self) -> Iterator[_Found]:
        for key in self._results.samples:
            if key.part == "2 processes":
                one = self._median("1 processes", key.size, key.who, key.route, key.mode)
                two = self._median("2 processes", key.size, key.who, key.route, key.mode)
                if one and two:
                    yield two / one, f"{key.route}, {key.mode}"

    def _flatness(self, small: int, large: int) -> Iterator[_Found]:
        for key in self._results.samples:
            if key.part == "flatness" and key.size == large and small != large:
                at_small = self._median("flatness", small, key.who, key.route, key.mode, "p50_ms")
                at_large = self._median("flatness", large, key.who, key.route, key.mode, "p50_ms")
                if at_small and at_large:
                    yield at_large / at_small, key.route

    def _of_sql_limit(self, part: str) -> Iterator[_Found]:
        for size in self._sizes:
            own = self._median(part, size, "rowboat", "comment", NEVER_SEEN)
            limit = self._median(part, size, "sql", "comment", NEVER_SEEN)
            if own and limit:
                yield own / limit, ""

    def _readers(self) -> Iterator[_Found]:
        for key in self._results.samples:
            if key.part == "readers beside writers":
                alone = self._median("readers alone", key.size, key.who, key.route, key.mode, "p99_ms")
                beside = self._median("readers beside writers", key.size, key.who, key.route, key.mode, "p99_ms")
                if alone and beside:
                    yield beside / alone, key.route

    def _figure(self, name: str) -> Iterator[_Found]:
        value = self._results.figures.get(name)
        if value is not None:
            yield value, ""
