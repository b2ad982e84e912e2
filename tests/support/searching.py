"""Searches as they are defined, slowly: the server's results are compared with these."""

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any

Fields = dict[str, Any]
Unit = tuple[str, int | None]
"""A word, or a character and the number of its run."""

BETWEEN: Unit = ("", None)
"""What stands between a title and a description."""

SCRIPTS = ("CJK UNIFIED", "HIRAGANA", "KATAKANA LETTER", "KATAKANA-", "THAI", "LAO", "KHMER")


def relevance(text: str, task: Fields) -> int | None:
    """The relevance of a task in a search for the text; None if it does not match."""
    return relevance_of(text, task["title"], task["description"] or "")


@cache
def relevance_of(text: str, title_text: str, description: str) -> int | None:
    """The same, once for all tasks with these texts."""
    title = units_of(title_text)
    everywhere = [*title, BETWEEN, *units_of(description)]
    alternatives = alternatives_of(text)
    if not any(all_match(each, everywhere, everywhere) for each in alternatives):
        return None
    positive = [each for each in alternatives if not all(minus for minus, *_ in each)]
    for rank, whole in ((2, True), (1, False)):
        if any(all_match(each, title, everywhere, whole=whole) for each in positive):
            return rank
    return 0


Literal = tuple[bool, bool, list[list[Unit]]]
"""Whether it has a minus, whether it has quotes, and its words and runs."""


def all_match(
    literals: list[Literal], units: list[Unit], everywhere: list[Unit], *, whole: bool = False
) -> bool:
    return all(
        not stands_in(tokens, everywhere, whole=quoted)
        if minus
        else stands_in(tokens, units, whole=quoted or whole)
        for minus, quoted, tokens in literals
    )


def stands_in(tokens: list[list[Unit]], units: list[Unit], *, whole: bool) -> bool:
    length = sum(map(len, tokens))
    return any(
        stands_at(tokens, units[start : start + length], whole=whole) for start in range(len(units))
    )


def stands_at(tokens: list[list[Unit]], units: list[Unit], *, whole: bool) -> bool:
    for number, token in enumerate(tokens):
        here, units = units[: len(token)], units[len(token) :]
        is_last = number == len(tokens) - 1
        if len(here) < len(token) or not token_is(token, here, whole=whole or not is_last):
            return False
    return True


def token_is(token: list[Unit], units: list[Unit], *, whole: bool) -> bool:
    [(text, run), *_] = token
    if run is None:
        found, found_run = units[0]
        return found_run is None and (found == text or (found.startswith(text) and not whole))
    runs = {run for _, run in units}
    return [c for c, _ in token] == [c for c, _ in units] and len(runs) == 1 and None not in runs


def alternatives_of(text: str) -> list[list[Literal]]:
    alternatives: list[list[Literal]] = [[]]
    for minus, quoted, part in parts_of(text):
        if part == "OR" and not quoted and not minus:
            alternatives.append([])
        elif tokens := tokens_of(part):
            alternatives[-1].append((minus, quoted, tokens))
    return [each for each in alternatives if each]


def parts_of(text: str) -> Iterator[tuple[bool, bool, str]]:
    """The parts of a search, character by character: minus, quoted, text."""
    place, may_be_minus = 0, True
    while place < len(text):
        if text[place].isspace():
            place, may_be_minus = place + 1, True
            continue
        minus = may_be_minus and text[place] == "-" and text[place + 1 : place + 2].strip() != ""
        begin = place + minus
        quoted = text[begin] == '"'
        end = begin + quoted
        while end < len(text) and text[end] != '"' and (quoted or not text[end].isspace()):
            end += 1
        yield minus, quoted, text[begin + quoted : end]
        place, may_be_minus = end + quoted, False


def tokens_of(text: str) -> list[list[Unit]]:
    tokens: list[list[Unit]] = []
    for number, (kind, characters) in enumerate(groupby(folded(text), kind_of)):
        if kind == "run":
            tokens.append([(each, number) for each in characters])
        elif kind == "word":
            tokens.append([("".join(characters)[:100], None)])
    return tokens


def units_of(text: str) -> list[Unit]:
    return [unit for token in tokens_of(text) for unit in token]


def folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(each for each in decomposed if not "\u0300" <= each <= "\u036f")
    return unicodedata.normalize("NFC", bare)


def kind_of(character: str) -> str:
    if unicodedata.name(character, "").startswith(SCRIPTS) or character == "\U0001f600":
        return "run"
    return "word" if character.isalnum() or unicodedata.category(character)[0] == "M" else "gap"
