"""Mails with reset tokens: their content, when they are sent, retried and given up, and what is logged.

tests/system/test_mail.py talks to real mail servers."""

import email
import email.policy
import re
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from typing import NamedTuple

import pytest

import mail
from config import Config
from passwords import digest
from tests.conftest import sqlite

NEW = "battery staple"
URL = "smtp://127.0.0.1:2525"
LOGIN = "smtp://club%40example.org:p%2Fss%3A%20w%40rd%25@mail.example.org"
NOT_NOW = smtplib.SMTPDataError(451, b"4.3.0 <ann@example.org>: not now")


class Letter(NamedTuple):
    """A mail as the server receives it."""

    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def text(self):
        return self.message.get_content().replace("\r\n", "\n")

    @property
    def token(self):
        return re.search(r"^    (?:\S+=)?([\w-]{43})$", self.text, re.MULTILINE)[1]

    @property
    def id(self):
        return self.message["Message-ID"]


class PostOffice:
    """Stands in for a mail server: the steps of each connection, the mails it took, and the next error of a step."""

    def __init__(self):
        self.steps, self.letters, self.open, self.errors = [], [], 0, {}

    def step(self, step):
        self.steps.append(step)
        if errors := self.errors.get(step.partition(" ")[0]):
            raise errors.pop(0)

    @property
    def recipients(self):
        return [recipient for letter in self.letters for recipient in letter.recipients]


@pytest.fixture(scope="module")
def tls():
    """What a TLS connection needs. The certificates of all authorities take a tenth of a second to read."""
    return ssl.create_default_context()


@pytest.fixture
def office(tls, monkeypatch):
    office = PostOffice()
    monkeypatch.setattr(ssl, "create_default_context", lambda: tls)

    class Connection(smtplib.SMTP):
        """What smtplib does with a mail, without a socket."""

        def __init__(self, host, port, timeout, context=None):
            super().__init__(local_hostname="localhost", timeout=timeout)  # without a host it does not connect
            office.step(f"connect {'smtps' if context else 'smtp'}://{host}:{port}")
            office.open += 1

        def starttls(self, context):
            assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
            office.step("starttls")

        def login(self, user, password):
            office.step(f"login {user} {password}")

        def ehlo_or_helo_if_needed(self):
            pass

        def has_extn(self, name):
            return True

        def sendmail(self, sender, recipients, content, *options):
            office.step("mail")
            message = email.message_from_bytes(content, policy=email.policy.default)
            office.letters.append(Letter(sender, recipients, message))
            office.step("receipt")

        def close(self):
            office.open -= 1

    monkeypatch.setattr(smtplib, "SMTP", Connection)
    monkeypatch.setattr(smtplib, "SMTP_SSL", Connection)
    return office


@pytest.fixture
def api(asks):
    """The API of a server that sends mails."""
    return asks(smtp_url=URL)


@pytest.fixture
def send(db, office):
    """Send the mails that are due, as the background thread does."""

    def send(**settings):
        config = Config(**{"smtp_url": URL} | settings)
        while mail.send_next(config, db):
            pass

    return send


def requests(client, *names):
    for name in names:
        client.post("/users/password-reset", {"user": {"email": f"{name}@example.org"}}, status=202)


def resets(client, token, **options):
    new = {"user": {"token": token, "password": NEW}}
    return client.call("PUT", "/users/password-reset", new, **{"status": 204} | options)


def waiting(db):
    """The users whose mails wait, and how often each was tried."""
    return sqlite(db, "SELECT username, attempts FROM outbox JOIN users ON users.id = user_id ORDER BY 1")


def logged(caplog):
    assert not any(record.exc_info for record in caplog.records), caplog.text
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "rowboat"]


# Content


