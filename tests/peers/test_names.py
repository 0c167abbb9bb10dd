import pytest

from chatd.peers.names import begins_an_id, is_node_id, reads_as_other, starting, unmet, with_id
from tests.harness.parts import BOB, CAROL

IDS = sorted([BOB, CAROL, "k3v7" + "z" * 48])


@pytest.mark.parametrize("name", ["7", "007", "10.0.0.1", "127.1", "0x7f.1", "bob:7420", "::1", BOB])
def test_a_name_that_reads_as_a_slot_an_address_or_an_id_is_none(name: str) -> None:
    assert reads_as_other(name)


@pytest.mark.parametrize("name", ["bob", "bob.example.com", "k3v7abcd", BOB[:51], f"{BOB}a", BOB.upper(), "node-7"])
def test_every_other_name_is_one(name: str) -> None:
    assert not reads_as_other(name)


def test_four_letters_or_more_may_begin_an_id() -> None:
    begun = [
        start for start in ("k3v", "k3v7", "k3v7a", BOB, "k3v8", "bbbb", "k3v7-", "zzzz") if begins_an_id(start, IDS)
    ]
    assert begun == ["k3v7", "k3v7a", BOB]
    assert not begins_an_id("k3v7", [])


def test_ids_with_the_same_beginning_are_found_in_order() -> None:
    assert list(starting(IDS, "k3v7")) == [BOB, "k3v7" + "z" * 48]
    assert list(starting(IDS, "cccc")) == [CAROL]
    assert list(starting(IDS, "zzzz")) == []


def test_a_name_with_an_id_has_as_much_of_it_as_it_takes() -> None:
    taken = {"bob~k3v7abcd", "bob~k3v7abcdb", "k3v7abcdbbbb"}
    assert with_id("bob", CAROL, taken.__contains__) == "bob~cccccccc"
    assert with_id("bob", BOB, taken.__contains__) == "bob~k3v7abcdbb"
    assert unmet(BOB, taken.__contains__) == "k3v7abcdbbbbb"
    assert with_id("bob", BOB, lambda _: True) == f"bob~{BOB}"


def test_a_node_id_has_a_shape() -> None:
    assert is_node_id(BOB)
    for other in ("", BOB[:51], f"{BOB}b", BOB.upper(), "1" * 52, f"{BOB[:51]}\n"):
        assert not is_node_id(other)
