"""What a search looks for: the text of `q`, as PostgreSQL's text search queries.

It is read as web search engines read it. A task must have all words, or all of one alternative
between `OR`; a word may lack its last letters. Words in quotes must stand side by side, and be
whole. What has a minus before it must be missing.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from db.tasks.words import Token, mark_of, tokens_of

OR = "OR"
QUOTES = str.maketrans("\u201c\u201d\u201e", '"""')
_PART = re.compile(r'(?:(?<!\S)(-))?(?:"([^"]*)"?|([^\s"]+))')


class Literal(NamedTuple):
    """Words that stand side by side, and whether a task must lack them."""

    is_negative: bool
    is_whole: bool
    tokens: list[Token]


class Search(NamedTuple):
    """Text search queries; one that finds nothing is None."""

    wanted: str | None
    """What the tasks match."""

    candidates: str | None
    """What an index can find: the words of the tasks, in any order. None if it would find all."""

    in_title: str | None
    """What they match with their titles alone."""

    whole_in_title: str | None
    """The same with whole words."""

    @classmethod
    def of(cls, text: str, user_id: UUID) -> "Search":
        """The search for the text in a user's tasks."""
        alternatives = list(_alternatives(text))
        mark = mark_of(user_id)
        positive = [
            each for each in alternatives if not all(literal.is_negative for literal in each)
        ]
        return cls(
            wanted=_any(_query(mark, each) for each in alternatives),
            candidates=_any(
                _words(mark, each) for each in (alternatives if alternatives == positive else [])
            ),
            in_title=_any(_query(mark, each, weight="A") for each in positive),
            whole_in_title=_any(_query(mark, each, weight="A", whole=True) for each in positive),
        )

    @property
    def has_candidates(self) -> bool:
        """Whether an index can find the tasks; nothing is found at once."""
        return self.candidates is not None or self.wanted is None


def _alternatives(text: str) -> Iterator[list[Literal]]:
    """The parts between `OR`, without those that have no word."""
    literals: list[Literal] = []
    for minus, quoted, bare in _PART.findall(text.translate(QUOTES)):
        if bare == OR and not minus:
            if literals:
                yield literals
            literals = []
        elif tokens := list(tokens_of(quoted or bare)):
            literals.append(Literal(bool(minus), not bare, tokens))
    if literals:
        yield literals


def _any(queries: Iterator[str]) -> str | None:
    return " | ".join(queries) or None


def _query(mark: str, literals: list[Literal], *, weight: str = "", whole: bool = False) -> str:
    """All of the literals; those that a task must lack, it must lack anywhere."""
    return " & ".join(
        f"!({_phrase(mark, each, '', whole=False)})"
        if each.is_negative
        else f"({_phrase(mark, each, weight, whole=whole)})"
        for each in literals
    )


def _phrase(mark: str, literal: Literal, weight: str, *, whole: bool) -> str:
    """The words one after the other."""
    (_, first), *others = _operands(mark, literal, weight, whole=whole)
    return first + "".join(f" <{distance}> {operand}" for distance, operand in others)


def _words(mark: str, literals: list[Literal]) -> str:
    """The lexemes of all tasks that match."""
    return " & ".join(
        operand
        for each in literals
        if not each.is_negative
        for _, operand in _operands(mark, each, "", whole=False)
    )


def _operands(
    mark: str, literal: Literal, weight: str, *, whole: bool
) -> Iterator[tuple[int, str]]:
    """Each lexeme as it is looked for, and its distance from the one before it."""
    distance = 1
    for token in literal.tokens:
        if token.is_run and len(token.text) > 1:
            # The last lexeme, of one character, stands only at the end of a run.
            lexemes, is_prefix, last_width = token.lexemes[:-1], False, 2
        else:
            is_last = token is literal.tokens[-1]
            is_prefix = token.is_run or (is_last and not (literal.is_whole or whole))
            lexemes, last_width = token.lexemes, 1
        flags = ("*" if is_prefix else "") + weight
        for lexeme in lexemes:
            yield distance, f"'{mark}{lexeme}'" + (f":{flags}" if flags else "")
            distance = 1
        distance = last_width
