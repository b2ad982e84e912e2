"""The promises of the API hold, and the proof of them touches nothing else."""

import pytest

from tests.proof.promises import problems, versions
from tests.proof.promises.report import Verdict, promises, scene_at, shown
from tests.proof.promises.scene import SMALL, Account
from tests.support.issuer import Issuer
from tests.support.users import User

OF_OPEN_MODE = {"An erased user has nothing", "Completed tasks are cleared"}
OF_TOKENS = {
    "Every operation refuses the path of another user",
    "Every operation refuses a request without a token",
}
OF_QUOTAS = {"The quota counts down"}


@pytest.mark.long
def test_the_promises_hold_in_open_mode(server: str) -> None:
    with scene_at([server], None, None, SMALL) as scene:
        outcomes = list(shown(scene, promises()))

    assert not [str(each) for each in outcomes if each.verdict is Verdict.BROKEN]
    assert {
        each.name for each in outcomes if each.verdict is Verdict.NOT_SHOWN
    } == OF_TOKENS | OF_QUOTAS


@pytest.mark.long
def test_the_promises_hold_for_two_real_users_whose_tasks_they_leave_alone(
    guarded_server: str, issuer: Issuer
) -> None:
    with User(guarded_server, issuer) as real, User(guarded_server, issuer) as other:
        own, done = real.creates("Mine"), real.creates("Done", completed=True)
        listed = real.creates_list("My list")
        path = real.creates_calendar()
        tokens = [each.headers["Authorization"].split()[1] for each in (real, other)]

        with scene_at([guarded_server], tokens[0], tokens[1], SMALL) as scene:
            outcomes = list(shown(scene, promises()))

        assert not [str(each) for each in outcomes if each.verdict is Verdict.BROKEN]
        assert {
            each.name for each in outcomes if each.verdict is Verdict.NOT_SHOWN
        } == OF_OPEN_MODE | OF_QUOTAS
        assert real.get(real.tasks).json() == [done.document, own.document]
        assert real.get(real.lists).json() == [listed.document]
        assert real.get(path).status_code == 200
        assert other.get(other.tasks).json() == other.get(other.lists).json() == []


def test_a_broken_promise_does_not_stop_the_others_and_says_what_it_found(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Account.reads
    monkeypatch.setattr(Account, "reads", lambda user, path: {**read(user, path), "title": "x"})
    which = (
        versions.a_change_of_an_old_version_is_refused_and_changes_nothing,
        problems.a_large_body_is_refused,
    )
    with scene_at([server], None, None, SMALL) as scene:
        broken, kept = shown(scene, which)

    assert (broken.verdict, broken.words) == (Verdict.BROKEN, "_updates has changed the task")
    assert kept.verdict is Verdict.KEPT
