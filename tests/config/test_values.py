import pytest

from chatd.config.values import (
    ROOM_PORTS,
    RoomPort,
    format_address,
    format_duration,
    format_room_port,
    format_size,
    is_ip,
    parse_address,
    parse_duration,
    parse_room_port,
    parse_size,
    parse_yes_no,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bob", ("bob", 7420)),
        ("my_host.example.org:1", ("my_host.example.org", 1)),
        ("10.0.0.2:65535", ("10.0.0.2", 65535)),
        ("::1", ("::1", 7420)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ("[::1]", ("::1", 7420)),
    ],
)
def test_an_address_has_a_host_and_maybe_a_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected
    assert parse_address(format_address(*expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(":1", "bob:", "bob:x", "bob:0", "bob:65536", "bob:-1", "bob:+1", "bob: 1", "bob:٣", "1:2:3", "7420", ""),
        *("[bob]:1", "[::1", "[::1]1", "::1\0", "a b", "a/b", "-x", "a@b", "a\0b", "x" * 254),
    ],
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:1234=lobby,dialect=name", RoomPort("0.0.0.0", 1234, "lobby", "name")),
        (" [::1]:0 = the.room-1 , dialect=address ", RoomPort("::1", 0, "the.room-1", "address")),
    ],
)
def test_a_room_port_has_an_address_a_room_and_a_dialect(text: str, expected: RoomPort) -> None:
    assert parse_room_port(text) == expected
    assert parse_room_port(format_room_port(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0:1=lobby", "0.0.0.0:1=lobby,dialect=", "0.0.0.0:1=lobby,dialect=irc", "0.0.0.0:1=lobby,name"),
        *("0.0.0.0=lobby,dialect=name", ":1=lobby,dialect=name", "::1=lobby,dialect=name", "x:01=lobby,dialect=name"),
        *("x:1=Lobby,dialect=name", "x:1=,dialect=name", "x:1,dialect=name", "x:1=7,dialect=name", "lobby", ""),
        *("x:1=lobby,dialect=name,dialect=name", "x:1=lobby,dialect=name,more", "x:65536=lobby,dialect=name"),
    ],
)
def test_a_room_port_needs_all_three(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        parse_room_port(text)


def test_the_dialect_belongs_to_the_element_before_its_comma() -> None:
    assert ROOM_PORTS.split("a:1=x,dialect=name, b:2=y , dialect=address,") == [
        "a:1=x,dialect=name",
        "b:2=y,dialect=address",
    ]
    assert ROOM_PORTS.split("dialect=name,a:1=x") == ["dialect=name", "a:1=x"]


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("200ms", 0.2, "200ms"),
        ("5s", 5.0, "5s"),
        ("2m", 120.0, "2m"),
        ("1h", 3600.0, "1h"),
        ("90", 90.0, "90s"),
        (".5", 0.5, "500ms"),
        ("1.5h", 5400.0, "90m"),
        ("0", 0.0, "0s"),
        ("1e-05", 0.00001, "0.01ms"),
    ],
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float, shown: str) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert format_duration(seconds) == shown
    assert parse_duration(shown) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 s", "-1", "1d", "5S", "nan", "inf", "1_0", "٣", "9" * 400])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration|is too long"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("0", 0, "0"),
        ("100B", 100, "100"),
        ("65536", 65536, "64KiB"),
        ("8MiB", 8 << 20, "8MiB"),
        ("1GiB", 1 << 30, "1GiB"),
    ],
)
def test_a_size_has_a_unit_or_is_in_bytes(text: str, size: int, shown: str) -> None:
    assert parse_size(text) == size
    assert format_size(size) == shown
    assert parse_size(shown) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5MiB", "8MB", "8 MiB", "kib", "٣"])
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "y", "2", "yes ", "enabled", "None"])
def test_a_switch_is_yes_or_no(text: str) -> None:
    assert [parse_yes_no(word) for word in ("yes", "On", "no", "FALSE")] == [True, True, False, False]
    with pytest.raises(ValueError, match="neither yes nor no"):
        parse_yes_no(text)


@pytest.mark.parametrize("text", ["10.0.0.1", "127.1", "0x7f.1", "0x7f000001", "017700000001", "::1", "fe80::1%eth0"])
def test_whatever_a_resolver_takes_for_an_address_is_one(text: str) -> None:
    assert is_ip(text)


@pytest.mark.parametrize(
    "text", ["", "bob", "10.0.0.300", "www.example.com", "0x7g", "1.2.3.4.5", "a\0b", "10.0.0.1:1"]
)
def test_no_other_text_is_an_address(text: str) -> None:
    assert not is_ip(text)
