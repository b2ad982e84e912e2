"""Comparison of texts without case (Unicode, definition D145 of canonical caseless matching)."""

from unicodedata import normalize


def folded(text: str) -> str:
    """The text without differences of case and of canonical equivalence."""
    return normalize("NFC", normalize("NFD", text).casefold())


def second_of_equals(texts: list[str]) -> int | None:
    """The index of the first text that is equal, without case, to one before it."""
    seen: set[str] = set()
    for index, text in enumerate(map(folded, texts)):
        if text in seen:
            return index
        seen.add(text)
    return None
