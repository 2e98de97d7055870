"""What deploy/ ships, as an operator takes it: proxies before a running Rowboat, what Docker and systemd would read."""

import configparser
import dataclasses
import fnmatch
import http.client
import json
import os
import re
import secrets
import shlex
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

from config import Config, variable
from tests.conftest import HOME, PASSWORD
from tests.test_server import MIB, Server, ask, environment, needs_proc, port_of, serving, until

DEPLOY = HOME / "deploy"

slow = pytest.mark.slow
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
        process.wait(30)


def replaced(text: str, **changes: str) -> str:
    """The text with each of these put in; each must be there."""
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    return text


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


@slow
@needs_proc
def test_somebody_registers_logs_in_writes_and_is_read_over_tls(site):
    article = {"title": "Rowing at dawn", "description": "About it", "body": "The text 🚣"}

    assert site.proxy.ask("POST", "/api/users", user("ann"))[0] == 201
    status, logged_in = site.proxy.ask("POST", "/api/users/login", user("ann"))
    headers = {"authorization": f"Token {logged_in['user']['token']}"}
    written = site.proxy.ask("POST", "/api/articles", {"article": article}, **headers)
    _, listed = site.proxy.ask("GET", "/api/articles?author=ann")

    assert (status, written[0]) == (200, 201)
    assert [each["slug"] for each in listed["articles"]] == [written[1]["article"]["slug"]]
    assert site.proxy.ask("GET", "/readyz")[1]["ready"] is True


@slow
@needs_proc
def test_browsers_are_told_to_come_back_over_tls_alone(site):
    for path in "/api/tags", "/metrics":
        with site.proxy.connected() as connection:
            connection.request("GET", path)
            assert connection.getresponse().headers["Strict-Transport-Security"] == "max-age=31536000"


@slow
@needs_proc
def test_who_comes_without_tls_is_sent_to_where_it_is(site):
    with closing(http.client.HTTPConnection("127.0.0.1", site.proxy.http, timeout=30)) as connection:
        connection.request("GET", "/api/tags?x=1", headers={"Host": "localhost"})
        answer = connection.getresponse()

    assert answer.status == 308
    assert re.fullmatch(r"https://localhost(:\d+)?/api/tags\?x=1", answer.headers["Location"])


@slow
@needs_proc
def test_a_body_over_1_mib_is_refused_as_json(site):
    with site.proxy.connected() as connection:
        status, answer = ask(connection, "POST", "/api/users", {"user": "x" * MIB})

    assert (status, answer["errors"].keys()) == (413, {"body"})


@slow
@needs_proc
def test_guesses_count_for_the_address_that_they_come_from_whatever_they_claim(site):
    with site.proxy.connected("127.0.0.8") as guesser:
        answers = [
            ask(guesser, "POST", "/api/users/login", user(f"user{number}"), **{"X-Forwarded-For": f"192.0.2.{number}"})
            for number in range(101)
        ]

    assert [status for status, _ in answers] == [401] * 100 + [429]
    assert site.proxy.ask("POST", "/api/users/login", user("user1"), address="127.0.0.9")[0] == 401


@slow
@needs_proc
def test_the_address_that_is_noted_is_the_client_s(site):
    site.proxy.ask(
        "POST", "/api/users", user("bob"), address="127.0.0.7", **{"X-Forwarded-For": "192.0.2.1, 192.0.2.2"}
    )

    noted = "SELECT address FROM login_addresses JOIN users ON users.id = user_id WHERE username = 'bob'"
    assert site.server.rows(noted) == [("127.0.0.7",)]


