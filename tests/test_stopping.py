"""Stopping and reloading: what was sent is answered, and under load nobody is refused."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from db.lock import WriteLock
from tests.conftest import HOME, JSON, PASSWORD
from tests.test_server import ask, children_of, command, environment, needs_proc, port_of, serving, workers_of


def stop(server, signum=signal.SIGTERM):
    server.process.send_signal(signum)
    return server.process.wait(60)


def wait_until(happened, seconds=60):
    for _ in range(seconds * 50):
        if happened():
            return
        time.sleep(0.02)
    raise AssertionError("it does not happen")


def connect(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was closed in this very moment
        return True
    return False


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_stop_answers_what_was_sent_and_takes_nothing_new(tmp_path, signum):
    with serving(tmp_path, "--workers", "1", "--threads", "2") as server, ExitStack() as crowd:
        tokens = [server.token(f"user{number}") for number in range(20)]
        clients = [crowd.enter_context(closing(connect(server.port))) for _ in tokens]
        change = json.dumps({"user": {"bio": "Rows at dawn"}})
        with closing(WriteLock(server.database)) as lock, lock:  # so that all twenty wait: two run, the others queue
            for client, token in zip(clients, tokens, strict=True):
                client.request("PUT", "/api/user", change, JSON | {"Authorization": f"Token {token}"})
            time.sleep(1)
            server.process.send_signal(signum)
            wait_until(lambda: is_refused(server.port))
            assert server.process.poll() is None

        assert [client.getresponse().status for client in clients] == [200] * 20
        assert server.process.wait(30) == 0
    assert server.rows("SELECT count(*) FROM users WHERE bio = 'Rows at dawn'") == [(20,)]


def test_a_server_that_stopped_has_left_nothing_in_its_wal(tmp_path):
    with serving(tmp_path, "--workers", "2") as server:
        server.token("ann")

        assert stop(server) == 0

    assert not server.database.with_name("rowboat.db-wal").exists()
    assert server.rows("SELECT username FROM users") == [("ann",)]
    assert "rror" not in server.log.read_text()


@pytest.mark.parametrize(
    ("request_line", "header", "status", "said"),
    [
        (b"GET /readyz HTTP/1.1\r\n", b"", b"503", b'"draining": "the worker is about to stop"'),
        (b"GET /api/tags HTTP/1.1\r\n", b"If-None-Match: *\r\n", b"304", b""),
    ],
    ids=["body", "no_body"],
)
def test_a_connection_that_stays_open_is_closed_after_its_answer(tmp_path, request_line, header, status, said):
    with serving(tmp_path, "--workers", "1") as server:
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
            connection.sendall(b"GET /api/tags HTTP/1.1\r\nHost: here\r\n\r\n")
            assert b"Connection: close" not in connection.recv(65536)
            connection.sendall(request_line)  # so that it is not idle, however long the rest takes
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_refused(server.port))

            connection.sendall(b"Host: here\r\n" + header + b"\r\n")

            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert said in answer
        assert b"Connection: close" in answer
        assert server.process.wait(30) == 0


def test_idle_connections_and_half_a_request_do_not_keep_it_from_stopping(tmp_path):
    with serving(tmp_path, "--workers", "1", ROWBOAT_DRAIN_S="5") as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(20)]
        half = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        half.sendall(b"POST /api/users HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n{")

        assert stop(server) == 0
        for connection in (*idle, half):
            connection.close()
    assert "1 connections were cut" in server.log.read_text()


@needs_proc
def test_a_worker_that_does_not_end_is_killed(tmp_path):
    with serving(tmp_path, "--workers", "1", ROWBOAT_DRAIN_S="0") as server:
        (worker,) = workers_of(server)
        subprocess.run(["kill", "-STOP", str(worker)], check=True)

        assert stop(server) == 0
    assert f"process {worker} took too long to end, and was killed" in server.log.read_text()


@needs_proc
def test_two_workers_that_die_at_the_same_moment_are_both_replaced(tmp_path):
    with serving(tmp_path, "--workers", "2") as server:
        wait_until(lambda: len(workers_of(server)) == 2)
        before = workers_of(server)
        time.sleep(1.5)  # they have lived for longer than the pause between two starts

        subprocess.run(["kill", "-KILL", *map(str, before)], check=True)

        wait_until(lambda: len({*workers_of(server)} - {*before}) == 2)
        assert server.ask("GET", "/api/tags")[0] == 200
        assert stop(server) == 0


def test_systemd_is_told_when_it_is_ready_reloads_and_stops(tmp_path):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        file = tmp_path / "rowboat.conf"
        file.write_text("")
        settings = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "ROWBOAT_SETTINGS": str(file)}
        with serving(tmp_path, "--workers", "1", **settings) as server:
            assert systemd.recv(100) == b"READY=1"

            for content in ("", "This is no setting"):  # which is refused
                file.write_text(content)
                server.process.send_signal(signal.SIGHUP)
                assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", systemd.recv(100))
                assert systemd.recv(100) == b"READY=1"

            assert stop(server) == 0
            assert systemd.recv(100) == b"STOPPING=1"


# Reloading


@needs_proc
def test_sighup_brings_new_code_and_new_workers(tmp_path):
    with serving(tmp_path, "--workers", "2") as server:
        token = server.token("ann")
        before = workers_of(server)

        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Rowboat reloaded (workers: 2)" in server.log.read_text())
        wait_until(lambda: len(workers_of(server)) == 2)

        assert not {*workers_of(server)} & {*before}
        assert server.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 200
        assert stop(server) == 0


@pytest.mark.slow(seconds=90)
def test_under_load_twenty_reloads_refuse_nobody(tmp_path):
    if not shutil.which("wrk"):
        pytest.skip("needs wrk")
    with serving(tmp_path, "--workers", "2") as server:
        load = subprocess.Popen(
            ["wrk", "-t2", "-c16", "-d600s", f"http://127.0.0.1:{server.port}/api/tags"],
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(1)
        for number in range(1, 21):
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: server.log.read_text().count("Rowboat reloaded") == number)  # noqa: B023 (called at once)
        load.send_signal(signal.SIGINT)  # then it reports
        report, _ = load.communicate(timeout=30)

    assert int(re.search(r"(\d+) requests in", report)[1]) > 1000
    assert "Socket errors" not in report
    assert "Non-2xx" not in report


@pytest.mark.slow
def test_what_is_written_while_workers_are_replaced_is_written_once(tmp_path):
    with serving(tmp_path, "--workers", "2", ROWBOAT_POSTS_PER_HOUR="1000000") as server:
        token = server.token("ann")
        done = threading.Event()

        def write(number):
            written, asked = 0, time.monotonic()
            with closing(connect(server.port)) as kept:
                while not done.is_set():
                    article = {"title": f"{number}-{written}", "description": "About it", "body": "The text"}
                    before, asked = asked, time.monotonic()
                    try:
                        status, _ = ask(
                            kept, "POST", "/api/articles", {"article": article}, authorization=f"Token {token}"
                        )
                    except (ConnectionResetError, BrokenPipeError):  # a connection that was silent may be closed
                        assert asked - before > 1
                        kept.close()  # and is opened anew
                        continue
                    assert status == 201
                    written += 1
            return written

        with ThreadPoolExecutor(8) as crowd:
            writers = [crowd.submit(write, number) for number in range(8)]
            for number in range(1, 6):
                server.process.send_signal(signal.SIGHUP)
                wait_until(lambda: server.log.read_text().count("Rowboat reloaded") == number)  # noqa: B023
            done.set()
            written = sum(writer.result() for writer in writers)

        assert stop(server) == 0
        assert server.rows("SELECT count(*), count(DISTINCT title) FROM articles") == [(written, written)]


def test_sighup_brings_new_code_and_code_that_does_not_start_leaves_the_old(tmp_path, fork):
    log, code = tmp_path / "server.log", fork.home / "app.py"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", "serve", "--port", "0", "--workers", "2", "--database", str(fork.database)],
            cwd=fork.home,
            env=environment(),
            stdout=output,
            stderr=output,
        )
    try:
        port = port_of(process, log)
        text = code.read_text()
        before = how_many_run(process.pid)

        code.write_text(text.replace('VERSION = "', 'VERSION = "9.'))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Rowboat reloaded" in log.read_text())
        wait_until(lambda: how_many_run(process.pid) == before)
        assert version(port).startswith("9.")

        code.write_text("This is no Python")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "a new worker did not start; the old ones stay" in log.read_text())
        assert version(port).startswith("9.")
    finally:
        process.terminate()
        assert process.wait(30) == 0


def version(port):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        return ask(connection, "GET", "/")[1]["rowboat"]


def test_the_password_is_not_needed_again_after_a_reload(tmp_path):
    with serving(tmp_path, "--workers", "1") as server:
        server.token("ann")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Rowboat reloaded" in server.log.read_text())

        body = {"user": {"email": "ann@example.org", "password": PASSWORD}}
        assert server.ask("POST", "/api/users/login", body)[0] == 200


# Settings at SIGHUP


def registers(server, name):
    """The status of the answer to a registration."""
    user = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    return server.ask("POST", "/api/users", {"user": user})[0]


def reload(server, says, number=1):
    """Wait until the server has said it, and the workers that are to leave have answered what they had."""
    before = how_many_run(server.process.pid)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log.read_text().count(says) == number)
    wait_until(lambda: how_many_run(server.process.pid) == before)


def how_many_run(parent):
    """How many processes a server runs; where nobody tells, always the same."""
    return len(children_of(parent)) if sys.platform == "linux" else 0


def test_sighup_brings_new_settings_while_nobody_is_refused(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("ROWBOAT_REGISTRATION=open\n")
    done = threading.Event()

    def read():
        statuses = set()
        while not done.is_set():
            statuses.add(server.ask("GET", "/api/tags")[0])
        return statuses

    with serving(tmp_path, "--workers", "2", ROWBOAT_SETTINGS=str(file)) as server, ThreadPoolExecutor(4) as crowd:
        assert registers(server, "ann") == 201
        readers = [crowd.submit(read) for _ in range(4)]

        file.write_text("ROWBOAT_REGISTRATION=closed\n")
        reload(server, "Rowboat reloaded")
        statuses = [registers(server, f"bob{number}") for number in range(20)]
        done.set()

        assert statuses == [403] * 20
        assert [reader.result() for reader in readers] == [{200}] * 4
        assert stop(server) == 0


def test_a_faulty_file_leaves_the_old_workers_with_the_old_settings(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("ROWBOAT_REGISTRATION=closed\n")
    with serving(tmp_path, "--workers", "2", ROWBOAT_SETTINGS=str(file)) as server:
        file.write_text("# opened\nROWBOAT_REGISTRATION=all\n")
        reload(server, f"{file}:2: ROWBOAT_REGISTRATION is 'all'; it must be one of open, closed")
        wait_until(lambda: server.log.read_text().count("a new worker did not start; the old ones stay") == 1)
        assert registers(server, "ann") == 403

        file.unlink()
        reload(server, f"{file}: No such file or directory; ROWBOAT_SETTINGS names it; the old workers stay")
        assert registers(server, "ann") == 403

        file.write_text("ROWBOAT_REGISTRATION=open\n")
        reload(server, "Rowboat reloaded")
        assert registers(server, "ann") == 201
        assert stop(server) == 0


def test_the_environment_wins_over_the_file_also_after_a_reload(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("")
    with serving(tmp_path, "--workers", "1", ROWBOAT_SETTINGS=str(file), ROWBOAT_REGISTRATION="closed") as server:
        file.write_text("ROWBOAT_REGISTRATION=open\nROWBOAT_POSTS_PER_HOUR=4\n")
        reload(server, "Rowboat reloaded")

        assert registers(server, "ann") == 403


@needs_proc
def test_the_parent_takes_over_the_time_for_draining(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("ROWBOAT_DRAIN_S=3600\n")
    with serving(tmp_path, "--workers", "1", ROWBOAT_SETTINGS=str(file)) as server:
        file.write_text("ROWBOAT_DRAIN_S=0\n")
        reload(server, "Rowboat reloaded")
        wait_until(lambda: len(workers_of(server)) == 1)
        subprocess.run(["kill", "-STOP", *map(str, workers_of(server))], check=True)

        assert stop(server) == 0


# What else may happen to it


def test_a_hangup_of_the_whole_terminal_reloads_and_cuts_nobody_off(tmp_path):
    with serving(tmp_path, "--workers", "1", through=["setsid"]) as server, ThreadPoolExecutor(1) as crowd:
        token = server.token("ann")
        with closing(WriteLock(server.database)) as lock, lock:
            change = crowd.submit(
                server.ask, "PUT", "/api/user", {"user": {"bio": "Rows"}}, authorization=f"Token {token}"
            )
            time.sleep(0.5)
            os.killpg(server.process.pid, signal.SIGHUP)
            time.sleep(1)
        wait_until(lambda: "Rowboat reloaded" in server.log.read_text())

        assert change.result()[0] == 200
        assert stop(server) == 0
    assert "ended with" not in server.log.read_text()


def test_nobody_has_to_listen_to_what_it_says(tmp_path):
    reading, writing = os.pipe()
    process = subprocess.Popen(
        command(tmp_path / "rowboat.db", 0, "--workers", "1"), env=environment(), stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    with os.fdopen(reading) as heard:
        port = next(int(found[1]) for line in heard if (found := re.search(r":(\d+)/api ", line)))
    try:
        process.send_signal(signal.SIGHUP)
        time.sleep(2)

        assert version(port)
    finally:
        process.terminate()
        errors = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert b"Traceback" not in errors


@contextmanager
def serving_by_environment(folder, python=sys.executable, **settings):
    """A server that no flag has told anything: its process, its port, and its log."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, str(HOME / "app.py"), "serve"], env=environment() | settings, stdout=output, stderr=output
        )
    try:
        yield process, port_of(process, log), log
    finally:
        process.terminate()
        assert process.wait(30) == 0


