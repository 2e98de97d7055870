"""How much is measured, and the databases to measure on."""

import hashlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.servers import HOME, BenchError
from bench.workload import Request, Workload, make

BENCH = HOME / "bench"
DATA = BENCH / "data"
BUILD = BENCH / "build"


@dataclass(frozen=True)
class Plan:
    """The extent of a run. `minutes` is when it ends at the latest, measured or not."""

    name: str
    peer_sizes: tuple[int, ...]
    sizes: tuple[int, ...]
    seconds: int  # of each measurement
    repetitions: int
    checks: int  # answers compared for each route
    load_seconds: int  # before memory is measured
    starts: int
    minutes: float

    @property
    def compared_sizes(self) -> tuple[int, ...]:
        """The sizes at which every route is measured; a quick run leaves out those without peers."""
        return self.sizes if self.name == "full" else self.peer_sizes


FULL = Plan("full", (1_000, 100_000), (1_000, 100_000, 1_000_000), 2, 3, 20, 60, 5, 44)
QUICK = Plan("quick", (1_000,), (1_000, 100_000), 1, 1, 5, 5, 3, 4.9)
SMOKE = Plan("smoke", (1_000,), (1_000,), 1, 1, 3, 2, 1, 14)


@dataclass(frozen=True)
class Dataset:
    """A generated database, never written to; its workload, and the folder with that as files."""

    size: int
    path: Path
    folder: Path
    workload: Workload
    copies: dict[str, Path] = field(default_factory=dict)

    def copy(self, name: str) -> Path:
        """A copy to serve, without anything that an earlier run left behind, and in the system's file cache."""
        path = self.folder / f"{name}.db"
        for leftover in self.folder.glob(f"{name}.db*"):
            leftover.unlink()
        shutil.copyfile(self.path, path)
        with path.open("rb") as file:
            while file.read(1024 * 1024):
                pass
        return path

    def copy_once(self, name: str) -> Path:
        """The copy of that name which this run has already, or else a new one."""
        if name not in self.copies:
            self.copies[name] = self.copy(name)
        return self.copies[name]

    def requests(self, route: str) -> list[Request]:
        """All requests of a route, the repeated one first."""
        return [self.workload.repeated[route], *self.workload.never_seen.get(route, [])]

    def remove_copies(self) -> None:
        """Give the disk back what the copies took."""
        for path in self.folder.glob("*.db*"):
            path.unlink()
        self.copies.clear()


def dataset(size: int) -> Dataset:
    """The database of so many articles: the one of an earlier run, unless the schema or the generator changed."""
    path = DATA / f"{size}-{_fingerprint()}.db"
    folder = DATA / str(size)
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        for old in DATA.glob(f"{size}-*.db*"):
            old.unlink()
        # A process of its own: what it needs of memory is given back.
        print(f"generating {size} articles ...", flush=True)
        done = subprocess.run([sys.executable, "-m", "bench.generate", str(size), str(path)], cwd=HOME, timeout=1200)
        if done.returncode:
            raise BenchError(f"no database of {size} articles could be made")
    workload = make(path)
    workload.save(folder)
    return Dataset(size, path, folder, workload)


def _fingerprint() -> str:
    sources = [*sorted((HOME / "schema").glob("[0-9]*.sql")), BENCH / "generate.py", BENCH / "texts.py"]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def slow_fsync() -> Path:
    """The library that slows fsync, built where it is not yet. Raises BenchError without a C compiler."""
    source, library = BENCH / "slow_fsync.c", BUILD / "slow_fsync.so"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        try:
            command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
            subprocess.run(command, check=True, timeout=60)
        except (OSError, subprocess.CalledProcessError) as error:
            raise BenchError(f"{source.name} cannot be built: {error}; apt-get install gcc libc6-dev") from error
    return library


class Clock:
    """How much of a plan's time is left."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes
        self.began = time.monotonic()

    def is_over(self) -> bool:
        """Whether nothing more should be measured."""
        return time.monotonic() > self._end

    def minutes(self) -> float:
        """Since the start."""
        return (time.monotonic() - self.began) / 60
