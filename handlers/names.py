"""Usernames: which characters they may hold, and the key under which each is unique and found.

Both depend on one version of Unicode, 14.0, that of the oldest supported Python. Newer characters are refused, and
Unicode never changes how older ones are normalized: a new Python changes no key."""

import re
import unicodedata
from bisect import bisect
from pathlib import Path

from handlers.fields import fold, wrong

# Default_Ignorable_Code_Point of https://www.unicode.org/Public/14.0.0/ucd/DerivedCoreProperties.txt (4,174 of them),
# and U+16FE4 KHITAN SMALL SCRIPT FILLER, which is drawn as nothing, too.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U00016fe4]"
)

# Blanks, and symbols that are drawn as one: BRAILLE PATTERN BLANK, OBJECT REPLACEMENT CHARACTER, NULL NOTEHEAD.
_BLANKS = re.compile("[\\s\u2800\ufffc\U0001d159]+")

# Not printable by themselves: what joins letters and emoji (ZWNJ, ZWJ), and the tags in the flag of a region.
_JOINERS = re.compile("[\u200c\u200d]|(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")

# A character is printable when it comes after an odd number of these.
_PRINTABLE_BOUNDS = [
    bound
    for first, last in re.findall(
        r"(?m)^(\w+)\.\.(\w+)$", Path(__file__).with_name("printable.txt").read_text(encoding="utf-8-sig")
    )
    for bound in (int(first, 16), int(last, 16) + 1)
]

# A username has at most 64 characters, and each decomposes into at most four.
_LONGEST_KEY = 256

# Hangul fillers are ignorable, but drawn as blanks: a name with one would look like a name with a blank.
_FILLERS = set("\u115f\u1160\u3164\uffa0")


def name_key(name: str) -> str:
    """The key under which a username is unique and found: folded, ignorable characters removed, blanks collapsed.

    Empty for a text of blanks. What is longer than any username is nobody's: it stays as it is."""
    text = _IGNORABLE.sub("", name)
    return text if len(text) > _LONGEST_KEY else _BLANKS.sub(" ", fold(text)).strip()


def check_username(name: str) -> str:
    """The name, if it can be a username. Raises what is wrong with it."""
    if not any(unicodedata.category(each)[0] not in "MZ" for each in shown(name)):
        raise wrong("can't be blank")
    # It is part of paths, where these characters would need quoting or end it; "." and ".." are folders there.
    refused = set("/\\?#%") | _FILLERS
    if not is_printable(_JOINERS.sub("", name)) or set(name) & refused or name in (".", ".."):
        raise wrong("must be printable, without / \\ ? # %, and not . or ..")
    if len(name_key(name)) > _LONGEST_KEY:
        raise wrong(f"is too long (maximum is {_LONGEST_KEY} characters when normalized)")
    return name


def is_printable(text: str) -> bool:
    """Whether Unicode 14.0 knows each character, and it is no control, format character or blank other than U+0020."""
    return all(bisect(_PRINTABLE_BOUNDS, ord(each)) % 2 for each in text)


def shown(text: str) -> str:
    """The text without ignorable characters and blanks."""
    return _BLANKS.sub("", _IGNORABLE.sub("", text))
