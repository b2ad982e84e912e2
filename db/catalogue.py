"""The statements that every connection prepares; those of other lists are prepared on demand."""

from db import calendars, replays, users
from db.lists import cascades
from db.lists import statements as todo_lists
from db.tasks import (
    clearing,
    creating,
    feed_statements,
    moves,
    occurrences,
    overviews,
    reminder_pages,
    search_index,
    summaries,
)
from db.tasks import list_statements as lists
from db.tasks import statements as tasks
from db.transfers import export_statements, import_statements

CATALOGUE = (
    *tasks.CATALOGUE,
    *creating.CATALOGUE,
    *clearing.CATALOGUE,
    *moves.CATALOGUE,
    *occurrences.CATALOGUE,
    *feed_statements.CATALOGUE,
    *todo_lists.CATALOGUE,
    *cascades.CATALOGUE,
    *lists.CATALOGUE,
    *overviews.CATALOGUE,
    *reminder_pages.CATALOGUE,
    *summaries.CATALOGUE,
    *search_index.CATALOGUE,
    *calendars.CATALOGUE,
    *users.CATALOGUE,
    *replays.CATALOGUE,
    *export_statements.CATALOGUE,
    *import_statements.CATALOGUE,
)
