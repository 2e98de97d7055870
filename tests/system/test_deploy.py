"""The files in deploy/ at work: proxies, the files of the image, systemd. tests/test_deploy.py reads them."""

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.conftest import HOME, PASSWORD
from tests.system.test_server import MIB, Server, ask, children_of, environment, needs_proc, serving, until
from tests.system.test_stopping import reload
from tests.test_deploy import dockerfile, instruction, is_left_out

TOKEN = "a-token-for-prometheus"

DEPLOY = HOME / "deploy"

pytestmark = needs_proc
needs_venv = pytest.mark.skipif(not (HOME / ".venv/runs").exists(), reason="needs .venv, which `make install` builds")


def program(name: str) -> str:
    """Where a program of Debian's stands; without it, the test is skipped."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or pytest.skip(f"needs {name}")


def free_port() -> int:
    """A free port, below those that the system gives away itself: nobody takes it before it is used."""
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), closing(socket.create_server(("127.0.0.1", port))):
            return port
    raise AssertionError("no port is free")


@contextmanager
def running(folder: Path, command: list[str], proxy: "Proxy", **options: Any) -> Iterator["Proxy"]:
    """A proxy as a process with its output in a file, which ends with the test."""
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **options)
    try:
        until(proxy.answers)
        yield proxy
    finally:
        with suppress(ProcessLookupError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def replaced(text: str, **changes: str) -> str:
    """The text with each of these put in; each must be there."""
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    return text


# Behind a proxy


@dataclass
class Proxy:
    """A proxy on this machine: its ports, whose certificates it has, and the server behind it."""

    http: int
    https: int
    authority: Path
    server: Server

    @contextmanager
    def connected(self, address: str = "127.0.0.1") -> Iterator[http.client.HTTPSConnection]:
        """A connection from an address of this machine, over TLS that is checked."""
        options = {"timeout": 60, "context": ssl.create_default_context(cafile=self.authority)}
        with closing(
            http.client.HTTPSConnection("localhost", self.https, source_address=(address, 0), **options)
        ) as connection:
            yield connection

    def ask(self, method: str, path: str, body: Any = None, address: str = "127.0.0.1", **headers: str) -> Any:
        """The status and the JSON of an answer."""
        with self.connected(address) as connection:
            return ask(connection, method, path, body, **headers)

    def answers(self) -> bool:
        with suppress(OSError):
            return bool(self.ask("GET", "/metrics"))
        return False


def caddy(folder: Path, server: Server) -> AbstractContextManager[Proxy]:
    """Caddy with the shipped Caddyfile as it is, and certificates of its own authority."""
    here = Proxy(free_port(), free_port(), folder / "data/caddy/pki/authorities/local/root.crt", server)
    settings = {
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder),
        "SITE": "localhost",
        "UPSTREAM": f"127.0.0.1:{server.port}",
        "CADDY_GLOBAL_OPTIONS": f"default_bind 127.0.0.1\nhttp_port {here.http}\nhttps_port {here.https}\nadmin off",
    }
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")]
    return running(folder, command, here, env=environment() | settings)


def nginx(folder: Path, server: Server) -> AbstractContextManager[Proxy]:
    """nginx with the shipped site, in which only the name, the ports and the certificate are others."""
    here = Proxy(free_port(), free_port(), folder / "authority.pem", server)
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(here.authority))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "fullchain.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "privkey.pem"))
    site = replaced(
        (DEPLOY / "nginx.conf").read_text(),
        **{
            "/etc/letsencrypt/live/rowboat.example.org": str(folder),
            "rowboat.example.org": "localhost",
            "127.0.0.1:8080": f"127.0.0.1:{server.port}",
            "listen [::]:80;": "",
            "listen [::]:443 ssl http2;": "",
            "listen 80;": f"listen 127.0.0.1:{here.http};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{here.https} ssl http2;",
        },
    )
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in "client_body proxy fastcgi uwsgi scgi".split()
    )
    user = "user root;\n" if os.geteuid() == 0 else ""  # who else may not enter the test's folder
    (folder / "nginx.conf").write_text(
        f"{user}pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\n{site}\n}}\n"
    )
    command = [program("nginx"), "-p", str(folder), "-e", str(folder / "errors"), "-c", str(folder / "nginx.conf")]
    return running(folder, [*command, "-g", "daemon off;"], here)


@pytest.fixture(scope="module", params=[caddy, nginx])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Rowboat behind each proxy. It would tell everybody everything: what strangers are not told, the proxy refuses."""
    program(request.param.__name__)
    settings = {"ROWBOAT_TRUSTED_PROXY": "127.0.0.1", "ROWBOAT_STUDY": "on", "ROWBOAT_METRICS_TOKEN": TOKEN}
    settings |= {"ROWBOAT_POSTS_PER_HOUR": "1000000"}
    with (
        serving(tmp_path_factory.mktemp("rowboat"), "--workers", "2", **settings) as server,
        request.param(tmp_path_factory.mktemp("proxy"), server) as proxy,
    ):
        yield proxy


