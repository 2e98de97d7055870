"""Jobs that a worker does beside answering requests, each in a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from db import Unavailable

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_STOP = 5


@contextmanager
def doing(jobs: dict[str, Callable[[], bool]]) -> Iterator[None]:
    """Do jobs as long as this lasts, by name. Each does a little when called, and says whether there may be more.

    Any number of processes may do the same jobs at once."""
    stopping = threading.Event()
    threads = [
        threading.Thread(target=_repeat, args=(name, job, stopping), name=name, daemon=True)
        for name, job in jobs.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(_SECONDS_TO_STOP)


def _repeat(name: str, job: Callable[[], bool], stopping: threading.Event) -> None:
    log = logging.getLogger("rowboat")
    pause = _SECONDS_BETWEEN_LOOKS
    while not stopping.wait(pause):
        began = time.perf_counter()
        more = False
        try:
            more = job()
        except Unavailable as error:
            log.warning("%s: %s", name, error)
        except Exception:  # a bug of ours must not end the thread
            log.exception(name)
        # A pause as long as the work, so that requests get their turns.
        pause = min(time.perf_counter() - began, _SECONDS_BETWEEN_LOOKS) if more else _SECONDS_BETWEEN_LOOKS
