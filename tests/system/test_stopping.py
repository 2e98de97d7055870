"""Stopping and reloading: every request that was sent gets its response, and no client is refused."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from db.lock import WriteLock
from tests.conftest import HOME, JSON, PASSWORD
from tests.system.test_server import ask, children_of, command, environment, needs_proc, serving, until, workers_of


def connect(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was closed in this very moment
        return True
    return False


def registers(server, name):
    """The status of the response to a registration."""
    user = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    return server.ask("POST", "/api/users", {"user": user})[0]


def reload(server, says, number=1):
    """Wait until the server has logged this so often, and the workers that are to leave have left."""
    before = how_many_run(server.process.pid)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.log.read_text().count(says) == number)
    until(lambda: how_many_run(server.process.pid) == before)


def how_many_run(parent):
    """How many processes a server runs; always the same where /proc is missing."""
    return len(children_of(parent)) if sys.platform == "linux" else 0


def version(server):
    return server.ask("GET", "/")[1]["rowboat"]


# Stopping


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_stops_responds_to_what_was_sent_and_accepts_nothing_new(tmp_path, signum):
    with serving(tmp_path, "--workers", "1", "--threads", "2") as server, ExitStack() as crowd:
        tokens = [server.token(f"user{number}") for number in range(8)]
        clients = [crowd.enter_context(closing(connect(server.port))) for _ in tokens]
        change = json.dumps({"user": {"bio": "Rows at dawn"}})
        with closing(WriteLock(server.database)) as lock, lock:  # so that all wait: two run, the others queue
            for client, token in zip(clients, tokens, strict=True):
                client.request("PUT", "/api/user", change, JSON | {"Authorization": f"Token {token}"})
            for _ in range(2):  # other threads respond to these, after what came before was read
                assert server.ask("GET", "/api/tags")[0] == 200
            server.process.send_signal(signum)
            until(lambda: is_refused(server.port))
            assert server.process.poll() is None

        assert [client.getresponse().status for client in clients] == [200] * 8
        assert server.process.wait(60) == 0
    assert server.rows("SELECT count(*) FROM users WHERE bio = 'Rows at dawn'") == [(8,)]


@pytest.mark.parametrize(
    ("request_line", "header", "status", "said"),
    [
        (b"GET /readyz HTTP/1.1\r\n", b"", b"503", b'"draining": "the worker is about to stop"'),
        (b"GET /api/tags HTTP/1.1\r\n", b"If-None-Match: *\r\n", b"304", b""),
    ],
    ids=["body", "no_body"],
)
def test_a_connection_that_stays_open_is_closed_after_its_response(tmp_path, request_line, header, status, said):
    with serving(tmp_path, "--workers", "1") as server:
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)) as connection:
            connection.sendall(b"GET /api/tags HTTP/1.1\r\nHost: here\r\n\r\n")
            assert b"Connection: close" not in connection.recv(65536)
            connection.sendall(request_line)  # so that it is not idle, however long the rest takes
            server.process.send_signal(signal.SIGTERM)
            until(lambda: is_refused(server.port))

            connection.sendall(b"Host: here\r\n" + header + b"\r\n")

            response = b"".join(iter(lambda: connection.recv(65536), b""))
        assert response.startswith(b"HTTP/1.1 " + status)
        assert said in response
        assert b"Connection: close" in response
        assert server.process.wait(60) == 0


def test_idle_connections_and_half_a_request_do_not_keep_a_server_from_stopping(tmp_path):
    with serving(tmp_path, "--workers", "1", ROWBOAT_DRAIN_S="5") as server, ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)))
        half = stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)))
        half.sendall(b"POST /api/users HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n{")

        server.stop()
    assert "1 connections were cut" in server.log.read_text()


def test_systemd_is_told_when_the_server_is_ready_reloads_and_stops(tmp_path):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
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

            server.stop()
            assert systemd.recv(100) == b"STOPPING=1"


# Reloading


@needs_proc
def test_sighup_brings_new_settings_in_new_workers_while_no_client_is_refused(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("ROWBOAT_REGISTRATION=open\n")
    done = threading.Event()

    def read():
        statuses = set()
        while not done.is_set():
            statuses.add(server.ask("GET", "/api/tags")[0])
        return statuses

    with serving(tmp_path, "--workers", "2", ROWBOAT_SETTINGS=str(file)) as server, ThreadPoolExecutor(2) as crowd:
        token = server.token("ann")
        until(lambda: len(workers_of(server)) == 2)
        before = {*workers_of(server)}
        readers = [crowd.submit(read) for _ in range(2)]
        try:
            file.write_text("ROWBOAT_REGISTRATION=closed\n")
            reload(server, "Rowboat reloaded (workers: 2)")
            statuses = [registers(server, f"bob{number}") for number in range(20)]
        finally:
            done.set()

        assert statuses == [403] * 20
        assert [reader.result() for reader in readers] == [{200}] * 2
        assert not before & {*workers_of(server)}
        assert server.ask("GET", "/api/user", authorization=f"Token {token}")[0] == 200
        login = {"user": {"email": "ann@example.org", "password": PASSWORD}}
        assert server.ask("POST", "/api/users/login", login)[0] == 200
        server.stop()


def test_what_is_written_while_workers_are_replaced_is_written_once(tmp_path):
    done = threading.Event()

    def write(number):
        written, asked = 0, time.monotonic()
        with closing(connect(server.port)) as kept:
            while not done.is_set():
                article = {"title": f"{number}-{written}", "description": "About it", "body": "The text"}
                before, asked = asked, time.monotonic()
                try:
                    status, _ = ask(kept, "POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
                except (ConnectionResetError, BrokenPipeError):  # a connection that was silent may be closed
                    assert asked - before > 0.5
                    kept.close()  # and is opened anew
                    continue
                assert status == 201
                written += 1
        return written

    with serving(tmp_path, "--workers", "2", ROWBOAT_POSTS_PER_HOUR="1000000") as server:
        token = server.token("ann")
        with ThreadPoolExecutor(8) as crowd:
            writers = [crowd.submit(write, number) for number in range(8)]
            try:
                for number in range(1, 6):
                    reload(server, "Rowboat reloaded", number)
            finally:
                done.set()
            written = sum(writer.result() for writer in writers)

        server.stop()
        assert server.rows("SELECT count(*), count(DISTINCT title) FROM articles") == [(written, written)]


def test_sighup_brings_new_code_and_code_that_does_not_start_leaves_the_old(tmp_path, fork):
    code = fork.home / "app.py"
    instead = [sys.executable, str(code), *command(fork.database, 0, "--workers", "2")[2:]]
    with serving(tmp_path, instead=instead) as server:
        text = code.read_text()

        code.write_text(text.replace('VERSION = "', 'VERSION = "9.'))
        reload(server, "Rowboat reloaded")
        assert version(server).startswith("9.")

        code.write_text("This is no Python")
        reload(server, "a new worker did not start; the old ones stay")
        assert version(server).startswith("9.")
        server.stop()


@needs_proc
def test_an_invalid_file_leaves_the_old_settings_also_to_a_worker_that_is_replaced(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("ROWBOAT_REGISTRATION=closed\n")
    with serving(tmp_path, "--workers", "2", ROWBOAT_SETTINGS=str(file)) as server:
        file.write_text("# opened\nROWBOAT_REGISTRATION=all\n")
        reload(server, f"{file}:2: ROWBOAT_REGISTRATION is 'all'; it must be one of open, closed")
        until(lambda: server.log.read_text().count("a new worker did not start; the old ones stay") == 1)
        before = {*workers_of(server)}
        for worker in before:
            os.kill(worker, signal.SIGKILL)
        until(lambda: len({*workers_of(server)} - before) == 2)
        assert registers(server, "ann") == 403

        file.unlink()
        reload(server, f"{file}: No such file or directory; ROWBOAT_SETTINGS names it; the old workers stay")
        assert registers(server, "ann") == 403

        file.write_text("ROWBOAT_REGISTRATION=open\n")
        reload(server, "Rowboat reloaded")
        assert registers(server, "ann") == 201
        server.stop()


def test_a_reload_names_what_needs_a_restart_and_the_environment_still_wins_over_the_file(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text(f"ROWBOAT_DATABASE={tmp_path}/first.db\nROWBOAT_PORT=0\nROWBOAT_WORKERS=1\n")
    instead = [sys.executable, str(HOME / "app.py"), "serve"]
    with serving(tmp_path, instead=instead, ROWBOAT_SETTINGS=str(file), ROWBOAT_REGISTRATION="closed") as server:
        changed = f"ROWBOAT_DATABASE={tmp_path}/second.db\nROWBOAT_PORT=0\nROWBOAT_WORKERS=2\n"
        file.write_text(changed + "ROWBOAT_REGISTRATION=open\n")
        reload(server, "Rowboat reloaded (workers: 1)")
        assert registers(server, "ann") == 403
        server.stop()

    logged = server.log.read_text()
    assert "ROWBOAT_DATABASE has changed, which needs a restart" in logged
    assert "ROWBOAT_WORKERS has changed, which needs a restart" in logged
    assert "ROWBOAT_PORT" not in logged
    assert (tmp_path / "first.db").exists()
    assert not (tmp_path / "second.db").exists()


# What else may happen to a server


def test_a_hangup_of_the_whole_terminal_reloads_and_interrupts_no_request(tmp_path):
    with serving(tmp_path, "--workers", "1", through=["setsid"]) as server, ThreadPoolExecutor(1) as crowd:
        token = server.token("ann")
        with closing(WriteLock(server.database)) as lock, lock:
            change = crowd.submit(
                server.ask, "PUT", "/api/user", {"user": {"bio": "Rows"}}, authorization=f"Token {token}"
            )
            while not change.running():
                time.sleep(0.01)
            for _ in range(2):  # other threads respond to these, after what came before was read
                assert server.ask("GET", "/api/tags")[0] == 200
            os.killpg(server.process.pid, signal.SIGHUP)
        until(lambda: "Rowboat reloaded" in server.log.read_text())

        assert change.result()[0] == 200
        server.stop()
    assert "ended with" not in server.log.read_text()


@needs_proc
def test_a_server_whose_standard_output_was_closed_reloads(tmp_path):
    reading, writing = os.pipe()
    process = subprocess.Popen(
        command(tmp_path / "rowboat.db", 0, "--workers", "1"), env=environment(), stdout=writing, stderr=subprocess.PIPE
    )
    try:
        os.close(writing)
        with os.fdopen(reading) as heard:
            port = next(int(found[1]) for line in heard if (found := re.search(r":(\d+)/api ", line)))
        before = {*children_of(process.pid)}
        process.send_signal(signal.SIGHUP)
        until(lambda: len({*children_of(process.pid)} - before) == 1 and not before & {*children_of(process.pid)})

        with closing(connect(port)) as connection:
            assert ask(connection, "GET", "/api/tags")[0] == 200
    finally:
        process.terminate()
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert b"Traceback" not in errors


@needs_proc
def test_a_worker_that_cannot_be_started_is_started_once_it_can_be(tmp_path):
    ours = Path(sys.executable).parent.parent
    python = tmp_path / "venv" / "bin" / "python"  # as while an environment is built anew
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    for part in "lib", "pyvenv.cfg":
        (tmp_path / "venv" / part).symlink_to(ours / part)
    instead = [str(python), *command(tmp_path / "rowboat.db", 0, "--workers", "1")[1:]]
    with serving(tmp_path, instead=instead) as server:
        (worker,) = workers_of(server)
        python.rename(tmp_path / "elsewhere")
        os.kill(worker, signal.SIGKILL)
        until(lambda: "a worker cannot be started" in server.log.read_text())
        assert server.process.poll() is None

        (tmp_path / "elsewhere").rename(python)

        until(lambda: workers_of(server))
        assert version(server)
        server.stop()
