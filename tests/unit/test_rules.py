"""The rules are pure: they say what a write means, and leave the draft as it is."""

from copy import deepcopy
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.errors import IdTaken, TaskChanged, TaskNotFound, TooManyTasks
from db.tasks.draft import Draft, Event
from db.tasks.rules import RULES

USER = uuid4()
MOMENT = "2026-01-31T09:26:53.589793Z"
TASK_ID = str(UUID(int=7))


def draft_of(*events: str) -> Draft:
    """A user's draft, after these operations on one task."""
    draft = Draft(USER, revision=41, moment=MOMENT)
    for kind in ("create", *events):
        done(draft, kind)
    return draft


def done(draft: Draft, kind: str, **fields: Any) -> Event:
    defaults = {"create": {"title": "Buy milk"}, "update": {"title": "Buy bread"}}.get(kind, {})
    [event] = RULES[kind](draft, None, {"id": TASK_ID, **defaults, **fields})
    draft.apply(event)
    return event


@pytest.mark.parametrize("kind", ["update", "toggle", "delete"])
def test_a_rule_returns_an_event_and_changes_nothing(kind: str) -> None:
    draft = draft_of()
    before = deepcopy(draft.__dict__)

    [event] = RULES[kind](
        draft, None, {"id": TASK_ID, "title": "x"} if kind == "update" else {"id": TASK_ID}
    )

    assert draft.__dict__ == before
    assert (event.kind, event.before) == (kind, draft.tasks[TASK_ID])
    assert event.after["revision"] == event.revision == 43


def test_each_event_has_the_next_revision_and_a_later_moment() -> None:
    draft = draft_of("toggle", "update", "delete", "restore", "toggle")

    assert [event.revision for event in draft.events] == list(range(42, 48))
    for before, after in pairwise(draft.events):
        assert after.moment > before.moment
        assert after.before == before.after
    assert draft.events[0].before is None
    assert draft.events[0].moment == MOMENT


def test_an_event_shows_the_task_in_the_trash_before_and_after() -> None:
    draft = draft_of("delete", "restore")
    _, deleted, restored = draft.events

    assert deleted.after["deleted_at"] == deleted.moment
    assert restored.before == deleted.after
    assert "deleted_at" not in restored.after


@pytest.mark.parametrize("kind", ["update", "restore"])
def test_what_changes_nothing_is_no_event(kind: str) -> None:
    assert RULES[kind](draft_of(), None, {"id": TASK_ID}) == []


def test_creates_are_refused_once_the_owner_has_the_most_tasks() -> None:
    draft = Draft(USER, task_count=1, max_tasks=3)
    done(draft, "create")
    done(draft, "delete")
    done(draft, "create", id=str(uuid4()))

    with pytest.raises(TooManyTasks):
        done(draft, "create", id=str(uuid4()))
    done(draft, "restore")
    with pytest.raises(IdTaken):
        done(draft, "create")


def test_a_refusal_is_raised_with_the_task_that_stands_against_it() -> None:
    draft = draft_of()

    with pytest.raises(IdTaken) as taken:
        done(draft, "create")
    with pytest.raises(TaskChanged) as changed:
        RULES["toggle"](draft, [1], {"id": TASK_ID})
    with pytest.raises(TaskNotFound):
        done(draft, "toggle", id=str(uuid4()))

    assert taken.value.current == changed.value.current == draft.tasks[TASK_ID]
