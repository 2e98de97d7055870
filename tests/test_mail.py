"""Mails that bring tokens: what a real mail server gets, what it never gets, and what is sent once more."""

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
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult

import mail
from config import Config
from db.clock import ago
from passwords import digest
from tests.conftest import sqlite
from tests.test_server import needs_proc, serving, until, workers_of

pytestmark = pytest.mark.usefixtures("impatient")

NEW = "battery staple"
USER, SECRET = "club@example.org", "p/ss: w@rd%"
LOGIN = "club%40example.org:p%2Fss%3A%20w%40rd%25@"  # the same in a URL


class Letter(NamedTuple):
    """A mail as the server got it."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    logged_in: bool

    @property
    def text(self) -> str:
        """What it says."""
        return self.message.get_content().replace("\r\n", "\n")

    @property
    def token(self) -> str:
        """What stands alone in its line, or ends the link that does."""
        return re.search(r"^    (?:\S+=)?([\w-]{43})$", self.text, re.MULTILINE)[1]

    @property
    def id(self) -> str:
        """What tells whether it is the same mail as another one."""
        return self.message["Message-ID"]


class PostOffice:
    """A mail server, in a thread of its own. `letters` are what it took.

    `tls` is what it offers as STARTTLS, or speaks `from_the_start`; `replies` is what it says to the next letters
    instead of taking them; while it `is_slow` it takes them and says nothing."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, from_the_start: bool = False, **options: Any) -> None:
        self.letters: list[Letter] = []
        self.logins: list[tuple[str, str]] = []
        self.replies: list[str] = []
        self.is_slow = False
        self.kept_waiting = 0  # letters whose senders wait for a reply now
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
        """All letters, once there are so many."""
        until(lambda: len(self.letters) >= count)
        return self.letters

    def close(self) -> None:
        """Let nobody in any longer."""
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
        """What aiosmtpd asks when a letter has come."""
        if self.replies:
            return self.replies.pop(0)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.kept_waiting += 1  # before whoever waits for the letter asks
        self.letters.append(Letter(envelope.mail_from, envelope.rcpt_tos, message, bool(session.authenticated)))
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
    """What a mail server shows; the file that says whose word for it counts."""

    good: ssl.SSLContext
    of_another_host: ssl.SSLContext
    of_nobody: ssl.SSLContext
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
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that sends looks for mails all the time."""
    monkeypatch.setattr(mail, "_SECONDS_BETWEEN_LOOKS", 0.01)


@pytest.fixture
def post_office() -> Iterator[Callable[..., PostOffice]]:
    """Opens mail servers."""
    with ExitStack() as stack:

        def opens(tls: ssl.SSLContext | None = None, **options: Any) -> PostOffice:
            office = PostOffice(tls, **options)
            stack.callback(office.close)
            return office

        yield opens


@pytest.fixture
def sending(asks, db, monkeypatch):
    """The API, while its mails are sent."""
    monkeypatch.setattr(logging.getLogger("mail.log"), "disabled", True)  # what the mail server of the test has to say

    @contextmanager
    def sending(**settings: Any) -> Iterator[Any]:
        with mail.sending(Config(**settings), db):
            yield asks(**settings)

    return sending


def requests(client, name="ann"):
    client.post("/users/password-reset", {"user": {"email": f"{name}@example.org"}}, status=202)


def sets_a_password(client, token):
    client.put("/users/password-reset", {"user": {"token": token, "password": NEW}}, status=204)


def waiting(db):
    """Who waits for a mail, and how often it was tried."""
    return sqlite(db, "SELECT username, attempts FROM outbox JOIN users ON users.id = user_id ORDER BY 1")


def let_time_pass(db):
    """Until every mail that waits is due."""
    sqlite(db, "UPDATE outbox SET next_attempt_at = ?", ago(timedelta(seconds=1)))


def logged(caplog):
    """What we have told, with its level; without a traceback."""
    ours = [record for record in caplog.records if record.name == "rowboat"]
    assert not any(record.exc_info for record in ours), caplog.text
    return [(record.levelname, record.getMessage()) for record in ours]


def is_logged(caplog, count=1):
    until(lambda: len(logged(caplog)) >= count)
    return logged(caplog)


# What a mail brings


def test_a_mail_brings_a_token_that_sets_a_new_password(certificates, post_office, tmp_path):
    office = post_office(certificates.good)
    with serving(tmp_path, "--workers", "1", ROWBOAT_SMTP_URL=office.url(LOGIN)) as running:
        running.token("ann")
        running.token("bob")
        answer = running.ask("POST", "/api/users/password-reset", {"user": {"email": "Ann@example.org"}})
        (letter,) = office.takes()
        new = {"token": letter.token, "password": NEW}
        reset = running.ask("PUT", "/api/users/password-reset", {"user": new})
        login = running.ask("POST", "/api/users/login", {"user": {"email": "ann@example.org", "password": NEW}})
        until(lambda: running.rows("SELECT * FROM outbox") == [])

    assert [answer, reset] == [(202, None), (204, None)]
    assert login[0] == 200
    assert (letter.recipients, letter.message["To"]) == (["ann@example.org"], "ann@example.org")
    assert office.logins == [(USER, SECRET)]
    assert letter.logged_in
    assert re.fullmatch(rb"(?i)ehlo \S+\r\nSTARTTLS\r\n", office.heard_without_tls)
    assert len(office.letters) == 1


def test_a_mail_says_what_it_is_for(sending, post_office):
    office = post_office()
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api)
        (letter,) = office.takes()

    assert letter.message["Subject"] == "Set a new password"
    assert letter.message["Auto-Submitted"] == "auto-generated"
    assert datetime.now(UTC) - letter.message["Date"].datetime.replace(tzinfo=UTC) < timedelta(minutes=1)
    assert re.fullmatch(r"<1\.\d{17}@127\.0\.0\.1>", letter.id)
    assert letter.message.get_content_type() == "text/plain"
    assert letter.text == (
        "Hello ann,\n"
        "\n"
        "somebody, hopefully you, has asked for a new password for your account. Set it with this token:\n"
        "\n"
        f"    {letter.token}\n"
        "\n"
        "It works once, and for one hour. If it was not you, there is nothing to do: your password stays as it is.\n"
    )


def test_a_mail_links_to_the_page_that_sets_a_password(sending, post_office):
    office = post_office()
    with sending(smtp_url=office.url(), reset_link="https://example.org/reset?a={}&token={token}") as api:
        ann = api.someone("ann")
        requests(api)
        (letter,) = office.takes()

    assert f"\n    https://example.org/reset?a={{}}&token={letter.token}\n" in letter.text
    sets_a_password(api, letter.token)
    assert api.logs_in(ann.email, NEW).me()["username"] == "ann"


@pytest.mark.parametrize(
    ("login", "mail_from", "sender"),
    [
        (LOGIN, "", "club@example.org"),
        (LOGIN, "no-reply@example.net", "no-reply@example.net"),
        ("", "no-reply@example.net", "no-reply@example.net"),
        ("", "", "rowboat@127.0.0.1"),
    ],
)
def test_a_mail_has_a_sender(sending, certificates, post_office, login, mail_from, sender):
    office = post_office(certificates.good)
    with sending(smtp_url=office.url(login), mail_from=mail_from) as api:
        api.someone("ann")
        requests(api)
        (letter,) = office.takes()

    assert letter.sender == letter.message["From"] == sender
    assert letter.id.endswith(f"@{sender.partition('@')[2]}>")


def test_a_mail_writes_names_in_any_script(sending, post_office):
    office = post_office(enable_SMTPUTF8=True)
    with sending(smtp_url=office.url()) as api:
        api.someone("{Änne} 🚣", email="änne@example.org")
        requests(api, "änne")
        (letter,) = office.takes()

    assert letter.recipients == ["änne@example.org"]
    assert letter.text.startswith("Hello {Änne} 🚣,")


def test_a_mail_goes_to_the_address_of_the_account_and_not_to_the_one_that_was_typed(sending, post_office):
    office = post_office()
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api, "ＡＮＮ")
        (letter,) = office.takes()

    assert letter.recipients == ["ann@example.org"]


def test_the_database_never_holds_the_token(sending, db, post_office):
    office = post_office()
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api)
        (letter,) = office.takes()
        files = b"".join(path.read_bytes() for path in db.path.parent.glob("rowboat.db*"))

    assert sqlite(db, "SELECT token_hash FROM password_resets") == [(digest(letter.token),)]
    assert letter.token.encode() not in files


def test_who_asks_again_later_gets_another_mail(sending, db, post_office):
    office = post_office()
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api)
        office.takes(1)
        until(lambda: not waiting(db))
        requests(api)
        first, second = office.takes(2)

    assert first.id != second.id
    assert first.token != second.token
    sets_a_password(api, first.token)


def test_who_has_left_in_the_meantime_gets_no_mail(asks, sending, db, post_office):
    office = post_office()
    api = asks(smtp_url=office.url())
    ann, bob = api.someone("ann"), api.someone("bob")
    requests(api)
    requests(api, "bob")

    ann.leaves()
    with sending(smtp_url=office.url()):
        until(lambda: not waiting(db))

    assert [letter.recipients for letter in office.letters] == [[bob.email]]


# What a mail server never gets


def test_a_server_that_speaks_tls_from_the_start_hears_nothing_without(sending, certificates, post_office):
    office = post_office(certificates.good, from_the_start=True)
    with sending(smtp_url=office.url(LOGIN)) as api:
        api.someone("ann")
        requests(api)
        (letter,) = office.takes()

    assert office.url().startswith("smtps://")
    assert office.logins == [(USER, SECRET)]
    assert letter.logged_in
    assert office.heard_without_tls == b""
    sets_a_password(api, letter.token)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_on_this_machine_a_mail_goes_without_login_and_tls(sending, certificates, post_office, host):
    office = post_office(certificates.good)
    with sending(smtp_url=office.url(host=host)) as api:
        api.someone("ann")
        requests(api)
        (letter,) = office.takes()

    assert not letter.logged_in
    assert b"STARTTLS" not in office.heard_without_tls


def test_a_server_without_tls_gets_no_password_and_the_mail_waits(sending, db, caplog, post_office):
    # It would take a password all the same.
    office = post_office(auth_require_tls=False)
    with sending(smtp_url=office.url(LOGIN)) as api:
        api.someone("ann")
        requests(api)
        told = is_logged(caplog)

    assert told == [("WARNING", "mail 1 to user 1: STARTTLS extension not supported by server.; tried again later")]
    assert (office.logins, office.letters) == ([], [])
    assert b"AUTH" not in office.heard_without_tls
    assert waiting(db) == [("ann", 1)]


def test_nothing_leaves_this_machine_without_tls(sending, db, caplog, post_office):
    office = post_office()
    # 0.0.0.0 leads here, and is no address of this machine that anybody could rely on.
    with sending(smtp_url=office.url(host="0.0.0.0")) as api:
        api.someone("ann")
        requests(api)
        is_logged(caplog)

    assert office.connections == 1
    assert office.letters == []
    assert b"@" not in office.heard_without_tls
    assert waiting(db) == [("ann", 1)]


@pytest.mark.parametrize("certificate", ["of_nobody", "of_another_host"])
@pytest.mark.parametrize("from_the_start", [True, False], ids=["TLS from the start", "STARTTLS"])
def test_a_certificate_that_is_not_trusted_gets_nothing(
    sending, db, caplog, certificates, post_office, certificate, from_the_start
):
    office = post_office(getattr(certificates, certificate), from_the_start=from_the_start)
    with sending(smtp_url=office.url(LOGIN)) as api:
        api.someone("ann")
        requests(api)
        ((level, message),) = is_logged(caplog)

    assert level == "WARNING"
    assert "certificate verify failed" in message
    assert (office.logins, office.letters, office.heard) == ([], [], b"")
    assert b"AUTH" not in office.heard_without_tls
    assert waiting(db) == [("ann", 1)]


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        ("club%40example.org:wrong-horse@", "SMTPAuthenticationError 535"),
        ("club%40example.org:m%C3%BCller@", "UnicodeEncodeError"),  # SMTP has no letters for it
    ],
)
def test_a_login_that_fails_is_logged_without_the_password(
    sending, db, caplog, certificates, post_office, login, reason
):
    office = post_office(certificates.good)
    with sending(smtp_url=office.url(login)) as api:
        api.someone("ann")
        requests(api)
        told = is_logged(caplog)

    assert told == [("WARNING", f"mail 1 to user 1: {reason}; tried again later")]
    assert office.letters == []
    assert waiting(db) == [("ann", 1)]


# What is sent once more


def test_a_mail_that_is_refused_at_first_comes_later(sending, db, caplog, post_office):
    office = post_office()
    office.replies = ["451 4.3.0 <ann@example.org>: not now"]
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api)
        told = is_logged(caplog)
        assert waiting(db) == [("ann", 1)]
        let_time_pass(db)
        (letter,) = office.takes()
        until(lambda: not waiting(db))

    # The server's own words are not repeated: they hold an address.
    assert told == [("WARNING", "mail 1 to user 1: SMTPDataError 451; tried again later")]
    sets_a_password(api, letter.token)


def test_a_server_that_is_not_there_is_tried_again(sending, db, caplog, post_office):
    office = post_office()
    office.close()
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api)
        ((_, message),) = is_logged(caplog)

    assert re.fullmatch(r"mail 1 to user 1: \[Errno \d+\] Connection refused; tried again later", message)
    assert waiting(db) == [("ann", 1)]


def test_each_attempt_waits_longer_than_the_one_before(sending, db, caplog, post_office):
    office = post_office()
    office.replies = ["451 not now"] * 9
    minutes = []
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api)
        for attempt in range(1, 10):
            is_logged(caplog, attempt)
            [(due,)] = sqlite(db, "SELECT next_attempt_at FROM outbox")
            minutes.append(round((datetime.fromisoformat(due) - datetime.now(UTC)).total_seconds() / 60))
            let_time_pass(db)
        office.takes()

    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_mail_is_not_tried_again_before_its_time(sending, db, caplog, post_office):
    office = post_office()
    office.replies = ["451 not now"]
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        api.someone("bob")
        requests(api)
        is_logged(caplog)
        requests(api)
        requests(api, "bob")
        office.takes()
        until(lambda: len(waiting(db)) == 1)

    assert [letter.recipients for letter in office.letters] == [["bob@example.org"]]
    assert waiting(db) == [("ann", 1)]


def test_after_a_day_a_mail_is_given_up_and_whoever_asks_again_gets_one(sending, db, caplog, post_office):
    office = post_office()
    office.replies = ["451 4.3.0 <ann@example.org>: not now"]
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api)
        is_logged(caplog)
        sqlite(db, "UPDATE outbox SET created_at = ?", ago(timedelta(days=1)))
        let_time_pass(db)
        until(lambda: not waiting(db))
        requests(api)
        (letter,) = office.takes()

    assert [message for level, message in logged(caplog) if level == "ERROR"] == [
        "mail 1 to user 1: given up after a day"
    ]
    assert letter.id.startswith("<2.")


def test_a_mail_that_has_waited_for_a_day_is_not_sent_any_more(sending, asks, db, post_office):
    office = post_office()
    api = asks(smtp_url=office.url())  # nobody sends yet
    for name in ("ann", "bob"):
        api.someone(name)
        requests(api, name)
    sqlite(db, "UPDATE outbox SET created_at = ? WHERE user_id = 1", ago(timedelta(days=1, seconds=1)))

    with sending(smtp_url=office.url()):
        until(lambda: not waiting(db))

    assert [letter.recipients for letter in office.letters] == [["bob@example.org"]]


@pytest.mark.parametrize("odd", ["x<bob@example.org", "bob,x@example.org", "bob(x)@example.org"])
def test_an_address_that_a_mail_server_would_read_as_another_ones_gets_no_mail(sending, db, caplog, post_office, odd):
    office = post_office()
    with sending(smtp_url=office.url()) as api:
        api.someone("ann", email=odd)
        api.post("/users/password-reset", {"user": {"email": odd}}, status=202)
        is_logged(caplog)

    assert not office.letters
    assert logged(caplog)[0][1] == "mail 1 to user 1: ValueError; tried again later"


def test_a_token_that_is_on_its_way_to_an_address_that_was_changed_is_no_good(sending, db, monkeypatch, post_office):
    office = post_office()
    send = mail._send
    with sending(smtp_url=office.url()) as api:
        ann = api.someone("ann")
        monkeypatch.setattr(mail, "_send", lambda *given: (ann.changes(email="ann@example.net"), send(*given)))
        requests(api)
        (letter,) = office.takes()

    assert letter.recipients == ["ann@example.org"]
    new = {"user": {"token": letter.token, "password": "battery staple"}}
    assert api.refusal(422, "PUT", "/users/password-reset", new) == {"token": "is wrong or too old"}


def test_an_address_that_no_mail_can_name_holds_nobody_up_and_is_given_up(sending, db, caplog, post_office):
    odd = "=?utf-8?q?a=0ab?=@example.org"  # which a mail would read as two lines
    office = post_office()
    with sending(smtp_url=office.url()) as api:
        api.someone("ann", email=odd)
        api.someone("bob")
        api.post("/users/password-reset", {"user": {"email": odd}}, status=202)
        is_logged(caplog)
        requests(api, "bob")
        office.takes()
        until(lambda: waiting(db) == [("ann", 1)])
        sqlite(db, "UPDATE outbox SET created_at = ?", ago(timedelta(days=1)))
        let_time_pass(db)
        until(lambda: not waiting(db))

    assert [letter.recipients for letter in office.letters] == [["bob@example.org"]]
    assert [level for level, _ in logged(caplog)] == ["WARNING", "ERROR"]
    assert odd not in caplog.text


def test_who_cannot_be_reached_does_not_hold_up_others(sending, db, caplog, post_office):
    office = post_office()
    office.replies = ["550 5.1.1 <ann@example.org>: nobody here"]
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        api.someone("bob")
        requests(api)
        is_logged(caplog)
        requests(api, "bob")
        office.takes()
        until(lambda: waiting(db) == [("ann", 1)])

    assert [letter.recipients for letter in office.letters] == [["bob@example.org"]]


def test_a_mail_whose_receipt_got_lost_comes_again_as_the_same_mail(sending, db, caplog, post_office):
    office = post_office()
    office.is_slow = True
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api)
        office.takes()
        office.close()
        is_logged(caplog)
    assert waiting(db) == [("ann", 1)]

    again = post_office()
    let_time_pass(db)
    with sending(smtp_url=again.url()):
        again.takes()
        until(lambda: not waiting(db))

    first, second = office.letters + again.letters
    assert first.id == second.id
    assert first.token != second.token
    sets_a_password(api, first.token)  # whichever of the two is read


# Nobody waits, and nothing is lost


def test_a_request_does_not_wait_for_the_mail_server(sending, db, post_office):
    office = post_office()
    office.is_slow = True
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        api.someone("bob")
        requests(api)
        office.takes()

        requests(api)
        requests(api, "bob")
        assert api.logs_in("bob@example.org").me()["username"] == "bob"

        assert office.kept_waiting == 1
        assert waiting(db) == [("ann", 1), ("bob", 0)]
        office.is_slow = False
        office.takes(2)
        until(lambda: not waiting(db))

    assert [letter.recipients for letter in office.letters] == [["ann@example.org"], ["bob@example.org"]]


def test_where_nothing_waits_the_mail_server_is_left_alone(sending, post_office):
    office = post_office()
    with sending(smtp_url=office.url()) as api:
        api.someone("ann")
        requests(api, "nobody")
        api.logs_in("ann@example.org")
        requests(api)
        office.takes()

    assert office.connections == 1


@needs_proc
@pytest.mark.slow
def test_a_worker_that_is_killed_before_it_notes_that_a_mail_was_sent_loses_none(post_office, tmp_path):
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
@pytest.mark.slow
def test_a_server_that_is_stopped_while_it_sends_sends_again_when_it_starts(post_office, tmp_path):
    office = post_office()
    office.is_slow = True
    with serving(tmp_path, "--workers", "1", ROWBOAT_SMTP_URL=office.url()) as running:
        running.token("ann")
        running.ask("POST", "/api/users/password-reset", {"user": {"email": "ann@example.org"}})
        office.takes()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0
        assert "Traceback" not in running.log.read_text()
        running.rows("UPDATE outbox SET next_attempt_at = '2026-01-01T00:00:00.000Z'")

    office.is_slow = False
    with serving(tmp_path, "--workers", "1", ROWBOAT_SMTP_URL=office.url()) as running:
        first, second = office.takes(2)
        until(lambda: running.rows("SELECT * FROM outbox") == [])

    assert first.id == second.id


@needs_proc
@pytest.mark.slow
def test_of_two_workers_one_sends_and_when_it_ends_the_other_one(post_office, tmp_path):
    office = post_office()
    names = [f"user{number}" for number in range(10)]

    def holders():
        lock = running.database.with_name(running.database.name + ".mail-lock").stat().st_ino
        locks = Path("/proc/locks").read_text()
        return [int(pid) for pid in re.findall(rf"\d: FLOCK .* WRITE (\d+) \w+:\w+:{lock} ", locks)]

    with serving(tmp_path, "--workers", "2", ROWBOAT_SMTP_URL=office.url()) as running:
        until(lambda: len(workers_of(running)) == 2)
        for name in names:
            running.token(name)
        for name in names:
            running.ask("POST", "/api/users/password-reset", {"user": {"email": f"{name}@example.org"}})
        office.takes(10)
        until(lambda: running.rows("SELECT * FROM outbox") == [])
        (sender,) = holders()
        os.kill(sender, signal.SIGKILL)
        until(lambda: len(workers_of(running)) == 2 and holders() not in ([sender], []))
        (successor,) = holders()
        assert successor in workers_of(running)
        running.ask("POST", "/api/users/password-reset", {"user": {"email": "user0@example.org"}})
        office.takes(11)
        until(lambda: running.rows("SELECT * FROM outbox") == [])
        log = running.log.read_text()

    assert sorted(letter.recipients for letter in office.letters[:10]) == [[f"{name}@example.org"] for name in names]
    assert office.letters[10].recipients == ["user0@example.org"]
    assert len(office.letters) == 11
    assert "mail" not in log


def test_of_two_that_want_to_send_one_does(sending, db, post_office):
    office = post_office()
    office.is_slow = True
    with sending(smtp_url=office.url()) as api, sending(smtp_url=office.url()):
        for name in ("ann", "bob", "cid"):
            api.someone(name)
            requests(api, name)
        office.takes()
        assert office.kept_waiting == 1
        assert waiting(db) == [("ann", 1), ("bob", 0), ("cid", 0)]
        office.is_slow = False
        office.takes(3)
        until(lambda: not waiting(db))

    assert [letter.recipients for letter in office.letters] == [
        ["ann@example.org"],
        ["bob@example.org"],
        ["cid@example.org"],
    ]
