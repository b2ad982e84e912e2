"""The secret that signs cursors and the tokens of the change feed can be replaced."""

from collections.abc import Callable

from tests.support.databases import as_owner
from tests.support.servers import errand, serving
from tests.support.users import User


def test_a_rotated_secret_makes_worthless_what_clients_were_given(
    new_database: Callable[[], str],
) -> None:
    url = new_database()
    with serving(DATABASE_URL=url) as server, User(server) as alice:
        alice.creates()
        changes = f"/api/{alice.id}/changes"
        since = {"since": alice.get(changes).json()["next"]}
        before = alice.get(changes, params=since)

    refused = errand("rotate-token-secret", DATABASE_URL=url)
    rotated = errand("rotate-token-secret", DATABASE_URL=as_owner(url))
    with serving(DATABASE_URL=url) as server, User(server) as alice:
        after = alice.get(changes, params=since)

    assert before.status_code == 200
    assert (refused.returncode, rotated.returncode) == (1, 0)
    assert "use the owner's DATABASE_URL" in refused.stderr
    assert "Restart every server" in rotated.stdout
    assert after.status_code == 422
