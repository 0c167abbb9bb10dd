"""`myip`: an address of this machine; loopback only without any other."""

import errno
import ipaddress
import socket

import pytest

from chatd.control import interfaces
from chatd.control.interfaces import reachable


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A machine with the addresses that a test sets."""
    has: dict[str, list[str]] = {"routes": [], "v4": ["127.0.0.1"], "v6": ["::1"]}
    monkeypatch.setattr(interfaces, "_default_routes", lambda: iter(has["routes"]))
    monkeypatch.setattr(interfaces, "_ipv4", lambda: has["v4"])
    monkeypatch.setattr(interfaces, "_ipv6", lambda: has["v6"])
    return has


ANY = ["0.0.0.0", "::"]


def test_the_default_route_comes_first(machine: dict[str, list[str]]) -> None:
    machine["routes"] = ["10.0.0.2", "2606:4700::2"]
    machine["v4"] += ["172.17.0.1", "10.0.0.2"]
    machine["v6"] += ["fe80::1", "fd00::2", "2606:4700::2"]
    expected = ["10.0.0.2", "172.17.0.1", "2606:4700::2", "fd00::2", "fe80::1", "127.0.0.1", "::1"]
    assert reachable(ANY) == expected


def test_loopback_is_the_last_resort(machine: dict[str, list[str]]) -> None:
    assert reachable(ANY)[0] == "127.0.0.1"
    machine["v6"].append("fe80::1")
    assert reachable(ANY)[0] == "fe80::1"


def test_a_machine_without_addresses_has_a_loopback(machine: dict[str, list[str]]) -> None:
    machine["v4"] = machine["v6"] = []
    assert reachable(ANY) == ["127.0.0.1"]


def test_only_what_is_listened_on_can_be_reached(machine: dict[str, list[str]]) -> None:
    machine["routes"] = ["10.0.0.2"]
    machine["v6"].append("2606:4700::2")
    assert reachable(["192.168.1.5"]) == ["192.168.1.5"]
    assert reachable(["127.0.0.1", "192.168.1.5"]) == ["192.168.1.5"]
    assert reachable(["0.0.0.0", "fd00::7"])[:1] == ["10.0.0.2"]
    assert reachable(["0.0.0.0"]) == ["10.0.0.2", "127.0.0.1"]
    assert reachable(["::"]) == ["2606:4700::2", "::1"]


def test_a_node_on_loopback_alone_still_says_where_the_machine_is(machine: dict[str, list[str]]) -> None:
    machine["routes"] = ["10.0.0.2"]
    assert reachable(["127.0.0.1"])[0] == "10.0.0.2"


def test_on_this_machine_every_address_can_be_bound() -> None:
    for address in reachable(ANY):
        version = ipaddress.ip_address(address).version
        if ipaddress.ip_address(address).is_link_local:
            continue
        with socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6) as probe:
            probe.bind((address, 0))


def test_every_address_of_the_kernel_is_found() -> None:
    names = {name for _, name in socket.if_nameindex()}
    assert "127.0.0.1" in interfaces._ipv4() or "lo" not in names
    assert interfaces._ipv4(rows=1) == interfaces._ipv4()


def test_a_kernel_without_ipv6_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "IF_INET6", "/nonexistent")
    assert interfaces._ipv6() == []


def test_no_route_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoRoute(socket.socket):
        def connect(self, address: object) -> None:
            raise OSError(errno.ENETUNREACH, "no route")

    monkeypatch.setattr(socket, "socket", NoRoute)
    assert list(interfaces._default_routes()) == []