@slow
@needs_proc
@pytest.mark.parametrize("name", ["metrics", "study"])
def test_what_is_for_operators_is_not_found_however_it_is_spelled(site, name):
    first, rest = name[0], name[1:]
    odd = [
        *(
            f"/{name}",
            f"/{name}/",
            f"/{name}?x=1",
            f"/{name}/sql/articles/list",
            f"/{name}//x",
            f"//{name}",
            f"///{name}/x",
        ),
        *(f"/./{name}", f"/api/../{name}", f"/%2e/{name}", f"/api/%2e%2e/{name}", f"/%2f{name}", f"/{name}%2fx"),
        *(
            f"/%{ord(first):x}{rest}",
            f"/%{ord(first):X}{rest}/x",
            f"http://localhost/{name}",
            f"http://localhost//{name}",
        ),
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


@slow
@needs_proc
def test_rowboat_is_reloaded_behind_it_and_nobody_notices(site):
    token = site.proxy.ask("POST", "/api/users", user("cy"))[1]["user"]["token"]
    done = threading.Event()

    def reads_and_writes(number):
        answers = []
        with site.proxy.connected(f"127.0.1.{number}") as kept:
            while not done.is_set():
                article = {"title": f"{number}-{len(answers)}", "description": "About it", "body": "The text"}
                headers = {"authorization": f"Token {token}"}
                answers.append(ask(kept, "POST", "/api/articles", {"article": article}, **headers)[0])
                answers.append(ask(kept, "GET", "/api/articles")[0])
                time.sleep(0.1)  # fewer than a single client may ask
        return answers

    reloads = site.server.log.read_text().count("Rowboat reloaded")
    with ThreadPoolExecutor(8) as crowd:
        clients = [crowd.submit(reads_and_writes, number) for number in range(1, 9)]
        try:
            for number in range(1, 6):
                site.server.process.send_signal(signal.SIGHUP)
                until(lambda: site.server.log.read_text().count("Rowboat reloaded") == reloads + number)  # noqa: B023
        finally:
            done.set()
        answers = [answer for client in clients for answer in client.result()]

    assert len(answers) > 100
    assert set(answers) == {200, 201}


@slow
@needs_proc
def test_nginx_lets_no_address_ask_without_end(tmp_path):
    with serving(tmp_path) as server, nginx(tmp_path, server.port) as proxy:
        with proxy.connected("127.0.0.66") as connection:
            assert any(ask_status(connection, "/healthz") == 429 for _ in range(20_000))

        assert proxy.ask("GET", "/healthz")[0] == 200


def ask_status(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    with connection.getresponse() as answer:
        answer.read()
    return answer.status


@slow
@needs_proc
def test_while_rowboat_starts_caddy_keeps_readers_waiting(tmp_path):
    port = free_port()
    with caddy(tmp_path, port) as proxy, ThreadPoolExecutor(1) as elsewhere:
        early = elsewhere.submit(proxy.ask, "GET", "/api/tags")
        with serving(tmp_path, "--port", str(port)):
            assert early.result() == (200, {"tags": []})


@slow
def test_the_configurations_of_the_proxies_are_valid_and_tidy(tmp_path):
    caddyfile = DEPLOY / "Caddyfile"
    here = Proxy(free_port(), free_port(), tmp_path / "authority.pem")

    surroundings = caddy_environment(tmp_path)
    succeeds(program("caddy"), "validate", "--adapter", "caddyfile", "--config", caddyfile, env=surroundings)
    assert succeeds(program("caddy"), "fmt", caddyfile, env=surroundings) == caddyfile.read_text()
    succeeds(*nginx_command(tmp_path, here, 8080), "-t")


# In a container


def dockerfile() -> list[tuple[str, str]]:
    """Each instruction with what follows it."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line and line[0] != "#"]


def instruction(name: str) -> str:
    """What follows the last instruction of that name, which is the one that counts."""
    return [rest for each, rest in dockerfile() if each == name][-1]


def is_left_out(path: Path) -> bool:
    """Whether .dockerignore keeps a path of the repository, or a folder above it, out of the image."""
    patterns = [line for line in (HOME / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    for each in (path, *path.parents[:-1]):
        for pattern in patterns:
            anywhere = pattern.startswith("**/")
            if fnmatch.fnmatch(each.name if anywhere else str(each), pattern.removeprefix("**/")):
                return True
    return False


def test_the_image_is_made_by_what_is_tested_and_nothing_else():
    demo = re.search(r"^demo: (.*?) *##", (HOME / "Makefile").read_text(), re.MULTILINE)[1].split()  # see test_docs.py
    commands = [shlex.split(part) for name, rest in dockerfile() if name == "RUN" for part in rest.split("&&")]

    assert ["make", "install"] in commands
    for program_, *arguments in commands:
        assert program_ in ("apt-get", "useradd", "install") or (program_, arguments) == ("make", demo)


def test_the_image_runs_as_nobody_in_particular_and_hears_signals():
    names = [name for name, _ in dockerfile()]

    assert "USER rowboat" in (DEPLOY / "Dockerfile").read_text()
    assert names.index("USER") > max(number for number, name in enumerate(names) if name == "RUN")
    assert instruction("VOLUME") == "/data"
    assert isinstance(json.loads(instruction("CMD")), list)


def test_no_secret_and_no_database_gets_into_the_image():
    for path in ".env", ".git/config", "deploy/.env", "data/rowboat.db", "old.db", "old.db-wal", ".venv/bin/python":
        assert is_left_out(Path(path)), path
    for path in "app.py", "sql/articles/find.sql", "handlers/users.py", "requirements.txt", "seed.json":
        assert not is_left_out(Path(path)), path


@slow
@needs_venv
def test_what_the_image_holds_serves_and_its_health_is_asked_for(tmp_path):
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
        assert process.wait(30) == 0
    assert subprocess.run(probe, **options, capture_output=True).returncode == 1


@slow
@needs_proc
def test_as_process_1_it_takes_no_orphan_for_a_worker(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root: it becomes process 1 of a namespace")
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    serve = [str(HOME / ".venv/bin/python"), str(HOME / "app.py"), "serve", "--port", "0", "--workers", "1"]
    log = tmp_path / "log"
    with running(log, [*unshare, *serve], cwd=tmp_path, env=environment()) as process:
        port = port_of(process, log)
        first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()
        succeeds("nsenter", "--target", first, "--pid", "--mount", "sh", "-c", "sleep 0.2 & exit")
        time.sleep(1)  # the orphan has ended

        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            assert ask(connection, "GET", "/readyz")[0] == 200
        os.kill(int(first), signal.SIGTERM)
        assert process.wait(30) == 0


# Docker Compose


@pytest.fixture
def compose(tmp_path: Path) -> Any:
    """What docker-compose makes of the shipped file, where .env names a site, by options."""
    command = program("docker-compose")
    shutil.copytree(HOME / "deploy", tmp_path / "deploy")

    def config(*options: str, env: str = "SITE=rowboat.example.org\nROWBOAT_REGISTRATION=closed\n") -> Any:
        (tmp_path / "deploy/.env").write_text(env)
        return subprocess.run(
            [command, "--file", "deploy/compose.yaml", *options],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return config


@slow
def test_the_services_fit_each_other(compose):
    parsed = compose("config")
    services = yaml.safe_load(parsed.stdout)["services"]
    rowboat, front, litestream = services["rowboat"], services["caddy"], services["litestream"]

    assert rowboat["environment"] == {
        "ROWBOAT_REGISTRATION": "closed",
        "ROWBOAT_STUDY": "off",
        "ROWBOAT_TRUSTED_PROXY": front["networks"]["inside"]["ipv4_address"],
        "SITE": "rowboat.example.org",
    }
    assert int(rowboat["stop_grace_period"].rstrip("s")) > Config().drain_s + 5
    assert front["environment"] == {"SITE": "rowboat.example.org", "UPSTREAM": "rowboat:8080"}
    assert [name for name, service in services.items() if "ports" in service] == ["caddy"]
    assert f"--uid {litestream['user']} " in (DEPLOY / "Dockerfile").read_text()
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}


@slow
def test_litestream_alone_is_an_option(compose):
    services = yaml.safe_load(compose("config").stdout)["services"]

    assert {name: service.get("profiles") for name, service in services.items()} == {
        "rowboat": None,
        "caddy": None,
        "litestream": ["litestream"],
    }


@slow
def test_whoever_forgets_the_name_of_the_site_is_told(compose):
    refused = compose("config", env="")

    assert refused.returncode != 0
    assert "deploy/.env must name it" in refused.stderr


def test_what_compose_mounts_is_there():
    for service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).is_file(), volume


# systemd


def unit() -> configparser.SectionProxy:
    """The [Service] section. Of what is said more than once, the lines are joined."""

    class Lines(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            if isinstance(value, list) and key in self:
                value = self[key] + value
            super().__setitem__(key, value)

    parser = configparser.RawConfigParser(dict_type=Lines, strict=False, delimiters="=")
    parser.optionxform = str
    parser.read(DEPLOY / "rowboat.service")
    return parser["Service"]


@slow
@needs_venv
def test_systemd_finds_nothing_wrong_with_the_unit_and_little_that_it_could_do(tmp_path):
    analyze, copy = program("systemd-analyze"), tmp_path / "rowboat.service"
    copy.write_text(replaced((DEPLOY / "rowboat.service").read_text(), **{"/opt/rowboat": str(HOME)}))

    checked = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=60)
    exposure = succeeds(analyze, "security", "--offline=true", "--threshold=20", DEPLOY / "rowboat.service")

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert "Overall exposure level" in exposure


def test_the_unit_says_what_the_page_says():
    service, page = unit(), (HOME / "docs/deploy.md").read_text()

    home = service["WorkingDirectory"]
    assert shlex.split(service["ExecStart"]) == [f"{home}/.venv/bin/python", "app.py", "serve"]
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["TimeoutStopSec"]) > Config().drain_s + 5
    settings = dict(each.split("=") for each in service["Environment"].split("\n"))
    assert settings["ROWBOAT_DATABASE"] == f"/var/lib/{service['StateDirectory']}/rowboat.db"
    for each in home, settings["ROWBOAT_SETTINGS"], service["SupplementaryGroups"], "/var/lib/rowboat":
        assert each in page, each


def test_commands_run_as_the_service_does():
    service, script = unit(), (DEPLOY / "rowboat").read_text()
    given = dict(re.findall(r"--property=(\w+)=(\S+)", script))
    settings = dict(each.split("=") for each in service["Environment"].split("\n"))

    assert given == {name: service[name] for name in given}
    assert {"DynamicUser", "User", "StateDirectory", "SupplementaryGroups", "UMask"} <= given.keys()
    assert dict(re.findall(r"--setenv=(\w+)=(\S+)", script)).items() <= settings.items()
    assert "ROWBOAT_DATABASE" in script
    assert f"--working-directory={service['WorkingDirectory']} " in script


# Heroku-like hosts


@slow
@needs_venv
def test_the_procfile_serves_on_the_port_that_it_is_given(tmp_path):
    command = re.fullmatch(r"web: (.+)\n", (HOME / "Procfile").read_text())[1]
    command = replaced(command, **{"0.0.0.0": "127.0.0.1", "app.py": str(HOME / "app.py")})
    port, log = free_port(), tmp_path / "log"
    surroundings = environment() | {"PORT": str(port), "PATH": f"{HOME}/.venv/bin:{os.environ['PATH']}"}

    with running(log, ["sh", "-c", command], cwd=tmp_path, env=surroundings) as process:
        assert port_of(process, log) == port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            assert ask(connection, "GET", "/readyz")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


# All of them


def test_nothing_that_is_shipped_tells_strangers_which_sql_ran():
    shipped = [path.read_text() for path in (HOME / "Procfile", *DEPLOY.iterdir()) if path.is_file()]
    switches = [value for text in shipped for value in re.findall(r"ROWBOAT_STUDY[=:]\s*\"?(\w+)", text)]

    assert switches == ["off"] * 4


def test_every_setting_that_is_shipped_exists():
    shipped = {
        name
        for path in (HOME / "Procfile", *DEPLOY.iterdir())
        for name in re.findall(r"\bROWBOAT_[A-Z_]+", path.read_text())
    }

    assert "ROWBOAT_DATABASE" in shipped
    assert shipped <= {variable(field) for field in dataclasses.fields(Config)}


def test_every_file_that_is_shipped_stands_in_the_page():
    page = (HOME / "docs/deploy.md").read_text()

    for path in (HOME / "Procfile", *DEPLOY.iterdir()):
        if path.name != ".env":
            assert re.search(rf"\b{re.escape(path.name)}\b", page), path.name
