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
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult

import background
import mail
from config import Config
from tests.conftest import sqlite
from tests.system.test_server import needs_proc, serving, until, workers_of
from tests.test_mail import NEW, Letter, logged, requests

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
        self.heard = b""  # after TLS
        self.heard_without_tls = b""
        self.tls, self.from_the_start, self.options = tls, from_the_start, options
        self._is_open = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._work(),))
        self._thread.start()
        assert self._is_open.wait(60)

    def url(self, login: str = "", host: str = "127.0.0.1") -> str:
        """Where to send mails, for ROWBOAT_SMTP_URL."""
        return f"{'smtps' if self.from_the_start else 'smtp'}://{login}{host}:{self.port}"

    def takes(self, count: int = 1) -> list[Letter]:
        """All mails, once there are so many."""
        until(lambda: len(self.letters) >= count)
        return self.letters

    def close(self) -> None:
        """Stop the server."""
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
        self.letters.append(Letter(envelope.mail_from, envelope.rcpt_tos, message))
        self.kept_waiting += 1
        while self.is_slow:
            await asyncio.sleep(0.01)
        self.kept_waiting -= 1
        return "250 OK"


class _Clerk(SMTP):
    """Talks to one client."""

    def __init__(self, office: PostOffice) -> None:
        self.office = office
        starttls = None if office.from_the_start else office.tls
        options = {"auth_require_tls": not office.from_the_start, "hostname": "localhost"} | office.options
        super().__init__(office, tls_context=starttls, authenticator=self._let_in, **options)

    def data_received(self, data: bytes) -> None:
        is_secret = self.transport.get_extra_info("ssl_object")
        self.office.heard += data if is_secret else b""
        self.office.heard_without_tls += b"" if is_secret else data
        super().data_received(data)

    def _let_in(self, server, session, envelope, mechanism, data):
        self.office.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=self.office.logins[-1] == (USER, SECRET), handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certificate(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """What a server with this name needs for TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(autouse=True)
def _trust(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the authority; look at the outbox often, and disable the log of aiosmtpd."""
    authority.cert_pem.write_to_path(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    monkeypatch.setattr(logging.getLogger("mail.log"), "disabled", True)


@pytest.fixture
def post_office() -> Iterator[Callable[..., PostOffice]]:
    """Opens mail servers."""
    with ExitStack() as stack:

        def opens(tls: ssl.SSLContext | None = None, **options: Any) -> PostOffice:
            return stack.enter_context(closing(PostOffice(tls, **options)))

        yield opens


@pytest.fixture
def send_one(asks, db):
    """Send a mail to ann at a mail server."""

    def send(url: str) -> None:
        api = asks(smtp_url=url)
        api.someone("ann")
        requests(api, "ann")
        mail.send_next(Config(smtp_url=url), db)

    return send


# Connections


def test_a_server_mails_a_token_through_starttls_and_login(authority, post_office, tmp_path):
    office = post_office(certificate(authority))
    with serving(tmp_path, "--workers", "1", ROWBOAT_SMTP_URL=office.url(LOGIN)) as running:
        running.token("ann")
        response = running.ask("POST", "/api/users/password-reset", {"user": {"email": "Ann@example.org"}})
        (letter,) = office.takes()
        new = {"token": letter.token, "password": NEW}
        reset = running.ask("PUT", "/api/users/password-reset", {"user": new})
        until(lambda: running.rows("SELECT * FROM outbox") == [])

    assert [response, reset] == [(202, None), (204, None)]
    assert letter.recipients == ["ann@example.org"]
    assert office.logins == [(USER, SECRET)]
    assert re.fullmatch(rb"(?i)ehlo \S+\r\nSTARTTLS\r\n", office.heard_without_tls)


def test_a_server_that_speaks_tls_from_the_start_hears_nothing_without(send_one, authority, post_office):
    office = post_office(certificate(authority), from_the_start=True)

    send_one(office.url(LOGIN))

    assert office.logins == [(USER, SECRET)]
    assert len(office.letters) == 1
    assert office.heard_without_tls == b""


# 0.0.0.0 leads to this machine, but is not one of its loopback addresses.
@pytest.mark.parametrize(("login", "host"), [(LOGIN, "127.0.0.1"), ("", "0.0.0.0")])
def test_a_server_without_tls_gets_neither_password_nor_mail(send_one, db, caplog, post_office, login, host):
    office = post_office(auth_require_tls=False)  # it would take a password

    send_one(office.url(login, host))

    reason = "STARTTLS extension not supported by server."
    assert logged(caplog) == [("WARNING", f"mail 1 to user 1: {reason}; tried again later")]
    assert (office.logins, office.letters) == ([], [])
    assert not re.search(b"AUTH|@", office.heard_without_tls)


@pytest.mark.parametrize("from_the_start", [True, False])
@pytest.mark.parametrize("is_untrusted", [True, False], ids=["untrusted", "of another host"])
def test_a_server_with_an_invalid_certificate_gets_nothing(
    send_one, caplog, authority, post_office, is_untrusted, from_the_start
):
    tls = certificate(trustme.CA()) if is_untrusted else certificate(authority, "mail.example.org")
    office = post_office(tls, from_the_start=from_the_start)

    send_one(office.url(LOGIN))

    [(level, message)] = logged(caplog)
    assert level == "WARNING"
    assert "certificate verify failed" in message
    assert (office.logins, office.letters, office.heard) == ([], [], b"")
    assert b"AUTH" not in office.heard_without_tls


@pytest.mark.parametrize(
    ("step", "error"),
    [("MAIL", "SMTPSenderRefused"), ("RCPT", "SMTPRecipientsRefused"), ("DATA", "SMTPDataError")],
)
def test_a_mail_that_a_server_refuses_for_good_is_given_up(send_one, db, caplog, post_office, monkeypatch, step, error):
    async def refuses(*_):
        return "550 5.1.1 no such user"

    monkeypatch.setattr(PostOffice, f"handle_{step}", refuses, raising=False)

    send_one(post_office().url())

    assert logged(caplog) == [("ERROR", f"mail 1 to user 1: {error} 550; given up")]
    assert sqlite(db, "SELECT * FROM outbox") == []


# Processes


def test_two_senders_send_each_mail_once_and_requests_do_not_wait_for_them(asks, db, post_office):
    office = post_office()
    office.is_slow = True
    config = Config(smtp_url=office.url())
    api = asks(smtp_url=config.smtp_url)
    for name in ("ann", "bob"):
        api.someone(name)
    jobs = {"mail": partial(mail.send_next, config, db)}
    with background.doing(jobs), background.doing(jobs):
        requests(api, "ann", "bob")
        office.takes(2)
        assert api.logs_in("bob@example.org").me()["username"] == "bob"
        assert office.kept_waiting == 2
        office.is_slow = False
        until(lambda: sqlite(db, "SELECT * FROM outbox") == [])

    assert sorted(letter.recipients for letter in office.letters) == [["ann@example.org"], ["bob@example.org"]]


@needs_proc
def test_a_mail_that_is_being_sent_when_its_worker_is_killed_is_sent_again(post_office, tmp_path):
    office = post_office()
    office.is_slow = True
    outbox = "SELECT attempts FROM outbox"
    with serving(tmp_path, "--workers", "2", ROWBOAT_SMTP_URL=office.url()) as running:
        until(lambda: len(workers_of(running)) == 2)
        for name in "ann", "bob":
            running.token(name)
        for name in "ann", "bob":
            running.ask("POST", "/api/users/password-reset", {"user": {"email": f"{name}@example.org"}})
        office.takes()
        assert running.ask("GET", "/api/tags")[0] == 200  # requests do not wait for the mail
        killed = {*workers_of(running)}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len({*workers_of(running)} - killed) == 2)
        running.rows("UPDATE outbox SET next_attempt_at = '2026-01-01T00:00:00.000Z'")  # their claim has ended
        office.is_slow = False
        until(lambda: running.rows(outbox) == [])
        letters = [*office.letters]

        # A server that stops meanwhile keeps the mail.
        office.is_slow = True
        running.ask("POST", "/api/users/password-reset", {"user": {"email": "ann@example.org"}})
        office.takes(len(letters) + 1)
        running.stop()
        assert running.rows(outbox) == [(1,)]
        files = {path.name for path in running.database.parent.iterdir()}

    assert {letter.recipients[0] for letter in letters} == {"ann@example.org", "bob@example.org"}
    assert len([letter for letter in letters if letter.id == letters[0].id]) == 2
    assert not any("mail" in name for name in files)
    log = running.log.read_text()
    assert '"/api/users/password-reset"' in log
    assert not any(secret in log for secret in (letters[0].token, "ann@example.org", "bob@example.org"))