def test_a_mail_carries_a_token_that_sets_a_new_password(api, db, send, office):
    api.someone("ann")
    requests(api, "ＡＮＮ")

    send()

    (letter,) = office.letters
    assert letter.recipients == [letter.message["To"]] == ["ann@example.org"]
    assert letter.message["Subject"] == "Set a new password"
    assert letter.message["Auto-Submitted"] == "auto-generated"
    assert letter.message["Date"] == "Sat, 31 Jan 2026 12:00:00 -0000"
    assert letter.id == "<1.20260131120000000@127.0.0.1>"
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
    assert waiting(db) == []
    assert sqlite(db, "SELECT token_hash FROM password_resets") == [(digest(letter.token),)]
    assert letter.token.encode() not in b"".join(path.read_bytes() for path in db.path.parent.glob("rowboat.db*"))
    resets(api, letter.token)
    assert api.logs_in("ann@example.org", NEW).me()["username"] == "ann"


def test_a_mail_links_to_the_page_that_sets_a_password(api, send, office):
    api.someone("ann")
    requests(api, "ann")

    send(reset_link="https://example.org/reset?a={}&token={token}")

    (letter,) = office.letters
    assert " Follow this link to set it:\n" in letter.text
    assert f"\n    https://example.org/reset?a={{}}&token={letter.token}\n" in letter.text
    resets(api, letter.token)


@pytest.mark.parametrize(
    ("smtp_url", "mail_from", "sender"),
    [
        (LOGIN, "", "club@example.org"),
        (LOGIN, "no-reply@example.net", "no-reply@example.net"),
        (URL, "no-reply@example.net", "no-reply@example.net"),
        (URL, "", "rowboat@127.0.0.1"),
        ("smtp://club:secret@mail.example.org", "", "rowboat@mail.example.org"),
    ],
)
def test_the_sender_is_configured_or_derived_from_the_mail_server(api, send, office, smtp_url, mail_from, sender):
    api.someone("ann")
    requests(api, "ann")

    send(smtp_url=smtp_url, mail_from=mail_from)

    (letter,) = office.letters
    assert letter.sender == letter.message["From"] == sender
    assert letter.id.endswith(f"@{sender.partition('@')[2]}>")


def test_names_and_addresses_may_be_in_any_script(api, send, office):
    api.someone("{Änne} 🚣", email="änne@example.org")
    requests(api, "änne")

    send()

    assert office.recipients == ["änne@example.org"]
    assert office.letters[0].text.startswith("Hello {Änne} 🚣,")


def test_a_deleted_user_gets_no_mail(api, db, send, office):
    ann, _ = api.someone("ann"), api.someone("bob")
    requests(api, "ann", "bob")

    ann.leaves()
    send()

    assert office.recipients == ["bob@example.org"]
    assert waiting(db) == []


def test_a_user_deleted_while_a_mail_is_about_to_be_sent_gets_none(api, db, send, office, monkeypatch):
    ann, write = api.someone("ann"), db.write
    requests(api, "ann")

    def leaves_before(*names, **parameters):
        monkeypatch.undo()
        ann.leaves()
        return write(*names, **parameters)

    monkeypatch.setattr(db, "write", leaves_before)
    assert mail.send_next(Config(smtp_url=URL), db) is False

    assert waiting(db) == []


# Connections


@pytest.mark.parametrize(
    ("smtp_url", "steps"),
    [
        ("smtp://127.0.0.1", ["connect smtp://127.0.0.1:587"]),
        ("smtp://localhost:25", ["connect smtp://localhost:25"]),
        ("smtp://[::1]:25", ["connect smtp://::1:25"]),
        ("smtp://0.0.0.0:25", ["connect smtp://0.0.0.0:25", "starttls"]),
        ("smtp://mail.example.org:25", ["connect smtp://mail.example.org:25", "starttls"]),
        ("smtp://me:pw@localhost", ["connect smtp://localhost:587", "starttls", "login me pw"]),
        (LOGIN, ["connect smtp://mail.example.org:587", "starttls", "login club@example.org p/ss: w@rd%"]),
        ("smtps://mail.example.org", ["connect smtps://mail.example.org:465"]),
        ("smtps://me:pw@mail.example.org:99", ["connect smtps://mail.example.org:99", "login me pw"]),
    ],
)
def test_mails_leave_this_machine_only_with_tls_and_passwords_never_go_without(api, send, office, smtp_url, steps):
    api.someone("ann")
    requests(api, "ann")

    send(smtp_url=smtp_url)

    assert office.steps == [*steps, "mail", "receipt"]
    assert office.open == 0