@needs_proc
def test_a_worker_that_cannot_be_started_is_started_once_it_can_be(tmp_path):
    ours = Path(sys.executable).parent.parent
    python = tmp_path / "venv" / "bin" / "python"  # as while an environment is built anew
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    for part in "lib", "pyvenv.cfg":
        (tmp_path / "venv" / part).symlink_to(ours / part)
    settings = {"ROWBOAT_DATABASE": str(tmp_path / "rowboat.db"), "ROWBOAT_PORT": "0", "ROWBOAT_WORKERS": "1"}
    with serving_by_environment(tmp_path, str(python), **settings) as (process, port, log):
        (worker,) = children_of(process.pid)
        python.rename(tmp_path / "elsewhere")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: "a worker cannot be started" in log.read_text())
        assert process.poll() is None

        (tmp_path / "elsewhere").rename(python)

        wait_until(lambda: children_of(process.pid))
        assert version(port)


@needs_proc
def test_what_the_file_says_counts_from_the_next_reload_on(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("ROWBOAT_REGISTRATION=closed\n")
    with serving(tmp_path, "--workers", "1", ROWBOAT_SETTINGS=str(file)) as server:
        (worker,) = workers_of(server)
        file.write_text("This is no setting\n")

        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: {*workers_of(server)} - {worker})

        assert registers(server, "ann") == 403
        assert stop(server) == 0


def test_a_reload_names_what_needs_a_restart(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text(f"ROWBOAT_DATABASE={tmp_path}/first.db\nROWBOAT_PORT=0\nROWBOAT_WORKERS=1\n")
    with serving_by_environment(tmp_path, ROWBOAT_SETTINGS=str(file)) as (process, _, log):
        file.write_text(f"ROWBOAT_DATABASE={tmp_path}/second.db\nROWBOAT_PORT=0\nROWBOAT_WORKERS=2\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "Rowboat reloaded (workers: 1)" in log.read_text())

    said = log.read_text()
    assert "ROWBOAT_DATABASE has changed, which needs a restart" in said
    assert "ROWBOAT_WORKERS has changed, which needs a restart" in said
    assert "ROWBOAT_PORT" not in said
    assert (tmp_path / "first.db").exists()
    assert not (tmp_path / "second.db").exists()
