"""Made-up words and sentences, the same each time."""

import random
from collections.abc import Iterator
from itertools import islice

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_SLUG_CHARACTERS = "abcdefghijkmnpqrstuvwxyz23456789"

# Two words stand for each topic, and nowhere else: a topic is what a search finds.
TOPICS = 300


class Texts:
    """Sentences from a vocabulary in which some words are frequent and most are rare."""

    def __init__(self) -> None:
        chance = random.Random("texts")
        made = _words(chance)
        self.adjectives = list(islice(made, TOPICS))
        self.nouns = list(islice(made, TOPICS))
        self.tags = list(islice(made, TOPICS))
        self.vocabulary = list(islice(made, 3000))
        self.paragraphs = [self._paragraph(chance) for _ in range(2000)]

    def topic(self, number: int, variant: int) -> tuple[str, str]:
        """The two words of a topic; each adjective goes with four nouns."""
        return self.adjectives[number], self.nouns[(number * 7 + variant % 4) % TOPICS]

    def body(self, chance: random.Random, topic: tuple[str, str]) -> str:
        """A few paragraphs that name their topic."""
        paragraphs = chance.choices(self.paragraphs, k=2 + int(3 * chance.random()))
        return "\n\n".join([f"## On {topic[0]} {topic[1]}", *paragraphs])

    def remark(self, chance: random.Random) -> str:
        """A sentence or two, as a comment."""
        paragraph = self.paragraphs[int(len(self.paragraphs) * chance.random())]
        return paragraph[: 30 + int(120 * chance.random())].strip()

    def _paragraph(self, chance: random.Random) -> str:
        words = [self.vocabulary[int(3000 * chance.random() ** 3)] for _ in range(chance.randint(20, 45))]
        return " ".join(words).capitalize() + "."


def slug_suffix(number: int) -> str:
    """Eight characters that look random and differ for different numbers below 2**40."""
    mixed = number * 0x9E3779B97F % 2**40
    return "".join(_SLUG_CHARACTERS[mixed >> shift & 31] for shift in range(0, 40, 5))


def _words(chance: random.Random) -> Iterator[str]:
    seen = set()
    while True:
        word = "".join(chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(chance.choice((2, 3, 3, 4))))
        if word not in seen:
            seen.add(word)
            yield word
