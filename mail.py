"""Mails: those that wait in the outbox are sent in the background, by one worker at a time. Knows no HTTP.

A mail is delayed before it is sent and deleted after it, so that a crash in between sends it once more, and never
loses it. The token that it carries is made when it is sent: the database knows its hash alone."""

import fcntl
import ipaddress
import logging
import os
import smtplib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from config import Config
from db import Database, StartupError, Unavailable
from passwords import digest, new_token

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_STOP = 5
_TIMEOUT_S = 30

# After the first attempt that fails a minute passes, then 2, 4 … at most an hour. After a day nobody waits any longer.
_FIRST_DELAY = timedelta(minutes=1)
_LONGEST_DELAY = timedelta(hours=1)
_GIVE_UP_AFTER = timedelta(days=1)

_TEXT = """\
Hello {username},

somebody, hopefully you, has asked for a new password for your account. {how}

    {what}

It works once, and for one hour. If it was not you, there is nothing to do: your password stays as it is.
"""


@contextmanager
def sending(config: Config, database: Database) -> Iterator[None]:
    """Send what waits, in a thread, as long as this lasts. Of all processes that want to, one does.

    Raises StartupError where the lock that they share cannot be made."""
    stopping = threading.Event()
    turn = _Turn(database)
    arguments = (config, database, turn, stopping)
    thread = threading.Thread(target=_keep_sending, args=arguments, name="mail", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(_SECONDS_TO_STOP)
        if not thread.is_alive():  # else it still sends, and the end of the process gives the turn to another
            turn.close()


def _keep_sending(config: Config, database: Database, turn: "_Turn", stopping: threading.Event) -> None:
    log = logging.getLogger("rowboat")
    while not stopping.wait(_SECONDS_BETWEEN_LOOKS):
        try:
            while not stopping.is_set() and turn.is_ours() and _send_next(config, database, log):
                pass
        except Unavailable as error:
            log.warning("mail: %s", error)
        except Exception:  # a bug of ours: whoever waits for the next mail shall not pay for it
            log.exception("mail")


class _Turn:
    """A lock on `<database>.mail-lock`, which the kernel frees when a process ends."""

    def __init__(self, database: Database) -> None:
        path = database.path.with_name(database.path.name + ".mail-lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"{path}: {error.strerror}; the folder must be one that can be written") from error

    def is_ours(self) -> bool:
        """Whether this process is the one that sends; once it is, it stays so."""
        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._descriptor)


def _send_next(config: Config, database: Database, log: logging.Logger) -> bool:
    """Send the mail that is due; false when none is."""
    due = database.row("outbox/next", now=database.clock.now())
    if due is None:
        return False
    which = f"mail {due['id']} to user {due['user_id']}"
    if due["created_at"] < database.clock.ago(_GIVE_UP_AFTER):
        log.error("%s: given up after a day", which)
        database.write("outbox/delete", id=due["id"])
        return True
    token = new_token()
    delay = min(_FIRST_DELAY * 2 ** min(due["attempts"], 10), _LONGEST_DELAY)
    database.write(
        "outbox/delay",
        "resets/create",
        id=due["id"],
        next_attempt_at=database.clock.ago(-delay),
        user_id=due["user_id"],
        token_hash=digest(token),
        now=database.clock.now(),
    )
    # Only now is the address asked for: whoever changes it from here on takes the token back as well.
    mail = database.row("outbox/find", id=due["id"])
    if mail is None:  # its user has left
        return True
    try:
        _send(config, mail, token, database.clock.seconds())
    except Exception as error:  # also ours: addresses and passwords that mails cannot hold raise all kinds of errors
        log.warning("%s: %s; tried again later", which, _reason(error))
        return True
    database.write("outbox/delete", id=due["id"])
    return True


def _send(config: Config, mail: dict[str, Any], token: str, now: float) -> None:
    """Raises an error; then the server has not taken it, or has not said so."""
    if parseaddr(mail["email"]) != ("", mail["email"]):
        raise ValueError("an address that a mail server would read differently")
    url = urlsplit(config.smtp_url)
    message = _message(config, url, mail, token, now)
    with _connection(url) as server:
        server.send_message(message, to_addrs=[mail["email"]])


def _message(config: Config, url: SplitResult, mail: dict[str, Any], token: str, now: float) -> EmailMessage:
    user = unquote(url.username or "")
    sender = config.mail_from or (user if "@" in user else f"rowboat@{url.hostname}")
    if config.reset_link:
        how, what = "Follow this link to set it:", config.reset_link.replace("{token}", token)
    else:
        how, what = "Set it with this token:", token
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail["email"]
    message["Subject"] = "Set a new password"
    message["Date"] = formatdate(now)
    # The same each time: a mail that comes twice can be told.
    message["Message-ID"] = (
        f"<{mail['id']}.{''.join(filter(str.isdigit, mail['created_at']))}@{sender.partition('@')[2]}>"
    )
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_TEXT.format(username=mail["username"], how=how, what=what))
    return message


def _connection(url: SplitResult) -> smtplib.SMTP:
    """A server that is ready to take a mail. Nothing leaves this machine without TLS, and no password goes without."""
    host = url.hostname or ""
    tls = ssl.create_default_context()
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, url.port or 465, timeout=_TIMEOUT_S, context=tls)
    else:
        server = smtplib.SMTP(host, url.port or 587, timeout=_TIMEOUT_S)
    try:
        if url.scheme == "smtp" and (url.username or not _is_this_machine(host)):
            server.starttls(context=tls)
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: Exception) -> str:
    """What went wrong, for a log: what a server says of it may hold addresses, and other errors a password."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    if isinstance(error, smtplib.SMTPNotSupportedError):  # smtplib's own words: STARTTLS, or SMTPUTF8
        return str(error)
    # SMTPException is an OSError, too.
    is_of_the_system = isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException)
    return str(error) if is_of_the_system else type(error).__name__
