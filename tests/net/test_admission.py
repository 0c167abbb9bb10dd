"""Where connections come from: the bounds of one public address."""

import pytest

from chatd.net.admission import MOST_HOSTS, WINDOW_S, SourceLimits
from tests.harness.linked_node import config_of


def test_a_public_address_has_so_many_links_at_a_time() -> None:
    sources = SourceLimits(config_of(links_per_address=2, dials_per_address=100))
    assert [sources.enter("8.8.8.8", 0) for _ in range(3)] == [True, True, False]
    assert sources.enter("8.8.4.4", 0)
    sources.leave("8.8.8.8")
    assert sources.enter("8.8.8.8", 0)
    assert not sources.enter("8.8.8.8", 0)


def test_a_public_address_has_so_many_new_links_in_ten_minutes() -> None:
    sources = SourceLimits(config_of(links_per_address=100, dials_per_address=2))
    for now in (0.0, 100.0):
        assert sources.enter("2001:4860::1", now)
        sources.leave("2001:4860::1")
    assert not sources.enter("2001:4860::1", 599.0)
    assert sources.enter("2001:4860::1", 600.0)
    assert not sources.enter("2001:4860::1", 699.0)
    assert sources.enter("2001:4860::1", 700.0)


def test_addresses_are_forgotten_with_their_last_link_and_the_ten_minutes() -> None:
    sources = SourceLimits(config_of())
    for number in range(200):
        host = f"8.8.0.{number}"
        assert sources.enter(host, 0.0)
        sources.leave(host)
    assert sources.enter("8.8.8.8", WINDOW_S)
    assert list(sources._recent) == list(sources._open) == ["8.8.8.8"]


def test_of_too_many_addresses_the_one_that_was_quiet_for_longest_is_forgotten() -> None:
    sources = SourceLimits(config_of(links_per_address=100, dials_per_address=2))
    for host in ("8.8.8.8", "8.8.4.4", "8.8.8.8"):
        assert sources.enter(host, 0.0)
    for number in range(MOST_HOSTS - 1):
        assert sources.enter(f"2a00:1::{number:x}", 1.0)
    assert len(sources._recent) == MOST_HOSTS
    assert "8.8.4.4" not in sources._recent
    assert not sources.enter("8.8.8.8", 2.0)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "fd00::1", "fe80::1%eth0"]
)
def test_this_machine_and_private_networks_have_no_such_bound(host: str) -> None:
    sources = SourceLimits(config_of(links_per_address=1, dials_per_address=1))
    assert all(sources.enter(host, 0.0) for _ in range(50))
    sources.leave(host)
    assert not sources._open
    assert not sources._recent
