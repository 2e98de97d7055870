"""Passwords and other secrets: stored as hashes, never as they are, and never logged."""

import functools
import hashlib
import secrets
import threading
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from config import usable_cores

# OWASP's minimum (Password Storage Cheat Sheet): a hash takes tens of milliseconds and 19 MiB.
_HASHER = PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)

# However many log in at once, two cores and 38 MiB are the most that it takes. A process that is pinned to one core
# hashes one at a time: two that take turns push each other's memory out of the core's cache, and take twice as long.
AT_ONCE = min(2, len(usable_cores()))
_TURN = threading.BoundedSemaphore(AT_ONCE)

# What a login with an unknown address is verified against, so that it costs the same. Nobody knows its password.
_NOBODYS_HASH = "$argon2id$v=19$m=19456,t=2,p=1$YEz78rpTqf4XlHKAVs9a7Q$NhNqYIebx4fwppdzEEzQ9zRiB6ljoV1fjAnFGbHF40k"


def hash_password(password: str) -> str:
    """The password's hash in PHC format, with a salt of its own."""
    with _TURN:
        return _HASHER.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password is the hashed one. Without a hash the answer is no, and takes as long."""
    with _TURN:
        try:
            return _HASHER.verify(password_hash or _NOBODYS_HASH, password) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


def is_common(password: str) -> bool:
    """Whether it is one of the 3,000 passwords that people choose most, whatever its case (ASVS 5.0, 6.2.4)."""
    return password.casefold() in _common_passwords()


@functools.cache
def _common_passwords() -> frozenset[str]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8-sig").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def new_token() -> str:
    """256 bits of chance as 43 characters that are safe in a header and in a link."""
    return secrets.token_urlsafe(32)


def digest(text: str) -> str:
    """SHA-256 in hexadecimal: stored of a token, which nobody can guess, or of a name that nobody shall read."""
    return hashlib.sha256(text.encode()).hexdigest()


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)
