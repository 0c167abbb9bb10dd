import json
from typing import Any

import msgspec
import pytest

from chatd.api.events import Message, Receipt
from chatd.api.results import PeerRef
from chatd.journal.rawjson import (
    HEAD_BYTES,
    global_id_field,
    global_id_of,
    is_queued,
    is_settled,
    names_room,
    receipt_seq,
    room_field,
    room_name,
    with_state,
)

NODE = "k3v7abcd" + "b" * 44
PEER = PeerRef(0, "bob", "native", NODE)
WHERE: dict[str, Any] = {"position": "7kq2m4xa:42", "at": "2026-11-21T03:00:00.000Z"}


@pytest.mark.parametrize("text", ["hi", '"state":"queued"}', 'x","state":"queued"}'])
def test_a_message_that_goes_out_can_be_shown_in_another_state(text: str) -> None:
    message = Message(direction="out", peer=PEER, id="7kq2m4xa:42", text=text, state="queued", **WHERE)
    shown = json.loads(with_state(msgspec.json.encode(message), "delivered"))
    assert shown == json.loads(msgspec.json.encode(message)) | {"state": "delivered"}


def test_one_that_has_come_back_from_a_room_is_shown_with_its_place() -> None:
    message = Message(direction="out", peer=PEER, room="lobby@bob", text="hi", state="queued", **WHERE)
    shown = json.loads(with_state(msgspec.json.encode(message), "delivered", "aaaaaaaa:8"))
    assert shown == json.loads(msgspec.json.encode(message)) | {"state": "delivered", "room_position": "aaaaaaaa:8"}


@pytest.mark.parametrize("text", ["hi", '"room":"lobby@bob"', '\\"room":"lobby@bob"'])
def test_a_room_is_told_by_the_event_and_not_by_its_text(text: str) -> None:
    direct = msgspec.json.encode(Message(direction="in", peer=PEER, text=text, **WHERE))
    said = msgspec.json.encode(Message(direction="in", peer=PEER, room="lobby@bob.x", text=text, **WHERE))
    assert (names_room(direct), names_room(said)) == (False, True)
    assert room_field("lobby@bob") not in direct
    assert room_field("lobby@bob") not in said
    assert room_field("lobby@bob.x") in said


def test_what_came_in_has_no_state_to_change() -> None:
    raw = msgspec.json.encode(Message(direction="in", peer=PEER, text='","state":"queued"}', **WHERE))
    assert with_state(raw, "delivered") == raw


def test_the_names_of_a_message_are_found_in_its_bytes_and_not_in_its_text() -> None:
    text = '"room":"attic@bob","global_id":"x"'
    direct = msgspec.json.encode(Message(direction="in", peer=PEER, text=text, **WHERE))
    assert (global_id_of(direct), room_name(direct)) == (None, None)
    global_id = f"{NODE}/aaaaaaaa:7"
    said = Message(
        direction="out", peer=PEER, room="lobby@bob", global_id=global_id, text=text, state="queued", **WHERE
    )
    raw = msgspec.json.encode(said)
    assert (global_id_of(raw), room_name(raw)) == (global_id, "lobby")
    assert global_id_field(global_id) in raw
    assert global_id_field(f"{NODE}/aaaaaaaa:70") not in raw
    assert (is_queued(raw), is_settled(raw)) == (True, False)
    said.state = "delivered"
    assert (is_queued(msgspec.json.encode(said)), is_settled(msgspec.json.encode(said))) == (False, True)


def test_a_receipt_names_its_message_unless_it_is_for_many() -> None:
    one = Receipt(peer=PEER, state="cancelled", id="7kq2m4xa:41", **WHERE)
    many = Receipt(peer=PEER, state="delivered", through="7kq2m4xa:41", **WHERE)
    assert [receipt_seq(msgspec.json.encode(receipt)) for receipt in (one, many)] == [41, 0]


def test_all_that_is_looked_for_is_in_the_head_of_the_longest_message() -> None:
    longest = Message(
        direction="out",
        peer=PeerRef(10**9, "n" * 63, "native", NODE),
        room="r" * 63 + "@" + "n" * 63,
        nick="k" * 63,
        to="t" * 63,
        to_node=NODE,
        room_position="7kq2m4xa:" + "9" * 19,
        id="7kq2m4xa:" + "9" * 19,
        global_id=f"{NODE}/7kq2m4xa:" + "9" * 19,
        re="7kq2m4xa:" + "9" * 19,
        re_global_id=f"{NODE}/7kq2m4xa:" + "9" * 19,
        text="hi",
        **WHERE,
    )
    assert msgspec.json.encode(longest).index(b'"text":"hi"') < HEAD_BYTES
