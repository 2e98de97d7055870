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
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.conftest import HOME, PASSWORD
from tests.system.test_server import MIB, Server, ask, children_of, environment, needs_proc, port_of, serving, until
from tests.test_deploy import dockerfile, instruction, is_left_out

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


def succeeds(*command: Any, **options: Any) -> str:
    """What a command prints, which must succeed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(log: Path, command: list[str], **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A process with its output in a file, which ends with the test."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **options)
    try:
        yield process
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


def is_ready(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        return ask(connection, "GET", "/readyz")[0] == 200


# Behind a proxy


@dataclass
class Proxy:
    """A proxy on this machine: its ports, and whose certificates it has."""

    http: int
    https: int
    authority: Path

    @contextmanager
    def connected(self, address: str = "127.0.0.1") -> Iterator[http.client.HTTPSConnection]:
        """A connection from an address of this machine, over TLS that is checked."""
        context = ssl.create_default_context(cafile=self.authority)
        connection = http.client.HTTPSConnection(
            "localhost", self.https, timeout=60, source_address=(address, 0), context=context
        )
        with closing(connection):
            yield connection

    def ask(self, method: str, path: str, body: Any = None, address: str = "127.0.0.1", **headers: str) -> Any:
        """The status and the JSON of an answer."""
        with self.connected(address) as connection:
            return ask(connection, method, path, body, **headers)

    def wait(self, log: Path) -> None:
        """Return once it answers."""
        for _ in range(3000):
            try:
                self.ask("GET", "/metrics")
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(log.read_text())


@contextmanager
def caddy(folder: Path, upstream: int) -> Iterator[Proxy]:
    """Caddy with the shipped Caddyfile as it is, and certificates of its own authority."""
    here = Proxy(free_port(), free_port(), folder / "data/caddy/pki/authorities/local/root.crt")
    surroundings = {
        "SITE": "localhost",
        "UPSTREAM": f"127.0.0.1:{upstream}",
        "CADDY_GLOBAL_OPTIONS": f"default_bind 127.0.0.1\nhttp_port {here.http}\nhttps_port {here.https}\nadmin off",
    }
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")]
    with running(folder / "log", command, env=caddy_environment(folder) | surroundings):
        here.wait(folder / "log")
        yield here


def caddy_environment(folder: Path) -> dict[str, str]:
    return environment() | {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder)}


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[Proxy]:
    """nginx with the shipped site, in which only the name, the ports and the certificate are others."""
    here = Proxy(free_port(), free_port(), folder / "authority.pem")
    command = nginx_command(folder, here, upstream)
    with running(folder / "log", [*command, "-g", "daemon off;"]):
        here.wait(folder / "log")
        yield here


def nginx_command(folder: Path, here: Proxy, upstream: int) -> list[str]:
    """nginx's command line, with all that it needs in a folder."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(here.authority))
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(str(folder / "fullchain.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "privkey.pem"))
    site = replaced(
        (DEPLOY / "nginx.conf").read_text(),
        **{
            "/etc/letsencrypt/live/rowboat.example.org": str(folder),
            "rowboat.example.org": "localhost",
            "127.0.0.1:8080": f"127.0.0.1:{upstream}",
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
    return [program("nginx"), "-p", str(folder), "-e", str(folder / "errors"), "-c", str(folder / "nginx.conf")]


PROXIES = {"caddy": caddy, "nginx": nginx}


@dataclass
class Site:
    """A running Rowboat, and the proxy before it."""

    server: Server
    proxy: Proxy


@pytest.fixture(scope="module", params=PROXIES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Rowboat behind each proxy. It would tell everybody everything: what strangers are not told, the proxy refuses."""
    program(request.param)
    settings = {"ROWBOAT_TRUSTED_PROXY": "127.0.0.1", "ROWBOAT_STUDY": "on", "ROWBOAT_POSTS_PER_HOUR": "1000000"}
    with (
        serving(tmp_path_factory.mktemp("rowboat"), "--workers", "2", **settings) as server,
        PROXIES[request.param](tmp_path_factory.mktemp(request.param), server.port) as proxy,
    ):
        yield Site(server, proxy)


def user(name: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"user": {"username": name, "email": f"{name}@example.org", "password": password}}


def test_a_user_registers_logs_in_publishes_and_is_read_over_tls(site):
    article = {"title": "Rowing at dawn", "description": "About it", "body": "The text 🚣"}

    assert site.proxy.ask("POST", "/api/users", user("ann"))[0] == 201
    status, logged_in = site.proxy.ask("POST", "/api/users/login", user("ann"))
    headers = {"authorization": f"Token {logged_in['user']['token']}"}
    written = site.proxy.ask("POST", "/api/articles", {"article": article}, **headers)
    _, listed = site.proxy.ask("GET", "/api/articles?author=ann")

    assert (status, written[0]) == (200, 201)
    assert [each["slug"] for each in listed["articles"]] == [written[1]["article"]["slug"]]
    assert site.proxy.ask("GET", "/readyz")[1]["ready"] is True


@pytest.mark.parametrize("path", ["/api/tags", "/metrics"])
def test_responses_tell_browsers_to_use_tls(site, path):
    with site.proxy.connected() as connection:
        connection.request("GET", path)
        assert connection.getresponse().headers["Strict-Transport-Security"] == "max-age=31536000"


def test_requests_without_tls_are_redirected(site):
    with closing(http.client.HTTPConnection("127.0.0.1", site.proxy.http, timeout=60)) as connection:
        connection.request("GET", "/api/tags?x=1", headers={"Host": "localhost"})
        answer = connection.getresponse()

    assert answer.status == 308
    assert re.fullmatch(r"https://localhost(:\d+)?/api/tags\?x=1", answer.headers["Location"])


def test_a_body_over_1_mib_is_refused_as_json(site):
    with site.proxy.connected() as connection:
        status, answer = ask(connection, "POST", "/api/users", {"user": "x" * MIB})

    assert (status, answer["errors"].keys()) == (413, {"body"})


def test_login_attempts_are_counted_by_the_address_that_the_proxy_sees(site):
    with site.proxy.connected("127.0.0.8") as guesser:
        answers = [
            ask(guesser, "POST", "/api/users/login", user(f"user{number}"), **{"X-Forwarded-For": f"192.0.2.{number}"})
            for number in range(101)
        ]

    assert [status for status, _ in answers] == [401] * 100 + [429]
    assert site.proxy.ask("POST", "/api/users/login", user("user1"), address="127.0.0.9")[0] == 401


def test_the_stored_address_is_that_of_the_client(site):
    claimed = {"X-Forwarded-For": "192.0.2.1, 192.0.2.2"}
    site.proxy.ask("POST", "/api/users", user("bob"), address="127.0.0.7", **claimed)

    noted = "SELECT address FROM login_addresses JOIN users ON users.id = user_id WHERE username = 'bob'"
    assert site.server.rows(noted) == [("127.0.0.7",)]


@pytest.mark.parametrize("name", ["metrics", "study"])
def test_paths_for_operators_are_404_in_every_spelling(site, name):
    first, rest = name[0], name[1:]
    odd = [
        *(f"/{name}{tail}" for tail in ("", "/", "?x=1", "/sql/articles/list", "//x", "%2fx")),
        *(f"{start}{name}" for start in ("//", "/./", "/api/../", "/%2e/", "/api/%2e%2e/", "/%2f")),
        *(f"///{name}/x", f"/%{ord(first):x}{rest}", f"/%{ord(first):X}{rest}/x"),
        *(f"http://localhost/{name}", f"http://localhost//{name}"),
    ]

    assert raw(site.proxy, "/api/nothing") == (404, True)
    with urllib.request.urlopen(f"http://127.0.0.1:{site.server.port}/metrics") as answer:  # it is there, behind it
        assert answer.status == 200
    for path in odd:
        assert raw(site.proxy, path) == (404, False), path
    for path in f"/{name.upper()}", f"/{name.title()}/x", f"/{name};x", f"/{name}%20":
        assert raw(site.proxy, path)[0] == 404, path


def raw(proxy: Proxy, path: str) -> tuple[int, bool]:
    """The status of the answer, which is JSON, and whether it is Rowboat's own."""
    with proxy.connected() as connection:
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", "localhost")
        connection.endheaders()
        answer = connection.getresponse()
        assert json.loads(answer.read()) == {"errors": {"route": ["not found"]}}
        assert answer.headers["Content-Type"].startswith("application/json")
        return answer.status, "X-Request-Id" in answer.headers


def test_a_reload_behind_a_proxy_fails_no_request(site):
    token = site.proxy.ask("POST", "/api/users", user("cy"))[1]["user"]["token"]
    done = threading.Event()

    def reads_and_writes(number):
        statuses = []
        with site.proxy.connected(f"127.0.1.{number}") as kept:
            while not done.is_set():
                article = {"title": f"{number}-{len(statuses)}", "description": "About it", "body": "The text"}
                headers = {"authorization": f"Token {token}"}
                statuses.append(ask(kept, "POST", "/api/articles", {"article": article}, **headers)[0])
                statuses.append(ask(kept, "GET", "/api/articles")[0])
                time.sleep(0.1)  # the proxy limits the requests of an address
        return statuses

    reloads = site.server.log.read_text().count("Rowboat reloaded")
    with ThreadPoolExecutor(8) as crowd:
        clients = [crowd.submit(reads_and_writes, number) for number in range(1, 9)]
        try:
            for number in range(1, 6):
                site.server.process.send_signal(signal.SIGHUP)
                until(lambda: site.server.log.read_text().count("Rowboat reloaded") == reloads + number)  # noqa: B023
        finally:
            done.set()

    assert all({*client.result()} == {200, 201} for client in clients)


def status_of(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/healthz")
    with connection.getresponse() as response:
        response.read()
        return response.status


def test_nginx_limits_the_requests_of_an_address(tmp_path):
    program("nginx")
    with serving(tmp_path) as server, nginx(tmp_path, server.port) as proxy:
        with proxy.connected("127.0.0.66") as connection:
            assert any(status_of(connection) == 429 for _ in range(20_000))

        assert proxy.ask("GET", "/healthz")[0] == 200


def test_caddy_holds_requests_while_the_server_starts(tmp_path):
    port = free_port()
    with caddy(tmp_path, port) as proxy, ThreadPoolExecutor(1) as elsewhere:
        early = elsewhere.submit(proxy.ask, "GET", "/api/tags")
        with serving(tmp_path, "--port", str(port)):
            assert early.result() == (200, {"tags": []})


def test_the_configurations_of_the_proxies_are_valid_and_formatted(tmp_path):
    caddyfile = DEPLOY / "Caddyfile"
    here = Proxy(free_port(), free_port(), tmp_path / "authority.pem")

    surroundings = caddy_environment(tmp_path)
    succeeds(program("caddy"), "validate", "--adapter", "caddyfile", "--config", caddyfile, env=surroundings)
    assert succeeds(program("caddy"), "fmt", caddyfile, env=surroundings) == caddyfile.read_text()
    succeeds(*nginx_command(tmp_path, here, 8080), "-t")


# In a container


@needs_venv
def test_the_files_in_the_image_serve_and_pass_its_health_check(tmp_path):
    home, log = tmp_path / "rowboat", tmp_path / "log"
    files = succeeds("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=HOME).splitlines()
    sources = [rest.split()[:-1] for name, rest in dockerfile() if name == "COPY" and "--from=" not in rest]
    for path in files:
        if not is_left_out(Path(path)) and (HOME / path).exists():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HOME / path, home / path)
    (home / ".venv").symlink_to(HOME / ".venv")
    settings = dict(each.split("=") for name, rest in dockerfile() if name == "ENV" for each in rest.split())
    settings |= {"ROWBOAT_DATABASE": str(tmp_path / "data/rowboat.db"), "ROWBOAT_HOST": "127.0.0.1"}
    settings["ROWBOAT_PORT"] = str(free_port())
    options = {"cwd": home, "env": environment() | settings}
    probe = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])

    assert all((home / source).exists() for each in sources for source in each)
    with running(log, json.loads(instruction("CMD")), **options) as process:
        port_of(process, log)
        succeeds(*probe, **options)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert subprocess.run(probe, **options, capture_output=True).returncode == 1


def test_as_process_1_an_orphan_is_not_taken_for_a_worker(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root: it becomes process 1 of a namespace")
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    serve = [str(HOME / ".venv/bin/python"), str(HOME / "app.py"), "serve", "--port", "0", "--workers", "1"]
    log = tmp_path / "log"
    with running(log, [*unshare, *serve], cwd=tmp_path, env=environment()) as process:
        port = port_of(process, log)
        first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()
        succeeds("nsenter", "--target", first, "--pid", "--mount", "sh", "-c", "sleep 0.2 & exit")
        until(lambda: len(children_of(int(first))) == 1)  # the orphan has ended

        assert is_ready(port)
        os.kill(int(first), signal.SIGTERM)
        assert process.wait(60) == 0


# Docker Compose


def test_docker_compose_accepts_the_file_and_requires_the_name_of_the_site(tmp_path):
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    command = [program("docker-compose"), "--file", "deploy/compose.yaml", "config"]
    options = {"cwd": tmp_path, "env": {"PATH": os.environ["PATH"]}, "capture_output": True, "text": True}

    (tmp_path / "deploy/.env").write_text("SITE=rowboat.example.org\nROWBOAT_REGISTRATION=closed\n")
    services = yaml.safe_load(succeeds(*command, cwd=tmp_path, env=options["env"]))["services"]
    (tmp_path / "deploy/.env").write_text("")
    refused = subprocess.run(command, **options, timeout=60)

    assert services["rowboat"]["environment"]["ROWBOAT_REGISTRATION"] == "closed"
    assert services["caddy"]["environment"] == {"SITE": "rowboat.example.org", "UPSTREAM": "rowboat:8080"}
    assert "litestream" not in services or services["litestream"]["profiles"] == ["litestream"]
    assert refused.returncode != 0
    assert "deploy/.env must name it" in refused.stderr


# systemd


@needs_venv
def test_systemd_accepts_the_unit_and_rates_its_exposure_low(tmp_path):
    analyze, copy = program("systemd-analyze"), tmp_path / "rowboat.service"
    copy.write_text(replaced((DEPLOY / "rowboat.service").read_text(), **{"/opt/rowboat": str(HOME)}))

    checked = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=60)
    exposure = succeeds(analyze, "security", "--offline=true", "--threshold=20", DEPLOY / "rowboat.service")

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert "Overall exposure level" in exposure


# Heroku-like hosts


@needs_venv
def test_the_procfile_serves_on_the_given_port(tmp_path):
    command = re.fullmatch(r"web: (.+)\n", (HOME / "Procfile").read_text())[1]
    command = replaced(command, **{"0.0.0.0": "127.0.0.1", "app.py": str(HOME / "app.py")})
    port, log = free_port(), tmp_path / "log"
    surroundings = environment() | {"PORT": str(port), "PATH": f"{HOME}/.venv/bin:{os.environ['PATH']}"}

    with running(log, ["sh", "-c", command], cwd=tmp_path, env=surroundings) as process:
        assert port_of(process, log) == port
        assert is_ready(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
