"""Stopping and reloading: every request that was sent gets its response, and no client is refused."""

import http.client
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from db.lock import WriteLock
from tests.conftest import HOME, JSON, PASSWORD
from tests.system.test_server import ask, command, needs_proc, serving, until, workers_of


def connect(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was closed in this very moment
        return True
    return False


def closed(server):
    """Whether registration is closed."""
    user = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}
    return server.ask("POST", "/api/users", {"user": user})[0] == 403


def reload(server, says, number=1):
    """Wait until the server has logged this so often, and the workers that are to leave have left."""
    before = len(workers_of(server))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.log.read_text().count(says) == number)
    until(lambda: len(workers_of(server)) == before)


def version(server):
    return server.ask("GET", "/")[1]["rowboat"]


# Stopping


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_terminal_interrupts_no_request(tmp_path, signum):
    options = ["--workers", "1", "--threads", "2"]
    with serving(tmp_path, *options, through=["setsid"]) as server, ExitStack() as stack:
        tokens = [server.token(f"user{number}") for number in range(4)]
        clients = [stack.enter_context(closing(connect(server.port))) for _ in tokens]
        change = json.dumps({"user": {"bio": "Rows at dawn"}})
        with closing(WriteLock(server.database)) as lock, lock:  # so that all wait: two run, the others queue
            for client, token in zip(clients, tokens, strict=True):
                client.request("PUT", "/api/user", change, JSON | {"Authorization": f"Token {token}"})
            for _ in range(2):  # other threads respond to these, after what came before was read
                assert server.ask("GET", "/api/tags")[0] == 200
            os.killpg(server.process.pid, signum)
            if signum != signal.SIGHUP:
                until(lambda: is_refused(server.port))
            assert server.process.poll() is None

        assert [client.getresponse().status for client in clients] == [200] * 4
        if signum == signal.SIGHUP:
            until(lambda: "Rowboat reloaded" in server.log.read_text())
            server.process.terminate()
        assert server.process.wait(60) == 0
    assert server.rows("SELECT count(*) FROM users WHERE bio = 'Rows at dawn'") == [(4,)]
    assert "ended with" not in server.log.read_text()


def test_a_server_that_stops_closes_open_connections_after_a_response_and_cuts_half_a_request(tmp_path):
    requests = [
        (b"GET /readyz HTTP/1.1\r\n", b"Host: here\r\n\r\n"),
        (b"GET /api/tags HTTP/1.1\r\n", b"Host: here\r\nIf-None-Match: *\r\n\r\n"),
        (b"POST /api/users HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n{", b""),
        (b"", b""),
    ]
    with serving(tmp_path, "--workers", "1", ROWBOAT_DRAIN_S="5") as server, ExitStack() as stack:
        connections = [stack.enter_context(closing(connect(server.port))) for _ in requests]
        for connection, (begin, _) in zip(connections, requests, strict=True):
            assert ask(connection, "GET", "/api/tags") == (200, {"tags": []})
            connection.sock.sendall(begin)  # so that it is not idle
        server.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(server.port))

        for connection, (_, rest) in zip(connections, requests, strict=True):
            connection.sock.sendall(rest)
        responses = [b"".join(iter(lambda: each.sock.recv(65536), b"")) for each in connections]  # noqa: B023
        assert server.process.wait(60) == 0

    assert [response[9:12] for response in responses] == [b"503", b"304", b"", b""]
    assert b'"draining": "the worker is about to stop"' in responses[0]
    assert all(b"Connection: close" in response for response in responses[:2])
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


def test_no_write_is_refused_or_lost_while_workers_are_replaced(tmp_path):
    done = threading.Event()

    def write(number):
        written, asked = 0, time.monotonic()
        with closing(connect(server.port)) as kept:
            while not done.is_set():
                article = {"title": f"{number}-{written}", "description": "About it", "body": "The text"}
                before, asked = asked, time.monotonic()
                try:
                    status, _ = ask(kept, "POST", "/api/articles", {"article": article}, authorization=f"Token {token}")
                except (ConnectionResetError, BrokenPipeError):  # only a connection that was idle may be closed
                    assert asked - before > 0.5
                    kept.close()
                    continue
                assert status == 201
                written += 1
        return written

    with serving(tmp_path, "--workers", "2", ROWBOAT_POSTS_PER_HOUR="1000000") as server:
        token = server.token("ann")
        with ThreadPoolExecutor(8) as crowd:
            writers = [crowd.submit(write, number) for number in range(8)]
            try:
                for number in range(1, 4):
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
def test_a_reload_applies_a_valid_file_and_an_invalid_one_leaves_the_old_settings_also_to_new_workers(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text("ROWBOAT_REGISTRATION=closed\n")
    with serving(tmp_path, "--workers", "2", ROWBOAT_SETTINGS=str(file)) as server:
        file.write_text("# opened\nROWBOAT_REGISTRATION=all\n")
        reload(server, f"{file}:2: ROWBOAT_REGISTRATION is 'all'; it must be one of open, closed")
        until(lambda: server.log.read_text().count("a new worker did not start; the old ones stay") == 1)
        killed = {*workers_of(server)}
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        until(lambda: len({*workers_of(server)} - killed) == 2)
        assert closed(server)

        file.unlink()
        reload(server, f"{file}: No such file or directory; ROWBOAT_SETTINGS names it; the old workers stay")
        assert closed(server)

        file.write_text("ROWBOAT_REGISTRATION=open\n")
        before = {*workers_of(server)}
        reload(server, "Rowboat reloaded (workers: 2)")
        assert not (before | killed) & {*workers_of(server)}
        assert not any(closed(server) for _ in range(8))
        server.stop()


def test_a_reload_names_what_needs_a_restart_and_the_environment_overrides_the_file(tmp_path):
    file = tmp_path / "rowboat.conf"
    file.write_text(f"ROWBOAT_DATABASE={tmp_path}/first.db\nROWBOAT_PORT=0\nROWBOAT_WORKERS=1\n")
    instead = [sys.executable, str(HOME / "app.py"), "serve"]
    with serving(tmp_path, instead=instead, ROWBOAT_SETTINGS=str(file), ROWBOAT_REGISTRATION="closed") as server:
        changed = f"ROWBOAT_DATABASE={tmp_path}/second.db\nROWBOAT_PORT=0\nROWBOAT_WORKERS=2\n"
        file.write_text(changed + "ROWBOAT_REGISTRATION=open\n")
        reload(server, "Rowboat reloaded (workers: 1)")
        assert closed(server)

    need_a_restart = re.findall(r"(ROWBOAT_\w+) has changed, which needs a restart", server.log.read_text())
    assert {*need_a_restart} == {"ROWBOAT_DATABASE", "ROWBOAT_WORKERS"}
    assert (tmp_path / "first.db").exists()
    assert not (tmp_path / "second.db").exists()


# What else may happen to a server


@needs_proc
def test_a_server_whose_standard_output_was_closed_reloads(tmp_path):
    through = ["bash", "-c", 'exec "$@" > >(sed -u "/Rowboat on/q")', "bash"]  # sed ends with this line
    with serving(tmp_path, "--workers", "1", through=through) as server:
        before = {*workers_of(server)}
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len({*workers_of(server)} - before) == 1 and not before & {*workers_of(server)})
        server.stop()
    assert "Traceback" not in server.log.read_text()


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
