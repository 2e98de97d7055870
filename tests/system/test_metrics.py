"""Metrics of real workers: they add up, survive reloads and crashes, and show requests that wait."""

import os
import re
import signal
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

from db.lock import WriteLock
from tests.system.test_server import needs_proc, serving, until, workers_of
from tests.system.test_stopping import connect, reload
from tests.test_metrics import TOKEN, numbers


def wait_until_both_expose(server, expected):
    """Return once each of two workers exposes these requests by status, its own and those of the other one."""
    name, found = "rowboat_request_duration_seconds_count", {}

    def both_know():
        with closing(connect(server.port)) as connection:
            connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            response = connection.getresponse()
            assert response.status == 200
            worker, exposed = response.headers["X-Request-Id"][:24], numbers(response.read().decode())
        found[worker] = {key[3]: count for key, count in exposed.items() if key[0] == name and key[2] != "/metrics"}
        return list(found.values()) == [expected] * 2

    until(both_know)


def send(server, count, path="/api/tags"):
    """Send so many requests, each on a connection of its own, so that both workers get some."""
    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(lambda _: server.ask("GET", path), range(count)))


@needs_proc
def test_counts_of_two_workers_add_up_and_survive_reloads_and_killed_workers(tmp_path):
    with serving(tmp_path, "--workers", "2", ROWBOAT_METRICS_TOKEN=TOKEN) as server:
        until(lambda: len(workers_of(server)) == 2)
        send(server, 50)
        send(server, 20, "/api/articles/unknown")
        wait_until_both_expose(server, {"200": 50, "404": 20})
        command_line = Path(f"/proc/{workers_of(server)[0]}/cmdline").read_text().replace("\0", " ")
        (folder,) = re.findall(r"\S+/rowboat-[0-9a-f]{16}", command_line)
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700

        reload(server, "Rowboat reloaded")
        send(server, 50)
        wait_until_both_expose(server, {"200": 100, "404": 20})

        before = {*workers_of(server)}
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len({*workers_of(server)} - before) == 2)
        for total in 150, 200:  # the second time, to see that nothing is counted twice
            send(server, 50)
            wait_until_both_expose(server, {"200": total, "404": 20})
        server.stop()

    assert not os.path.exists(folder)
    assert "rror" not in server.log.read_text()


def test_requests_that_wait_are_counted_while_they_do_and_so_is_the_time(tmp_path):
    settings = {"ROWBOAT_METRICS_TOKEN": TOKEN}
    with serving(tmp_path, "--workers", "1", "--threads", "1", **settings) as server, ExitStack() as stack:
        token = server.token("ann")
        server.token("bob")
        follower, one, other = [stack.enter_context(closing(connect(server.port))) for _ in range(3)]

        def everything_is_read():
            for _ in range(2):  # other threads respond to these, after what came before was read
                assert server.ask("POST", "/api/users/login", {})[0] == 422

        with closing(WriteLock(server.database)) as lock, lock:
            follower.request("POST", "/api/profiles/bob/follow", headers={"Authorization": f"Token {token}"})
            everything_is_read()  # it has the only thread
            for each in one, other:
                each.request("GET", "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            everything_is_read()
            time.sleep(0.3)  # the time that is measured below
        first, second = (numbers(each.getresponse().read().decode()) for each in (one, other))

        assert {first["rowboat_queue_depth",], second["rowboat_queue_depth",]} == {0, 1}
        assert first["rowboat_write_lock_wait_seconds_sum",] >= 0.3
        labels = "POST", "/api/profiles/<username>/follow", "200"
        assert first["rowboat_request_duration_seconds_sum", *labels] >= 0.3