def user(name: str) -> dict[str, Any]:
    return {"user": {"username": name, "email": f"{name}@example.org", "password": PASSWORD}}


def test_requests_are_served_over_tls_alone(site):
    assert site.ask("GET", "/readyz")[1]["ready"] is True
    for path in "/api/tags", "/metrics":
        with site.connected() as connection:
            connection.request("GET", path)
            assert connection.getresponse().headers["Strict-Transport-Security"] == "max-age=31536000"

    with closing(http.client.HTTPConnection("127.0.0.1", site.http, timeout=60)) as connection:
        connection.request("GET", "/api/tags?x=1", headers={"Host": "localhost"})
        redirect = connection.getresponse()
    assert redirect.status == 308
    assert re.fullmatch(r"https://localhost(:\d+)?/api/tags\?x=1", redirect.headers["Location"])


def test_a_body_over_1_mib_is_refused_as_json(site):
    status, answer = site.ask("POST", "/api/users", {"user": "x" * MIB})

    assert (status, answer["errors"].keys()) == (413, {"body"})


def test_login_attempts_are_counted_by_the_address_that_the_proxy_sees(site):
    with site.connected("127.0.0.8") as guesser:
        answers = [
            ask(guesser, "POST", "/api/users/login", user(f"user{number}"), **{"X-Forwarded-For": f"192.0.2.{number}"})
            for number in range(101)
        ]

    assert [status for status, _ in answers] == [401] * 100 + [429]
    assert site.ask("POST", "/api/users/login", user("user1"), address="127.0.0.9")[0] == 401


@pytest.mark.parametrize("name", ["metrics", "study"])
def test_paths_for_operators_are_404_in_every_spelling(site, name):
    first, rest = name[0], name[1:]
    assert raw(site, "/api/nothing") == (404, True)
    direct = f"http://127.0.0.1:{site.server.port}/{name}"
    with urllib.request.urlopen(urllib.request.Request(direct, headers={"Authorization": f"Bearer {TOKEN}"})) as page:
        assert page.status == 200  # it is there, behind the proxy

    for path in [
        *(f"/{name}{tail}" for tail in ("", "/", "?x=1", "/sql/articles/list", "//x", "%2fx")),
        *(f"{start}{name}" for start in ("//", "/./", "/api/../", "/%2e/", "/api/%2e%2e/", "/%2f")),
        *(f"///{name}/x", f"/%{ord(first):x}{rest}", f"/%{ord(first):X}{rest}/x"),
        *(f"http://localhost/{name}", f"http://localhost//{name}"),
    ]:
        assert raw(site, path) == (404, False), path
    for path in f"/{name.upper()}", f"/{name.title()}/x", f"/{name};x", f"/{name}%20":
        assert raw(site, path)[0] == 404, path


def raw(proxy: Proxy, path: str) -> tuple[int, bool]:
    """The status of the answer, which is JSON, and whether it is Rowboat's own."""
    with proxy.connected() as connection:
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", "localhost")
        connection.endheaders()
        answer = connection.getresponse()
        assert json.loads(answer.read()) == {"errors": {"route": ["not found"]}}
        return answer.status, "X-Request-Id" in answer.headers


