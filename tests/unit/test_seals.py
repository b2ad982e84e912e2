"""Signed tokens (cursors, feed positions): accepted unchanged from their own user only."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.tasks.tokens import Forged, Signer
from tests.support.references import property_settings

KEYS = st.binary(min_size=32, max_size=32)
PURPOSES = st.text(st.characters(codec="ascii", exclude_characters="\0"))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SIGNER = Signer(bytes(range(32)))
USER = UUID(int=1)


def is_refused(signer: Signer, token: str, *of: Any) -> bool:
    try:
        signer.verify(token, *of)
    except Forged:
        return True
    return False


@property_settings(300)
@given(KEYS, st.binary(), PURPOSES, st.uuids())
def test_opened_token_returns_its_content(
    key: bytes, content: bytes, purpose: str, user_id: UUID
) -> None:
    token = Signer(key).sign(content, purpose, user_id)

    assert set(token) <= set(ALPHABET)
    assert Signer(key).verify(token, purpose, user_id) == content


@property_settings(1000)
@given(st.text() | st.text(ALPHABET + "=+/ \n"))
def test_other_text_is_refused(text: str) -> None:
    assert is_refused(SIGNER, text, "a test", USER)


@property_settings(300)
@given(st.binary(max_size=40), st.data())
def test_token_with_a_flipped_bit_is_refused(content: bytes, data: st.DataObject) -> None:
    token = SIGNER.sign(content, "a test", USER)
    place = data.draw(st.integers(0, len(token) - 1))
    flipped = chr(ord(token[place]) ^ 1 << data.draw(st.integers(0, 6)))

    assert is_refused(SIGNER, token[:place] + flipped + token[place + 1 :], "a test", USER)


def test_token_with_a_character_changed_added_or_removed_is_refused() -> None:
    token = SIGNER.sign(b"content", "a test", USER)

    for place in range(len(token)):
        others = [other for other in ALPHABET if other != token[place]]
        for replacement in ["", *others, *(token[place] + other for other in ALPHABET)]:
            wrong = token[:place] + replacement + token[place + 1 :]
            assert is_refused(SIGNER, wrong, "a test", USER), wrong


@property_settings(300)
@given(st.binary(), *[st.tuples(KEYS, PURPOSES, st.uuids())] * 2)
def test_token_is_valid_for_its_key_purpose_and_user_only(
    content: bytes, made: tuple[Any, ...], opened: tuple[Any, ...]
) -> None:
    (key, purpose, user_id), (other_key, other_purpose, other_user) = made, opened
    token = Signer(key).sign(content, purpose, user_id)

    assert is_refused(Signer(other_key), token, purpose, user_id) is (key != other_key)
    assert is_refused(Signer(key), token, other_purpose, user_id) is (purpose != other_purpose)
    assert is_refused(Signer(key), token, purpose, other_user) is (user_id != other_user)


@pytest.mark.parametrize("token", ["", "=", "AAAA", "A" * 10_000, "é", "\0"])
def test_malformed_text_is_refused(token: str) -> None:
    assert is_refused(SIGNER, token, "a test", USER)
