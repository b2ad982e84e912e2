"""Clients of one user, a flaky network and a ledger; Hypothesis decides what happens next."""

from collections import deque
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.proof.clients import Client, Kind, Write
from tests.proof.ledger import Ledger
from tests.support.databases import administration, query_as_owner
from tests.support.feed import PURGE
from tests.support.flaky import ANSWERED, LATE, Fate, flaky
from tests.support.worlds import World

CLIENTS = 3
PAGE = 1000
MANY = 6
TRIES = 5

clients = st.integers(0, CLIENTS - 1)
whichever = st.integers(0, MANY - 1)
kinds_of_changes = st.sampled_from([*Kind][1:])
fates_of_writes = st.sampled_from([each for each in Fate if each is not Fate.MEETS_DISASTER])
fates_of_reads = st.sampled_from(
    [Fate.ARRIVES, Fate.ARRIVES, Fate.IS_LOST, Fate.ANSWER_IS_LOST, Fate.ANSWER_IS_CUT]
)
moments = st.sampled_from([0, 0.001, 0.002, 0.005, 0.02])


class Clients(RuleBasedStateMachine):
    """No write is lost, doubled or overwritten unseen, and all copies converge.

    There are no preconditions: races would make Hypothesis's choices depend on who won.
    """

    world: World
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.written = 0
        self.late: deque[Write] = deque()
        self.user_id = str(uuid4())
        self.stack = ExitStack()
        self.fate = Fate.ARRIVES
        self.network = self.stack.enter_context(flaky(self.world.url, lambda: self.fate))
        self.clients = [Client(self.network.url, self.user_id) for _ in range(CLIENTS)]
        self.onlooker = Client(self.world.url, self.user_id)
        for each in [*self.clients, self.onlooker]:
            self.stack.callback(each.closes)
        self.revision = self._revision()

    @initialize()
    def some_tasks_and_lists_are_known_to_all(self) -> None:
        self.places = [None, *(self.onlooker.creates_list(title) for title in ("one", "other"))]
        assert self.onlooker.pulls(PAGE) is False
        self.revision = self._revision()
        for client in self.clients:
            self.a_client_wants_a_task(self.clients.index(client), own_id=True, keyed=True)
            self._comes_home(client)
        for client in self.clients:
            self._comes_home(client)

    # Writes of clients, offline or not

    @rule(who=clients, own_id=st.booleans(), keyed=st.booleans())
    def a_client_wants_a_task(self, who: int, own_id: bool, keyed: bool) -> None:
        if len(self.ledger.tasks) >= MANY:
            return
        self.clients[who].creates(self._text(), self._text(), own_id=own_id, keyed=keyed)
        self._counts()

    @rule(who=clients, which=whichever, place=st.integers(0, 2))
    def a_client_wants_a_task_in_another_list(self, who: int, which: int, place: int) -> None:
        self.clients[who].changes(Kind.UPDATE, which, {"list_id": self.places[place]})
        self._counts()

    @rule(who=clients, kind=kinds_of_changes, which=whichever)
    def a_client_wants_a_change(self, who: int, kind: Kind, which: int) -> None:
        fields = {"title": self._text()} if kind is Kind.UPDATE else {}
        self.clients[who].changes(kind, which, fields)
        self._counts()

    @rule(who=clients, kind=kinds_of_changes, which=whichever, fate=fates_of_writes)
    def a_client_makes_a_change(self, who: int, kind: Kind, which: int, fate: Fate) -> None:
        self.a_client_wants_a_change(who, kind, which)
        if self.clients[who].outbox:
            self._sends(self.clients[who], fate, crashes=False)

    # Sending them

    @rule(who=clients, fate=fates_of_writes, crashes=st.booleans())
    def a_client_sends_a_write(self, who: int, fate: Fate, crashes: bool) -> None:
        if client := self._with_outbox(who):
            self._sends(client, fate, crashes)

    @rule(who=clients, fate=fates_of_reads, limit=st.sampled_from([1, 2, PAGE]))
    def a_client_reads_what_has_changed(self, who: int, fate: Fate, limit: int) -> None:
        self.fate = fate
        self.clients[who].pulls(limit)
        self._counts()

    @rule()
    def what_was_held_back_arrives(self) -> None:
        if not self.late:
            return
        write = self.late.popleft()
        self.network.delivers_late()
        self._looks(write, copies=1)
        self._counts()

    @rule()
    def the_trash_is_purged(self) -> None:
        # It is, when no copy of a creation is under way any more that its id alone would refuse.
        if not self.ledger.trash or self.ledger.trash.keys() & self._created_by_id_and_may_come():
            return
        with administration(self.world.database_url) as execute:
            execute(PURGE.format(self.user_id))
        self.ledger.purged()
        self._counts()

    @rule(who=clients, database=st.booleans(), after=moments)
    def a_disaster_strikes_while_a_client_writes(
        self, who: int, database: bool, after: float
    ) -> None:
        client = self._with_outbox(who)
        if client and self.world.disasters_left:
            self.network.disaster = partial(self.world.strikes, database, after)
            self._sends(client, Fate.MEETS_DISASTER, crashes=False)

    @rule(who=clients)
    def a_client_comes_home(self, who: int) -> None:
        self._comes_home(self.clients[who])
        self._counts()

    def teardown(self) -> None:
        """In the end all clients are online and synchronized."""
        with self.stack:
            if not self.ledger.is_violated:
                while self.late:
                    self.what_was_held_back_arrives()
                for client in [*self.clients, *self.clients]:
                    self._comes_home(client)
                assert self._number_that_is_kept() == self._number_of_rows()

    # Details

    def _text(self) -> str:
        self.written += 1
        return f"text {self.written}"

    def _counts(self) -> None:
        Clients.steps += 1

    def _with_outbox(self, who: int) -> Client | None:
        """That client, or the next one that has something to send."""
        in_turn = [*self.clients[who:], *self.clients[:who]]
        return next((each for each in in_turn if each.outbox), None)

    def _sends(self, client: Client, fate: Fate, crashes: bool) -> None:
        write = client.outbox[0]
        self.fate = fate
        response = client.pushes()
        if fate in LATE:
            self.late.append(write)
        if fate is Fate.MEETS_DISASTER:
            self.world.recovers()
        self._looks(write, copies=2 if fate is Fate.COMES_TWICE_AT_ONCE else 1)
        assert response is None or fate in ANSWERED
        if response is not None:
            self.ledger.response(write, response)
            if not crashes:
                client.records(response)
        self._counts()

    def _looks(self, write: Write, copies: int) -> None:
        """Record each change since the last step as the work of that write."""
        before = {**self.onlooker.trash, **_revisions(self.onlooker)}
        assert self.onlooker.pulls(PAGE) is False
        for task_id, revision in {**self.onlooker.trash, **_revisions(self.onlooker)}.items():
            if before.get(task_id) != revision:
                deleted = {"id": task_id, "revision": revision, "deleted_at": "now"}
                self.ledger.change(write, self.onlooker.copy.get(task_id, deleted))
        now = self._revision()
        if self.revision:
            self.ledger.check_revision(now - self.revision, copies)
        self.revision = now

    def _created_by_id_and_may_come(self) -> set[str | None]:
        may_come = [*self.late, *(write for client in self.clients for write in client.outbox)]
        return {
            write.task_id for write in may_come if write.kind is Kind.CREATE and write.key is None
        }

    def _revision(self) -> int:
        tag = self.onlooker.asks(self._tasks).headers["etag"]
        return int(tag.removeprefix('W/"').removesuffix('"'))

    @property
    def _tasks(self) -> str:
        return f"{self.world.url}/api/{self.user_id}/tasks"

    def _comes_home(self, client: Client) -> None:
        """Bring a client online: it sends its outbox, and reads the whole feed."""
        for write in [*client.outbox]:
            for _ in range(TRIES):
                if write in client.outbox:
                    self._sends(client, Fate.ARRIVES, crashes=False)
            self.ledger.check_outcome(write)
        assert not client.outbox
        self.fate = Fate.ARRIVES
        asked = (client.pulls(PAGE) for _ in range(10))
        assert False in asked, "the feed has no end"
        self.ledger.check_copy(client.copy, "a client that came home")
        self.ledger.check_copy(self._list(), "the list")

    def _list(self) -> dict[str, dict[str, object]]:
        """The tasks on the server, page by page."""
        tasks, url = {}, f"{self._tasks}?limit=100"
        while url:
            page = self.onlooker.asks(url)
            tasks.update({task["id"]: task for task in page.json()})
            following = page.links.get("next", {}).get("url", "")
            url = following and self.world.url + following
        return tasks

    def _number_that_is_kept(self) -> list[int]:
        """The number of the user's tasks that limits them."""
        kept = "SELECT task_count FROM users WHERE id = %s"
        return query_as_owner(self.world.database_url, kept, self.user_id)

    def _number_of_rows(self) -> list[int]:
        rows = "SELECT count(*) FROM tasks WHERE user_id = %s"
        return query_as_owner(self.world.database_url, rows, self.user_id)


def _revisions(client: Client) -> dict[str, int]:
    return {task_id: task["revision"] for task_id, task in client.copy.items()}
