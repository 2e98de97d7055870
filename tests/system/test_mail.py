"""Mails sent to a real mail server: TLS, certificates, logins, and what happens when processes end meanwhile."""

import asyncio
import email
import email.policy
import logging
import os
import re
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult

import mail
from config import Config
from tests.system.test_server import needs_proc, serving, until, workers_of
from tests.test_mail import NEW, Letter, logged, requests, waiting

USER, SECRET = "club@example.org", "p/ss: w@rd%"
LOGIN = "club%40example.org:p%2Fss%3A%20w%40rd%25@"  # the same in a URL


class PostOffice:
    """A mail server in a thread of its own. `letters` are the mails it took.

    `tls` is offered as STARTTLS, or spoken `from_the_start`; while it `is_slow` it takes mails and sends no reply."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, from_the_start: bool = False, **options: Any) -> None:
        self.letters: list[Letter] = []
        self.logins: list[tuple[str, str]] = []
        self.is_slow = False
        self.kept_waiting = 0  # mails whose senders wait for a reply
        self.connections = 0
        self.heard = b""  # after TLS
        self.heard_without_tls = b""
        self.tls, self.from_the_start, self.options = tls, from_the_start, options
        self._is_open = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._work(),))
        self._thread.start()
        assert self._is_open.wait(30)

    def url(self, login: str = "", host: str = "127.0.0.1") -> str:
        """Where to send mails, for ROWBOAT_SMTP_URL."""
        return f"{'smtps' if self.from_the_start else 'smtp'}://{login}{host}:{self.port}"

    def takes(self, count: int = 1) -> list[Letter]:
        """All mails, once there are so many."""
        until(lambda: len(self.letters) >= count)
        return self.letters

    def close(self) -> None:
        """Stop the server."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(30)

    async def _work(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        context = self.tls if self.from_the_start else None
        server = await self._loop.create_server(lambda: _Clerk(self), "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        self._is_open.set()
        async with server:
            await self._closing.wait()

    async def handle_DATA(self, clerk, session, envelope):
        """Called by aiosmtpd for each mail."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.kept_waiting += 1
        self.letters.append(Letter(envelope.mail_from, envelope.rcpt_tos, message))
        try:
            while self.is_slow:
                await asyncio.sleep(0.01)
        finally:
            self.kept_waiting -= 1
        return "250 OK"


class _Clerk(SMTP):
    """Talks to one client."""

    def __init__(self, office: PostOffice) -> None:
        self.office = office
        starttls = None if office.from_the_start else office.tls
        options = {"auth_require_tls": not office.from_the_start, "hostname": "localhost"} | office.options
        super().__init__(
            office, tls_context=starttls, authenticator=self._let_in, loop=asyncio.get_running_loop(), **options
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.office.connections += self.transport is None  # and not once more after STARTTLS
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.transport.get_extra_info("ssl_object"):
            self.office.heard += data
        else:
            self.office.heard_without_tls += data
        super().data_received(data)

    def _let_in(self, server, session, envelope, mechanism, data):
        login = data.login.decode(), data.password.decode()
        self.office.logins.append(login)
        return AuthResult(success=login == (USER, SECRET), handled=False)


class Certificates(NamedTuple):
    """The certificates of mail servers, and the file with the authority that clients trust."""

    good: ssl.SSLContext
    of_another_host: ssl.SSLContext
    untrusted: ssl.SSLContext
    trusted: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    trusted, stranger = trustme.CA(), trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "trusted.pem"
    trusted.cert_pem.write_to_path(path)
    contexts = []
    for authority, name in ((trusted, "127.0.0.1"), (trusted, "mail.example.org"), (stranger, "127.0.0.1")):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(context)
        contexts.append(context)
    return Certificates(*contexts, path)


@pytest.fixture(autouse=True)
def _trust(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))


@pytest.fixture
def post_office() -> Iterator[Callable[..., PostOffice]]:
    """Opens mail servers."""
    with ExitStack() as stack:

        def opens(tls: ssl.SSLContext | None = None, **options: Any) -> PostOffice:
            office = PostOffice(tls, **options)
            stack.callback(office.close)
            return office

        yield opens


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait a second between two looks at the outbox, and disable the log of aiosmtpd."""
    monkeypatch.setattr(mail, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(logging.getLogger("mail.log"), "disabled", True)


@pytest.fixture
def send_one(asks, db):
    """Send a mail to ann at a mail server; the API."""

    def send(url: str, name: str = "ann") -> Any:
        api = asks(smtp_url=url)
        api.someone(name, email=f"{name}@example.org")
        requests(api, name)
        mail._send_next(Config(smtp_url=url), db, logging.getLogger("rowboat"))
        return api

    return send


# Connections


def test_a_server_mails_a_token_through_starttls_and_login(certificates, post_office, tmp_path):
    office = post_office(certificates.good)
    with serving(tmp_path, "--workers", "1", ROWBOAT_SMTP_URL=office.url(LOGIN)) as running:
        running.token("ann")
        running.token("bob")
        response = running.ask("POST", "/api/users/password-reset", {"user": {"email": "Ann@example.org"}})
        (letter,) = office.takes()
        new = {"token": letter.token, "password": NEW}
        reset = running.ask("PUT", "/api/users/password-reset", {"user": new})
        login = running.ask("POST", "/api/users/login", {"user": {"email": "ann@example.org", "password": NEW}})
        until(lambda: running.rows("SELECT * FROM outbox") == [])

    assert [response, reset] == [(202, None), (204, None)]
    assert login[0] == 200
    assert letter.recipients == ["ann@example.org"]
    assert office.logins == [(USER, SECRET)]
    assert re.fullmatch(rb"(?i)ehlo \S+\r\nSTARTTLS\r\n", office.heard_without_tls)
    assert len(office.letters) == 1


def test_a_server_that_speaks_tls_from_the_start_hears_nothing_without(send_one, certificates, post_office):
    office = post_office(certificates.good, from_the_start=True)

    send_one(office.url(LOGIN))

    assert office.url().startswith("smtps://")
    assert office.logins == [(USER, SECRET)]
    assert len(office.letters) == 1
    assert office.heard_without_tls == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_mail_to_this_machine_needs_no_tls_and_no_ascii(send_one, certificates, post_office, host):
    office = post_office(certificates.good, enable_SMTPUTF8=True)

    send_one(office.url(host=host), "änne")

    assert office.letters[0].recipients == ["änne@example.org"]
    assert office.letters[0].text.startswith("Hello änne,")
    assert b"STARTTLS" not in office.heard_without_tls


# 0.0.0.0 leads to this machine, but is not one of its loopback addresses.
@pytest.mark.parametrize(("login", "host"), [(LOGIN, "127.0.0.1"), ("", "0.0.0.0")])
def test_a_server_without_tls_gets_neither_password_nor_mail(send_one, db, caplog, post_office, login, host):
    office = post_office(auth_require_tls=False)  # it would take a password

    send_one(office.url(login, host))

    reason = "STARTTLS extension not supported by server."
    assert logged(caplog) == [("WARNING", f"mail 1 to user 1: {reason}; tried again later")]
    assert (office.connections, office.logins, office.letters) == (1, [], [])
    assert not re.search(b"AUTH|@", office.heard_without_tls)
    assert waiting(db) == [("ann", 1)]


@pytest.mark.parametrize("certificate", ["untrusted", "of_another_host"])
@pytest.mark.parametrize("from_the_start", [True, False], ids=["TLS from the start", "STARTTLS"])
def test_a_server_with_an_invalid_certificate_gets_nothing(
    send_one, db, caplog, certificates, post_office, certificate, from_the_start
):
    office = post_office(getattr(certificates, certificate), from_the_start=from_the_start)

    send_one(office.url(LOGIN))

    [(level, message)] = logged(caplog)
    assert level == "WARNING"
    assert "certificate verify failed" in message
    assert (office.logins, office.letters, office.heard) == ([], [], b"")
    assert b"AUTH" not in office.heard_without_tls
    assert waiting(db) == [("ann", 1)]


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        ("club%40example.org:wrong-horse@", "SMTPAuthenticationError 535"),
        ("club%40example.org:m%C3%BCller@", "UnicodeEncodeError"),
    ],
)
def test_a_failed_login_is_logged_without_the_password(send_one, db, caplog, certificates, post_office, login, reason):
    office = post_office(certificates.good)

    send_one(office.url(login))

    assert logged(caplog) == [("WARNING", f"mail 1 to user 1: {reason}; tried again later")]
    assert office.letters == []
    assert waiting(db) == [("ann", 1)]


# Threads and processes


def test_two_senders_send_each_mail_once_and_requests_do_not_wait_for_them(asks, db, post_office):
    office = post_office()
    office.is_slow = True
    config = Config(smtp_url=office.url())
    api = asks(smtp_url=office.url())
    for name in ("ann", "bob"):
        api.someone(name)
    with mail.sending(config, db), mail.sending(config, db):
        requests(api, "ann", "bob")
        office.takes(2)
        requests(api, "ann", "bob")
        assert api.logs_in("bob@example.org").me()["username"] == "bob"

        assert office.kept_waiting == 2
        assert waiting(db) == [("ann", 1), ("bob", 1)]
        office.is_slow = False
        until(lambda: not waiting(db))

    assert sorted(letter.recipients for letter in office.letters) == [["ann@example.org"], ["bob@example.org"]]


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_mail_that_a_server_refuses_for_good_is_given_up(send_one, db, caplog, post_office, monkeypatch, step):
    async def refuses(*_):
        return "550 5.1.1 no such user"

    monkeypatch.setattr(PostOffice, f"handle_{step}", refuses, raising=False)
    office = post_office()

    send_one(office.url())

    error = {"MAIL": "SMTPSenderRefused", "RCPT": "SMTPRecipientsRefused", "DATA": "SMTPDataError"}[step]
    assert logged(caplog) == [("ERROR", f"mail 1 to user 1: {error} 550; given up")]
    assert waiting(db) == []


def test_a_server_without_smtputf8_gets_no_address_outside_ascii(send_one, db, caplog, post_office):
    office = post_office(enable_SMTPUTF8=False)

    send_one(office.url(), "änne")

    assert [level for level, _ in logged(caplog)] == ["ERROR"]
    assert (office.letters, waiting(db)) == ([], [])


@needs_proc
def test_a_worker_killed_while_it_sends_a_mail_loses_none(post_office, tmp_path):
    office = post_office()
    office.is_slow = True
    with serving(tmp_path, "--workers", "1", ROWBOAT_SMTP_URL=office.url()) as running:
        running.token("ann")
        running.ask("POST", "/api/users/password-reset", {"user": {"email": "ann@example.org"}})
        office.takes()
        (killed,) = workers_of(running)
        os.kill(killed, signal.SIGKILL)
        until(lambda: office.kept_waiting == 0 and workers_of(running) not in ([killed], []))
        office.is_slow = False
        assert running.rows("SELECT attempts FROM outbox") == [(1,)]
        running.rows("UPDATE outbox SET next_attempt_at = '2026-01-01T00:00:00.000Z'")
        first, second = office.takes(2)
        until(lambda: running.rows("SELECT * FROM outbox") == [])
        new = {"token": second.token, "password": NEW}
        reset = running.ask("PUT", "/api/users/password-reset", {"user": new})
        running.stop()

    log = running.log.read_text()
    assert '"PUT"' in log
    assert first.id == second.id
    assert reset == (204, None)
    assert len(office.letters) == 2
    assert first.token not in log
    assert "ann@example.org" not in log


@needs_proc
def test_a_server_stopped_while_it_sends_a_mail_sends_it_again_after_a_restart(post_office, tmp_path):
    office = post_office()
    office.is_slow = True
    with serving(tmp_path, "--workers", "1", ROWBOAT_SMTP_URL=office.url()) as running:
        running.token("ann")
        running.ask("POST", "/api/users/password-reset", {"user": {"email": "ann@example.org"}})
        office.takes()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(120) == 0
        assert "Traceback" not in running.log.read_text()
        running.rows("UPDATE outbox SET next_attempt_at = '2026-01-01T00:00:00.000Z'")

    office.is_slow = False
    with serving(tmp_path, "--workers", "1", ROWBOAT_SMTP_URL=office.url()) as running:
        first, second = office.takes(2)
        until(lambda: running.rows("SELECT * FROM outbox") == [])

    assert first.id == second.id


@needs_proc
def test_two_workers_send_each_mail_once(post_office, tmp_path):
    office = post_office()
    names = [f"user{number}" for number in range(10)]
    with serving(tmp_path, "--workers", "2", ROWBOAT_SMTP_URL=office.url()) as running:
        until(lambda: len(workers_of(running)) == 2)
        for name in names:
            running.token(name)
        for name in names:
            running.ask("POST", "/api/users/password-reset", {"user": {"email": f"{name}@example.org"}})
        until(lambda: running.rows("SELECT * FROM outbox") == [])
        files = sorted(path.name for path in running.database.parent.iterdir())
        log = running.log.read_text()

    assert sorted(letter.recipients for letter in office.letters) == [[f"{name}@example.org"] for name in names]
    assert not any("mail" in name for name in files)
    assert "mail" not in log
