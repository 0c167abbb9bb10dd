"""Syntax of strings in native frames: which are valid, and that members accept all that a host creates."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd import paths
from chatd.api.errors import ControlError
from chatd.messages.text import CONTROLS, check_characters, check_length
from chatd.rooms.hosted import TOPIC_BYTES
from chatd.rooms.nicks import suggest
from chatd.wire.fields import valid_epoch, valid_id, valid_kind, valid_name, valid_nick, valid_node, valid_note
from tests.harness.characters import characters
from tests.wire.samples import EPOCH, NODE, names


@given(st.text(max_size=70) | names)
def test_names_are_those_that_a_node_may_have(name: str) -> None:
    assert valid_name(name) == paths.valid_name(name)


def test_an_epoch_is_eight_characters_of_base32() -> None:
    assert valid_epoch(EPOCH)
    assert not any(map(valid_epoch, ("", "7kq2m4x", "7kq2m4xaa", "7kq2m4x8", "7KQ2M4XA", "7kq2m4x\n")))


def test_an_id_is_an_epoch_and_a_number() -> None:
    assert valid_id(f"{EPOCH}:{2**63 - 1}")
    assert not any(
        map(
            valid_id,
            (EPOCH, f"{EPOCH}:", f"{EPOCH}:07", f"{EPOCH}:-1", f"{EPOCH}:٣", f"{EPOCH}:1\n", f"{EPOCH}:{'1' * 20}"),
        )
    )


def test_a_node_id_is_52_characters_of_base32_and_a_kind_a_short_word() -> None:
    assert valid_node(NODE)
    assert not any(map(valid_node, ("", NODE[1:], NODE + "a", NODE.upper(), NODE[1:] + "\n")))
    assert valid_kind("unknown_room")
    assert not any(map(valid_kind, ("", "x" * 33, "Forbidden", "two words", "x\n")))


@pytest.mark.parametrize("nick", ["jane", "Ж", "李雷", "a.b_c-2", "127.0.0.1:5", "[::1]:65535", "x" * 64, "𞤀" * 32])
def test_nicks_of_plain_clients_and_of_any_script_are_taken(nick: str) -> None:
    assert valid_nick(nick)


@pytest.mark.parametrize(
    "nick",
    [
        "",
        "ja ne",
        "ja\u3000ne",
        "jane\n",
        "\x9b",
        "x" * 65,
        "\U0001e900" * 33,
        "\u202ejane",
        "ja\u200bne",
        "\xad",
        "\ud800",
    ],
)
def test_a_nick_that_is_not_seen_or_too_long_is_not_taken(nick: str) -> None:
    assert not valid_nick(nick)


@given(st.text(max_size=40))
def test_whatever_nick_a_host_gives_a_member_takes(wanted: str) -> None:
    assert valid_nick(suggest(wanted, ())[0])


def test_a_character_that_unicode_may_assign_one_day_is_taken() -> None:
    unassigned = "\u0378"
    assert unicodedata.category(unassigned) == "Cn"
    assert valid_nick(unassigned)
    assert valid_note(unassigned)


@given(st.text(st.characters(), max_size=300) | st.text("x😀", min_size=200, max_size=1100))
def test_a_note_is_short_and_may_hold_what_a_text_may(text: str) -> None:
    try:
        check_length(text, 1024, 0)
        check_characters(text or "x")
        good = True
    except (ControlError, UnicodeEncodeError):
        good = False
    assert valid_note(text) == good


def test_a_topic_that_a_host_takes_is_taken_by_its_members() -> None:
    assert valid_note("x" * TOPIC_BYTES)


def test_no_control_format_or_private_character_is_in_a_nick() -> None:
    harmful = characters("Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs")
    assert [hex(ord(each)) for each in harmful if valid_nick(each) or valid_nick(f"a{each}b")] == []


def test_a_note_and_a_text_may_have_the_same_characters() -> None:
    for each in characters():
        in_text = each not in CONTROLS and not "\ud800" <= each <= "\udfff"
        assert valid_note(each) is in_text, hex(ord(each))
