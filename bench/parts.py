"""The parts of the benchmark: each starts servers, measures in interleaved repetitions, and fills the results."""

import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import checks, load, machine
from bench.load import Key, Results, Sample, Wrong
from bench.plan import Clock, Dataset, Plan, slow_fsync
from bench.servers import PEERS, Server, serving, start
from bench.workload import DEEP, READS, SEARCH, Request, file_of

REPEATED, NEVER_SEEN = "repeated", "never seen"

# Where two processes are set against one, and where readers meet writers.
_TYPICAL = ["articles", "article", "comments"]


class Bench:
    """One run."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.plan = plan
        self.results = Results()
        self._clock = clock

    def compare(self, data: Dataset) -> None:
        """Every route of every contestant, one process each, all on copies of the same database."""
        peers = PEERS if data.size in self.plan.peer_sizes else []
        with ExitStack() as stack:
            rowboat = stack.enter_context(serving("rowboat", data.copy("rowboat")))
            routes = [*READS, SEARCH]
            answers = data.folder / "answers"
            checks.save_answers(rowboat, _all_reads(data), answers)
            others = [stack.enter_context(serving(peer, data.copy(peer))) for peer in peers]
            others.append(stack.enter_context(serving("ceiling", answers)))
            self._check(data, rowboat, others)
            for turn in self._turns(f"{data.size} articles: reads"):
                for route in routes:
                    for mode in (REPEATED, NEVER_SEEN):
                        for server in [rowboat, *others] if route in READS else [rowboat]:
                            self._read("compare", data, server, route, mode, turn)
                self._sql_limit(data, [(route, mode) for route in routes for mode in (REPEATED, NEVER_SEEN)])
            for turn in self._turns(f"{data.size} articles: writes"):
                for route in ("comment", "favorite", "login"):
                    for server in [rowboat, *others[:-1]] if route == "comment" else [rowboat]:
                        self._write("compare", data, server, route, turn)
                self._sql_limit(data, [(route, NEVER_SEEN) for route in ("comment", "favorite", "login")])

    def flatness(self, small: Dataset, large: Dataset) -> None:
        """The same requests of Rowboat on a small and on a large database, in turns."""
        with ExitStack() as stack:
            both = [(data, stack.enter_context(serving("rowboat", data.copy("flatness")))) for data in (small, large)]
            for turn in self._turns("flatness"):
                for route in [*READS, DEEP, "comment", "favorite"]:
                    for data, server in both:
                        if route in ("comment", "favorite"):
                            self._write("flatness", data, server, route, turn)
                        else:
                            mode = REPEATED if route == "tags" else NEVER_SEEN
                            self._read("flatness", data, server, route, mode, turn)

    def headers(self, data: Dataset) -> None:
        """How much of the way to the ceiling are the headers that each answer of Rowboat's has."""
        route = "articles"
        with ExitStack() as stack:
            rowboat = stack.enter_context(serving("rowboat", data.copy("headers")))
            answers = data.folder / "answers"
            checks.save_answers(rowboat, _all_reads(data), answers)
            more = json.dumps(load.headers_of(rowboat, data.workload.repeated[route].path))
            ceilings = [
                (part, stack.enter_context(serving("ceiling", answers, extra={"BENCH_HEADERS": headers})))
                for part, headers in (("headers", "[]"), ("headers, the same", more))
            ]
            for turn in self._turns("headers"):
                for part, server in [("headers", rowboat), *ceilings]:
                    self._read(part, data, server, route, REPEATED, turn)

    def search(self, data: Dataset) -> None:
        """How long one client waits for the first page of a search."""
        with serving("rowboat", data.copy("search")) as server:
            requests = file_of(data.folder, SEARCH, NEVER_SEEN)
            key = Key("search", data.size, "rowboat", SEARCH, NEVER_SEEN)
            for _ in self._turns("search"):
                self._measure(key, lambda: load.wrk(server, requests, self.plan.seconds, connections=1))

    def scaling(self, data: Dataset) -> None:
        """Two pinned processes against one."""
        with ExitStack() as stack:
            servers = [
                (count, stack.enter_context(serving("rowboat", data.copy(f"scaling-{count}"), processes=count)))
                for count in (1, 2)
            ]
            for turn in self._turns("two processes"):
                for route in _TYPICAL:
                    for mode in (REPEATED, NEVER_SEEN):
                        for count, server in servers:
                            before = machine.cpu_seconds(server.process.pid)
                            self._read(f"{count} processes", data, server, route, mode, turn)
                            used = (machine.cpu_seconds(server.process.pid) - before) / self.plan.seconds
                            self.results.figures[f"cores that {count} processes get, {route}, {mode}"] = used

    def durable_writes(self, data: Dataset) -> None:
        """Comments of 16 clients against one connection that commits each; also with a slower fsync."""
        slow = {"LD_PRELOAD": str(slow_fsync())}
        with ExitStack() as stack:
            contests = []
            for part, extra in (("durable", {}), ("durable, slow fsync", slow)):
                path = data.copy(part.replace(", ", "-").replace(" ", "-"))
                server = stack.enter_context(serving("rowboat", path, processes=2, extra=extra))
                contests.append((part, extra, server, data.copy(path.stem + "-sql")))
            for turn in self._turns("durable writes"):
                for part, extra, server, sql_path in contests:
                    self._write(part, data, server, "comment", turn)
                    self._sql_limit(data, [("comment", NEVER_SEEN)], part, sql_path, extra)

    def readers_beside_writers(self, data: Dataset) -> None:
        """Readers alone, then while as many clients write."""
        path = data.copy("readers")
        with serving("rowboat", path, processes=2) as server:
            for turn in self._turns("readers beside writers"):
                for route in _TYPICAL:
                    self._read("readers alone", data, server, route, NEVER_SEEN, turn)
                    # For comparison: what as many more readers do to them.
                    for others in (route, "comment"):
                        self._read_beside(others, data, server, route, turn)

    def memory(self, data: Dataset) -> None:
        """One process: idle, and after a time of all kinds of reads and of writes."""
        with serving("rowboat", data.copy("memory")) as server:
            self._note_memory("idle", server)
            seconds = self.plan.load_seconds
            mixed = load.start_wrk(server, data.folder / "mixed-never-seen.tsv", seconds)
            comments = file_of(data.folder, "comment", NEVER_SEEN)
            self._measure(
                Key("memory", data.size, "rowboat", "comment", NEVER_SEEN),
                lambda: load.wrk(server, comments, seconds, connections=2),
            )
            self._measure(
                Key("memory", data.size, "rowboat", "all reads", NEVER_SEEN), lambda: load.finish(mixed, seconds)
            )
            self._note_memory("after load", server)

    def start_time(self, data: Dataset) -> None:
        """From `serve` to the first answer, on a database that exists."""
        path = data.copy("start")
        taken = []
        for _ in range(self.plan.starts):
            server = start("rowboat", path)
            try:
                taken.append(server.wait_until_it_answers())
            finally:
                server.stop()
        self.results.figures["start, seconds"] = statistics.median(taken)

    def _turns(self, what: str) -> Iterator[int]:
        """The repetitions, as long as there is time."""
        for turn in range(self.plan.repetitions):
            print(f"{self._clock.minutes():5.1f} min  {what}, {turn + 1} of {self.plan.repetitions}", flush=True)
            yield turn

    def _measure(self, key: Key, measure: Callable[[], Sample]) -> None:
        try:
            sample = measure()
        except Wrong as error:
            self.results.missing[key] = str(error)
        else:
            self.results.add(key, sample)

    def _read(self, part: str, data: Dataset, server: Server, route: str, mode: str, turn: int) -> None:
        requests = file_of(data.folder, route, mode)
        key = Key(part, data.size, server.name, route, mode)
        if not requests.exists() or key in self.results.missing or self._is_late(key):
            return

        unseen = mode == NEVER_SEEN
        self._measure(key, lambda: load.wrk(server, requests, self.plan.seconds, skip=turn * 97, unseen=unseen))

    def _read_beside(self, others: str, data: Dataset, server: Server, route: str, turn: int) -> None:
        """Read while as many more clients send `others`: they begin before the readers, and end after them."""
        who = "writers" if others == "comment" else "readers"
        seconds = self.plan.seconds + 1
        more = load.start_wrk(server, file_of(data.folder, others, NEVER_SEEN), seconds, skip=turn * 97)
        self._read(f"readers beside {who}", data, server, route, NEVER_SEEN, turn)
        key = Key(f"{who} beside readers of {route}", data.size, "rowboat", others, NEVER_SEEN)
        self._measure(key, lambda: load.finish(more, seconds))

    def _write(self, part: str, data: Dataset, server: Server, route: str, turn: int) -> None:
        requests = file_of(data.folder, route, NEVER_SEEN)
        key = Key(part, data.size, server.name, route, NEVER_SEEN)
        if key not in self.results.missing and not self._is_late(key):
            self._measure(key, lambda: load.wrk(server, requests, self.plan.seconds, skip=turn * 97))
            server.wait_until_idle()

    def _sql_limit(
        self,
        data: Dataset,
        routes: list[tuple[str, str]],
        part: str = "compare",
        path: Path | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        files = {(route, mode): file_of(data.folder, route, mode).with_suffix(".json") for route, mode in routes}
        files = {which: file for which, file in files.items() if file.exists()}
        path = path or data.copy_once("sql")
        keys = [Key(part, data.size, "sql", *which) for which in files]
        if any(self._is_late(key) for key in keys):
            return
        told = load.sql_limit(path, list(files.values()), self.plan.seconds / 4 if len(files) > 1 else 1, extra)
        for key, sample in zip(keys, told, strict=True):
            self.results.add(key, sample)

    def _is_late(self, key: Key) -> bool:
        """Whether the time is over; then what was never measured is noted as missing."""
        if not self._clock.is_over():
            return False
        if key not in self.results.samples:
            self.results.missing[key] = "there was no time left"
        return True

    def _check(self, data: Dataset, rowboat: Server, others: list[Server]) -> None:
        """Whoever answers a route wrongly is not measured on it."""
        for server in others:
            for route in READS:
                try:
                    checks.check_reads(rowboat, server, data.requests(route), self.plan.checks)
                except Wrong as error:
                    for mode in (REPEATED, NEVER_SEEN):
                        self._exclude(Key("compare", data.size, server.name, route, mode), error)
            if server.name != "ceiling":
                try:
                    checks.check_comment(rowboat, server, data.workload.never_seen["comment"][0])
                except Wrong as error:
                    self._exclude(Key("compare", data.size, server.name, "comment", NEVER_SEEN), error)

    def _exclude(self, key: Key, error: Wrong) -> None:
        self.results.missing[key] = f"wrong answer: {error}"
        self.results.notes.append(f"{key.who} answers {key.route} wrongly at {key.size} articles: {error}")

    def _note_memory(self, when: str, server: Server) -> None:
        processes = [("parent", server.process.pid), *(("worker", pid) for pid in machine.children(server.process.pid))]
        for process, pid in processes:
            for name, megabytes in (machine.memory(pid) or {}).items():
                self.results.figures[f"memory of the {process} {when}, {name}"] = megabytes


def _all_reads(data: Dataset) -> list[Request]:
    return [request for route in READS for request in data.requests(route)]