def test_without_a_mail_that_is_due_no_connection_is_made(api, send, office):
    api.someone("ann")
    requests(api, "unknown")

    send()

    assert office.steps == []


@pytest.mark.parametrize(
    ("step", "error", "reason"),
    [
        ("connect", ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (
            "starttls",
            smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."),
            "STARTTLS extension not supported by server.",
        ),
        ("login", smtplib.SMTPAuthenticationError(535, b"5.7.8 secret: wrong"), "SMTPAuthenticationError 535"),
        ("login", UnicodeEncodeError("ascii", "secret", 0, 1, "not ASCII"), "UnicodeEncodeError"),
        ("mail", NOT_NOW, "SMTPDataError 451"),
        ("mail", smtplib.SMTPRecipientsRefused({"ann@example.org": (450, b"4.2.1")}), "SMTPRecipientsRefused 450"),
        ("mail", smtplib.SMTPRecipientsRefused({"ann@example.org": (421, b"4.3.2")}), "SMTPRecipientsRefused 421"),
        ("mail", smtplib.SMTPSenderRefused(451, b"4.7.1 secret", "club@example.org"), "SMTPSenderRefused 451"),
        ("mail", smtplib.SMTPSenderRefused(530, b"5.7.0 secret", "club@example.org"), "SMTPSenderRefused 530"),
        ("mail", smtplib.SMTPHeloError(550, b"5.7.1 secret"), "SMTPHeloError 550"),
        ("connect", smtplib.SMTPConnectError(554, b"5.7.1 secret"), "SMTPConnectError 554"),
        (
            "connect",
            ssl.SSLCertVerificationError(1, "certificate verify failed"),
            "certificate verify failed",
        ),
        ("mail", TimeoutError("timed out"), "timed out"),
        ("mail", smtplib.SMTPServerDisconnected("secret"), "SMTPServerDisconnected"),
    ],
)
def test_a_failed_mail_is_logged_without_secrets_and_retried_and_others_are_sent(
    api, db, clock, send, office, caplog, step, error, reason
):
    api.someone("ann")
    api.someone("bob")
    requests(api, "ann")
    office.errors[step] = [error]

    send(smtp_url=LOGIN)
    assert office.steps[-1].startswith(step)
    requests(api, "ann", "bob")
    send(smtp_url=LOGIN)

    assert logged(caplog) == [("WARNING", f"mail 1 to user 1: {reason}; tried again later")]
    assert office.recipients == ["bob@example.org"]
    assert waiting(db) == [("ann", 1)]
    assert office.open == 0
    clock.advance(minutes=1)
    send(smtp_url=LOGIN)
    assert office.recipients == ["bob@example.org", "ann@example.org"]
    assert waiting(db) == []


# Retries


def test_each_retry_waits_twice_as_long_and_at_most_an_hour(api, db, clock, send, office):
    api.someone("ann")
    requests(api, "ann")
    office.errors["mail"] = [NOT_NOW] * 8
    minutes = []

    while waiting(db):
        send()
        for (due,) in sqlite(db, "SELECT next_attempt_at FROM outbox"):
            minutes.append((datetime.fromisoformat(due) - clock.moment).total_seconds() / 60)
            clock.advance(minutes=minutes[-1], seconds=-1)
            send()  # too early
            clock.advance(seconds=1)

    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60]
    assert office.recipients == ["ann@example.org"]


