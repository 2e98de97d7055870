"""Sends the mails of the outbox, beside answering requests (background.py). Knows no HTTP.

A mail is claimed for five minutes, sent, then deleted or delayed: each is sent by one sender, and a crash in between
sends it once more instead of losing it. Its token is made when it is claimed: the database knows only the hash."""

import ipaddress
import json
import logging
import smtplib
import ssl
from contextlib import suppress
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import audit
from config import Config
from db import Database
from passwords import digest, new_token

_LOG = logging.getLogger("rowboat")

# A conversation with a mail server has about a dozen steps: all of them fit into the lease.
_TIMEOUT_S = 20
_LEASE = timedelta(minutes=5)

# After the first attempt that fails a minute passes, then 2, 4 … at most an hour.
_FIRST_DELAY = timedelta(minutes=1)
_LONGEST_DELAY = timedelta(hours=1)
_GIVE_UP_AFTER = timedelta(days=1)

# A server that wants a login refuses every mail: that is for the operator to mend, and the mail waits (RFC 4954).
_LOGIN_CODES = {530, 534, 535, 538}

_TEXT = """\
Hello {username},

somebody, hopefully you, has asked for a new password for your account. {how}

    {what}

It works once, and for one hour. If it was not you, there is nothing to do: your password stays as it is.
"""


class _Refused(Exception):
    """This mail will never be taken, however often it is tried; the message says why, without the address."""


def send_next(config: Config, database: Database) -> bool:
    """Send the mail that is due; false when there is none to send. Any number of processes may do so at once."""
    clock = database.clock
    if database.row("outbox/next", now=clock.now()) is None:  # to look is a read: a write would empty the cache
        return False
    token = new_token()
    claimed = database.write(
        "outbox/claim",
        "resets/create",
        "outbox/render",
        now=clock.now(),
        lease_until=clock.ago(-_LEASE),
        token_hash=digest(token),
    )
    if claimed is None:  # another sender was faster, or its user has left
        return False
    mail = json.loads(claimed)
    which = f"mail {mail['id']} to user {mail['user_id']}"
    try:
        if mail["created_at"] < clock.ago(_GIVE_UP_AFTER):
            raise _Refused("not sent within a day")
        _send(config, mail, token, clock.seconds())
    except _Refused as error:
        _LOG.error("%s: %s; given up", which, error)
        noted = audit.of_command("user.reset_mail_failed", user_id=mail["user_id"])
        database.write("audit/note", "outbox/delete", id=mail["id"], me=None, now=clock.now(), **noted)
    except Exception as error:  # settings that mails cannot hold raise all kinds of errors, too
        _LOG.warning("%s: %s; tried again later", which, _reason(error))
        delay = min(_FIRST_DELAY * 2 ** min(mail["attempts"] - 1, 10), _LONGEST_DELAY)
        database.write("outbox/delay", id=mail["id"], attempts=mail["attempts"], next_attempt_at=clock.ago(-delay))
    else:
        database.write("outbox/delete", id=mail["id"])
    return True


def _send(config: Config, mail: dict[str, Any], token: str, now: float) -> None:
    """Raises _Refused for what no retry will change, and any other error when the server did not confirm the mail."""
    if not _is_mailable(mail["email"]):
        raise _Refused("an address that mail servers would read differently")
    url = urlsplit(config.smtp_url)
    message = _message(config, url, mail, token, now)
    server = _connection(url)
    try:
        server.send_message(message, to_addrs=[mail["email"]])
        with suppress(OSError):  # the server has the mail, whatever it replies to QUIT
            server.quit()
    except (smtplib.SMTPException, UnicodeError) as error:
        if _is_permanent(error):
            raise _Refused(_reason(error)) from error
        raise
    finally:
        server.close()


def _is_mailable(address: str) -> bool:
    """Whether a mail's To header can hold this address, and smtplib would send to no other one."""
    try:
        EmailMessage()["To"] = address
    except Exception:  # the email package raises all kinds of errors
        return False
    return parseaddr(address) == ("", address)


def _is_permanent(error: Exception) -> bool:
    """Whether an error while a mail was sent says that this mail will never be taken (RFC 5321, section 4.2.1)."""
    # A server without SMTPUTF8, and what cannot be encoded for it. STARTTLS and the login come before, on a connection.
    if isinstance(error, (smtplib.SMTPNotSupportedError, UnicodeError)):
        return True
    return 500 <= _reply_code(error) <= 599 and _reply_code(error) not in _LOGIN_CODES


def _reply_code(error: Exception) -> int:
    """The server's reply to MAIL, RCPT or DATA; 0 for other errors."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return max(code for code, _ in error.recipients.values())  # there is one
    return error.smtp_code if isinstance(error, (smtplib.SMTPSenderRefused, smtplib.SMTPDataError)) else 0


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
    if code := getattr(error, "smtp_code", 0) or _reply_code(error):
        return f"{type(error).__name__} {code}"
    if isinstance(error, smtplib.SMTPNotSupportedError):  # smtplib's own words: STARTTLS, or SMTPUTF8
        return str(error)
    # SMTPException is an OSError, too.
    is_of_the_system = isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException)
    return str(error) if is_of_the_system else type(error).__name__