def test_a_reload_behind_a_proxy_fails_no_request(site):
    token, done = site.ask("POST", "/api/users", user("cy"))[1]["user"]["token"], threading.Event()

    def reads_and_writes(number):
        statuses = []
        with site.connected(f"127.0.1.{number}") as kept:
            while not done.is_set():
                article = {"title": f"{number}-{len(statuses)}", "description": "About it", "body": "The text"}
                headers = {"authorization": f"Token {token}"}
                statuses.append(ask(kept, "POST", "/api/articles", {"article": article}, **headers)[0])
                statuses.append(ask(kept, "GET", "/api/articles")[0])
                time.sleep(0.1)  # the proxy limits the requests of an address
        return {*statuses}

    with ThreadPoolExecutor(8) as crowd:
        clients = [crowd.submit(reads_and_writes, number) for number in range(1, 9)]
        try:
            for number in range(1, 4):
                reload(site.server, "Rowboat reloaded", number)
        finally:
            done.set()

    assert all(client.result() == {200, 201} for client in clients)


# In a container


@needs_venv
def test_the_files_in_the_image_serve_and_pass_its_health_check(tmp_path):
    home = tmp_path / "rowboat"
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=HOME, check=True, capture_output=True, text=True).stdout.splitlines()
    sources = [rest.split()[:-1] for name, rest in dockerfile() if name == "COPY" and "--from=" not in rest]
    for path in files:
        if not is_left_out(Path(path)) and (HOME / path).exists() and path != ".venv":
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HOME / path, home / path)
    (home / ".venv").symlink_to(HOME / ".venv")
    settings = dict(each.split("=") for name, rest in dockerfile() if name == "ENV" for each in rest.split())
    settings |= {"ROWBOAT_DATABASE": str(tmp_path / "data/rowboat.db"), "ROWBOAT_HOST": "127.0.0.1"}
    settings["ROWBOAT_PORT"] = str(free_port())
    probe = {"args": json.loads(instruction("HEALTHCHECK").partition("CMD ")[2]), "cwd": home}

    assert all((home / source).exists() for each in sources for source in each)
    with serving(home, instead=json.loads(instruction("CMD")), **settings) as server:
        assert subprocess.run(**probe, env=environment() | settings).returncode == 0
        server.stop()
        assert subprocess.run(**probe, env=environment() | settings).returncode == 1


def test_as_process_1_an_orphan_is_not_taken_for_a_worker(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root: it becomes process 1 of a namespace")
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with serving(tmp_path, "--workers", "1", through=unshare) as server:
        (first,) = children_of(server.process.pid)
        orphan = ["nsenter", "--target", str(first), "--pid", "--mount", "sh", "-c", "sleep 0.2 & exit"]
        subprocess.run(orphan, check=True)
        until(lambda: len(children_of(first)) == 1)  # the orphan has ended

        assert server.ask("GET", "/readyz")[0] == 200
        os.kill(first, signal.SIGTERM)
        assert server.process.wait(60) == 0


# Other hosts


@needs_venv
def test_systemd_accepts_the_unit_and_rates_its_exposure_low(tmp_path):
    analyze, copy = program("systemd-analyze"), tmp_path / "rowboat.service"
    copy.write_text(replaced((DEPLOY / "rowboat.service").read_text(), **{"/opt/rowboat": str(HOME)}))

    checked = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True)
    security = [analyze, "security", "--offline=true", "--threshold=20", str(DEPLOY / "rowboat.service")]

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert "Overall exposure level" in subprocess.run(security, check=True, capture_output=True, text=True).stdout


@needs_venv
def test_the_procfile_serves_on_the_given_port(tmp_path):
    command = re.fullmatch(r"web: (.+)\n", (HOME / "Procfile").read_text())[1]
    command = replaced(command, **{"0.0.0.0": "127.0.0.1", "app.py": str(HOME / "app.py")})
    port = free_port()
    settings = {"PORT": str(port), "PATH": f"{HOME}/.venv/bin:{os.environ['PATH']}"}

    with serving(tmp_path, instead=["sh", "-c", command], **settings) as server:
        assert server.port == port
        assert server.ask("GET", "/readyz")[0] == 200
        server.stop()
