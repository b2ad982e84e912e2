"""Shows each promise, and says what showed it."""

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

import click
import httpx

from tests.proof.promises import (
    batches,
    feeds,
    isolation,
    lists,
    order,
    problems,
    retries,
    versions,
    waits,
)
from tests.proof.promises.scene import SMALL, Account, NotShown, Scale, Scene, quota_of

Promise = Callable[[Scene], str]

THEMES = (versions, retries, batches, order, feeds, waits, lists, isolation, problems)


class Verdict(StrEnum):
    """What has become of a promise."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_SHOWN = "not shown"


class Outcome(NamedTuple):
    """A promise, and what showed that it is kept or broken."""

    name: str
    verdict: Verdict
    seconds: float
    words: str

    def __str__(self) -> str:
        return f"{self.verdict:9} {self.seconds:5.1f} s  {self.name}: {self.words}"


def promises() -> list[Promise]:
    """All promises, in the order of their themes."""
    return [
        each
        for theme in THEMES
        for name, each in vars(theme).items()
        if not name.startswith("_") and getattr(each, "__module__", "") == theme.__name__
        if not isinstance(each, type)
    ]


def name_of(promise: Promise) -> str:
    """Its name as a sentence."""
    return promise.__name__.replace("_", " ").capitalize()


def shown(scene: Scene, which: Iterable[Promise]) -> Iterator[Outcome]:
    """These promises, one after the other; a broken one does not stop the others."""
    for promise in which:
        began = time.monotonic()
        try:
            verdict, words = Verdict.KEPT, promise(scene)
        except NotShown as reason:
            verdict, words = Verdict.NOT_SHOWN, str(reason)
        except (AssertionError, httpx.HTTPError, LookupError, ValueError, TypeError) as error:
            verdict, words = Verdict.BROKEN, _words(error)
        yield Outcome(name_of(promise), verdict, time.monotonic() - began, words)


def _words(error: Exception) -> str:
    """What the error says, and where it was raised if that is not enough."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__} {error}"
    return text[:500] or f"{place.line} does not hold"


@contextmanager
def scene_at(
    urls: Sequence[str],
    token: str | None,
    other_token: str | None,
    scale: Scale | None = None,
    *,
    quiet: bool = False,
) -> Iterator[Scene]:
    """Two users of a deployment; what they made is removed at the end, and the report says so.

    Where requests are few, each promise does less.
    """
    with Account(urls, token) as user, Account(urls, other_token) as other:
        assert user.id != other.id, "both tokens are of the same user"
        try:
            chosen = scale or (SMALL if quota_of(user) else Scale())
            yield Scene(urls, user, other, chosen)
        finally:
            words = [_cleaned(each) for each in (user, other)]
            if not quiet:
                click.echo("\n".join(words))


def _cleaned(account: Account) -> str:
    try:
        return f"Afterwards {account.cleans_up()}."
    except (AssertionError, httpx.HTTPError) as error:
        return f"What {account.id} has made could not be removed: {_words(error)}"


def prove(urls: Sequence[str], token: str | None, other_token: str | None) -> int:
    """Print each promise and what showed it; returns how many are broken."""
    began = time.monotonic()
    with scene_at(urls, token, other_token) as scene:
        outcomes = []
        for each in shown(scene, promises()):
            click.echo(each)
            outcomes.append(each)
        requests = scene.user.requests + scene.other.requests
        waited = scene.user.waited + scene.other.waited
    found = {each: [o.verdict for o in outcomes].count(each) for each in Verdict}
    click.echo(
        f"{', '.join(f'{number} {verdict}' for verdict, number in found.items())}: "
        f"{requests:,} requests in {time.monotonic() - began:.0f} s"
        + (f"; all waits for the quota together: {waited:.0f} s" if waited else "")
    )
    return found[Verdict.BROKEN]