def test_the_mail_that_has_been_due_longest_is_sent_first(api, clock, send, office):
    for name in ("ann", "bob", "cid"):
        api.someone(name)
    for name in ("cid", "ann", "bob"):
        requests(api, name)
        clock.advance(seconds=1)

    send()

    assert office.recipients == ["cid@example.org", "ann@example.org", "bob@example.org"]


@pytest.mark.parametrize(("milliseconds", "is_sent"), [(0, True), (1, False)])
def test_a_mail_is_given_up_after_a_day(api, db, clock, send, office, caplog, milliseconds, is_sent):
    api.someone("ann")
    requests(api, "ann")
    office.errors["mail"] = [NOT_NOW]
    send()

    clock.advance(days=1, milliseconds=milliseconds)
    send()

    assert waiting(db) == []
    assert bool(office.letters) == is_sent
    assert (("ERROR", "mail 1 to user 1: not sent within a day; given up") in logged(caplog)) != is_sent
    requests(api, "ann")
    send()
    assert office.letters[-1].id.startswith("<2.")


ODD = "x<bob@example.org bob,x@example.org bob(x)@example.org =?utf-8?q?a=0ab?=@example.org bob@[example.org".split()


@pytest.mark.parametrize("odd", ODD)
def test_an_address_that_a_mail_cannot_name_gets_none_and_is_given_up_at_once(api, db, send, office, caplog, odd):
    api.someone("ann", email=odd)
    api.someone("bob")
    api.post("/users/password-reset", {"user": {"email": odd}}, status=202)
    requests(api, "bob")

    send()

    assert office.recipients == ["bob@example.org"]
    reason = "an address that mail servers would read differently"
    assert logged(caplog) == [("ERROR", f"mail 1 to user 1: {reason}; given up")]
    assert waiting(db) == []
    assert failed(db) == [(None, 1, None, None)]


PERMANENT = [
    (smtplib.SMTPRecipientsRefused({"ann@example.org": (550, b"5.1.1 secret")}), "SMTPRecipientsRefused 550"),
    (smtplib.SMTPRecipientsRefused({"ann@example.org": (553, b"5.1.3 secret")}), "SMTPRecipientsRefused 553"),
    (smtplib.SMTPSenderRefused(550, b"5.7.1 secret", "club@example.org"), "SMTPSenderRefused 550"),
    (smtplib.SMTPDataError(500, b"secret"), "SMTPDataError 500"),
    (smtplib.SMTPDataError(599, b"secret"), "SMTPDataError 599"),
    (smtplib.SMTPNotSupportedError("SMTPUTF8 not supported by server"), "SMTPUTF8 not supported by server"),
    (UnicodeEncodeError("ascii", "secret", 0, 1, "not ASCII"), "UnicodeEncodeError"),
]


def failed(db):
    return sqlite(
        db, "SELECT actor_id, user_id, object_id, request_id FROM audit WHERE action = 'user.reset_mail_failed'"
    )


@pytest.mark.parametrize(("error", "reason"), PERMANENT, ids=[reason for _, reason in PERMANENT])
def test_a_mail_that_is_refused_for_good_is_given_up_at_once_and_audited(
    api, db, clock, send, office, caplog, error, reason
):
    api.someone("ann")
    api.someone("bob")
    requests(api, "ann", "bob")
    office.errors["mail"] = [error]

    send(smtp_url=LOGIN)
    clock.advance(days=1)
    send(smtp_url=LOGIN)

    assert logged(caplog) == [("ERROR", f"mail 1 to user 1: {reason}; given up")]
    assert office.recipients == ["bob@example.org"]
    assert [step for step in office.steps if step == "mail"] == ["mail"] * 2
    assert waiting(db) == []
    assert failed(db) == [(None, 1, None, None)]
    assert office.open == 0
    requests(api, "ann")
    send(smtp_url=LOGIN)
    assert office.recipients == ["bob@example.org", "ann@example.org"]


