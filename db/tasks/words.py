"""The words of a text, as a search compares them.

Case and accents are folded. Scripts without spaces between their words, and symbols such as emoji,
form runs of characters, of which every part can be found. All else is words of letters and digits;
the characters between them only separate.
"""

import re
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple
from unicodedata import normalize
from uuid import UUID

LONGEST_WORD = 100
# PostgreSQL stores no more positions of one lexeme.
MOST_POSITIONS = 255

# Thai, Lao, Burmese, Khmer, Japanese, Chinese; symbols and emoji.
_UNSPACED = (
    "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u2190-\u21ff\u2600-\u27bf\U0001f000-\U0001faff"
)
# Python's `\w` lacks the vowel signs of Hebrew, Arabic, the scripts of India, and Tibetan.
_MARKS = "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0f71-\u0fbc"
_TOKEN = re.compile(f"[{_UNSPACED}]+|(?:[^\\W_{_UNSPACED}]|[{_MARKS}])+")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_ASCII_WORD = re.compile("[a-z0-9]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")


class Token(NamedTuple):
    """A word, or a run of characters without spaces."""

    text: str
    is_run: bool

    @property
    def lexemes(self) -> list[str]:
        """What is stored of it, one for each position: the word, or each two characters."""
        if self.is_run:
            return [self.text[place : place + 2] for place in range(len(self.text))]
        return [self.text]


def tokens_of(text: str) -> Iterator[Token]:
    """The words and runs of the text, folded."""
    if text.isascii():
        for word in _ASCII_WORD.findall(text.lower()):
            yield Token(word[:LONGEST_WORD], is_run=False)
        return
    for token in _TOKEN.findall(_folded(text)):
        is_run = _UNSPACED_CHARACTER.match(token) is not None
        yield Token(token if is_run else token[:LONGEST_WORD], is_run)


def _folded(text: str) -> str:
    """The text without differences of case, accents, width and ligatures."""
    decomposed = normalize("NFKD", normalize("NFKD", text).casefold())
    return normalize("NFC", _ACCENTS.sub("", decomposed))


def mark_of(user_id: UUID) -> str:
    """What each lexeme of the user begins with: so no search reads what other users' words find."""
    return urlsafe_b64encode(blake2b(user_id.bytes, digest_size=6).digest()).decode()


def vector_of(mark: str, title: str, description: str | None) -> str:
    """The lexemes of a task with their positions, as PostgreSQL reads a `tsvector`.

    Those of the title have the weight A. No phrase leads from the title into the description.
    """
    positions: defaultdict[str, list[str]] = defaultdict(list)
    end = _add(positions, title, 0, "A")
    if description:
        _add(positions, description, end + 1, "")
    return " ".join(
        f"'{mark}{lexeme}':{','.join(each[:MOST_POSITIONS])}" for lexeme, each in positions.items()
    )


def _add(positions: defaultdict[str, list[str]], text: str, position: int, weight: str) -> int:
    for token in tokens_of(text):
        for lexeme in token.lexemes:
            position += 1
            positions[lexeme].append(f"{position}{weight}")
    return position
