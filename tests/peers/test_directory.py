import pytest

from chatd.api.errors import ControlError
from chatd.peers.directory import Directory
from tests.harness.parts import BOB, lone_peer


def test_a_peer_is_there_under_what_it_is_called_now_and_nothing_else() -> None:
    directory = Directory()
    peer = lone_peer(7, 3, "native", "10.0.0.2:7420", None, "10.0.0.2:7420")
    directory.add(peer)
    assert directory.by_name("10.0.0.2:7420") == [peer]
    assert directory.by_node(BOB) is None
    peer.rename("bob", BOB, pinned=True)
    directory.add(peer)
    assert (directory.by_name("bob"), directory.by_name("10.0.0.2:7420")) == ([peer], [])
    assert directory.by_node(BOB) is directory.by_slot(3) is directory.find(BOB) is peer
    assert list(directory) == [peer]


def test_a_whole_node_id_is_never_a_name() -> None:
    directory = Directory()
    directory.add(lone_peer(7, 3, "native", BOB, "c" * 52, None))  # as a journal of an older chatd may have it
    with pytest.raises(ControlError) as refused:
        directory.find(BOB)
    assert refused.value.kind == "unknown_peer"
    bob = lone_peer(8, 4, "native", "bob", BOB, None)
    directory.add(bob)
    assert directory.find(BOB) is bob
    directory.remove(bob)
    assert directory.with_prefix("k3v7") == []


def test_a_dropped_peer_is_not_there_and_another_one_in_its_slot_is_not_it() -> None:
    directory = Directory()
    peer, other = lone_peer(7, 3, "native", "bob", BOB, None), lone_peer(8, 3, "plain", "x:1", None, "x:1")
    directory.add(peer)
    assert peer in directory
    directory.remove(peer)
    directory.add(other)
    assert peer not in directory
    assert other in directory
    assert directory.by_node(BOB) is None
    assert directory.by_name("bob") == []


@pytest.mark.parametrize("spec", ["0" * 19 + "1", "3" + "0" * 19, "0" * 6000])
def test_more_digits_than_a_slot_has_are_nobody(spec: str) -> None:
    directory = Directory()
    for slot in (0, 1, 3 * 10**18):
        directory.add(lone_peer(slot, slot, "plain", f"x:{slot}", None, f"x:{slot}"))
    with pytest.raises(ControlError) as refused:
        directory.find(spec)
    assert refused.value.kind == "unknown_peer"
    assert directory.find("0" * 18 + "1").slot == 1