@pytest.mark.parametrize(
    "reply", [smtplib.SMTPResponseException(421, b"4.3.2"), TimeoutError(), ConnectionResetError()]
)
def test_a_mail_that_was_taken_is_not_sent_again_whatever_the_server_replies_to_quit(
    api, db, clock, send, office, monkeypatch, reply
):
    def refuses(server):
        raise reply

    monkeypatch.setattr(smtplib.SMTP, "quit", refuses)
    api.someone("ann")
    requests(api, "ann")

    send()
    clock.advance(days=1)
    send()

    assert office.recipients == ["ann@example.org"]
    assert waiting(db) == []
    assert office.open == 0


# Claims


def test_a_mail_that_is_being_sent_is_claimed_by_one_sender_alone(api, db, send, office, monkeypatch):
    for name in ("ann", "bob", "cid"):
        api.someone(name)
    requests(api, "ann", "bob", "cid")
    real_send, running = mail._send, []

    def meanwhile(*given):
        running.append(given[1]["username"])
        if len(running) < 4:
            send()  # another worker, on the same outbox
        real_send(*given)

    monkeypatch.setattr(mail, "_send", meanwhile)
    send()

    assert running == ["ann", "bob", "cid"]
    assert sorted(office.recipients) == ["ann@example.org", "bob@example.org", "cid@example.org"]
    assert waiting(db) == []


def test_a_mail_whose_sender_crashed_is_due_again_when_its_lease_ends(api, db, clock, send, office, monkeypatch):
    def crash(*given):
        raise SystemExit

    api.someone("ann")
    requests(api, "ann")
    with monkeypatch.context() as patch:
        patch.setattr(mail, "_send", crash)
        with pytest.raises(SystemExit):
            send()

    clock.advance(minutes=5, milliseconds=-1)
    send()
    assert (office.steps, waiting(db)) == ([], [("ann", 1)])
    clock.advance(milliseconds=1)
    send()

    assert office.recipients == ["ann@example.org"]
    assert waiting(db) == []


def test_a_sender_whose_lease_has_ended_delays_no_mail_of_the_next_one(api, db, clock, send, office, monkeypatch):
    api.someone("ann")
    requests(api, "ann")
    due = []

    def first(*given):
        monkeypatch.setattr(mail, "_send", second)
        clock.advance(minutes=5)
        send()
        raise NOT_NOW

    def second(*given):
        due.extend(sqlite(db, "SELECT next_attempt_at FROM outbox"))
        raise NOT_NOW

    monkeypatch.setattr(mail, "_send", first)
    send()

    assert due == [("2026-01-31T12:10:00.000Z",)]
    assert sqlite(db, "SELECT attempts, next_attempt_at FROM outbox") == [(2, "2026-01-31T12:07:00.000Z")]


def test_without_a_due_mail_nothing_is_written(api, db, send, office, monkeypatch):
    api.someone("ann")
    requests(api, "unknown")
    monkeypatch.setattr(db, "write", lambda *names, **parameters: pytest.fail(f"{names}"))

    send()

    assert office.steps == []


# Tokens and receipts


def test_a_token_sent_to_an_address_that_has_changed_meanwhile_is_invalid(api, send, office, monkeypatch):
    ann = api.someone("ann")
    real_send = mail._send
    monkeypatch.setattr(mail, "_send", lambda *given: (ann.changes(email="ann@example.net"), real_send(*given)))
    requests(api, "ann")

    send()

    (letter,) = office.letters
    assert letter.recipients == ["ann@example.org"]
    assert resets(api, letter.token, status=422).json == {"errors": {"token": ["is wrong or too old"]}}


def test_a_mail_whose_receipt_was_lost_is_sent_again_with_the_same_id(api, db, clock, send, office):
    api.someone("ann")
    requests(api, "ann")
    office.errors["receipt"] = [smtplib.SMTPServerDisconnected()]

    send()
    assert waiting(db) == [("ann", 1)]
    clock.advance(minutes=1)
    send()

    first, second = office.letters
    assert first.id == second.id
    assert first.token != second.token
    assert waiting(db) == []
    resets(api, first.token)
