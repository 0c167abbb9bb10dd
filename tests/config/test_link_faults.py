import pytest

from chatd.api.results import Impairment
from chatd.config.link_faults import (
    FAULTS,
    PeerFaults,
    format_link_faults,
    format_rate,
    format_share,
    parse_link_faults,
    parse_rate,
    parse_share,
    texts_of_tables,
)
from chatd.config.values import InvalidValue


def test_the_faults_are_those_of_the_record() -> None:
    assert tuple(FAULTS) == Impairment.__struct_fields__


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("64k", 64_000, "64k"),
        ("64K", 64_000, "64k"),
        ("1M", 1_000_000, "1M"),
        ("1.5M", 1_500_000, "1500k"),
        ("2G", 2_000_000_000, "2G"),
        ("64KiB", 65_536, "64KiB"),
        ("1MiB", 1 << 20, "1MiB"),
        ("1234", 1_234, "1234"),
        ("0", 0, "0"),
        ("512kbit", 64_000, "64k"),
        ("8Mbit", 1_000_000, "1M"),
        ("800bit", 100, "100"),
    ],
)
def test_a_rate_is_in_bytes_a_second_or_in_bits(text: str, rate: int, shown: str) -> None:
    assert parse_rate(text) == rate
    assert format_rate(rate) == shown
    assert parse_rate(shown) == rate


@pytest.mark.parametrize("text", ["", "k", "-1", "64 k", "64kb", "1m", "1e3", "64Kib", "inf", "٣", "9" * 400])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "share", "shown"),
    [
        ("5%", 0.05, "5%"),
        ("0.05", 0.05, "5%"),
        ("0.5%", 0.005, "0.5%"),
        (".07", 0.07, "7%"),
        ("0", 0.0, "0%"),
        ("0.9999999999999999", 0.9999999999999999, "0.9999999999999999"),
        ("0.000000001", 1e-9, "1e-09"),
    ],
)
def test_a_share_is_a_percentage_or_a_part_of_one(text: str, share: float, shown: str) -> None:
    assert parse_share(text) == share
    assert format_share(share) == shown
    assert parse_share(shown) == share


@pytest.mark.parametrize("text", ["", "%", "100%", "1", "1.0", "-5%", "5 %", "nan", "5e1", "٣%"])
def test_anything_else_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="is no share"):
        parse_share(text)


@pytest.mark.parametrize(
    ("text", "out", "in_", "shown"),
    [
        ("bob delay=200ms", {"delay": 0.2}, {"delay": 0.2}, "bob delay=200ms"),
        ("bob  cut=yes loss=0.05", {"loss": 0.05, "cut": True}, {"loss": 0.05, "cut": True}, "bob loss=5% cut"),
        ("bob out.rate=1000", {"rate": 1000}, {}, "bob out.rate=1k"),
        ("bob in.cut out.flap=90", {"flap": 90.0}, {"cut": True}, "bob in.cut out.flap=90s"),
        ("bob in.cut=no cut", {"cut": True}, {"cut": False}, "bob out.cut in.cut=no"),
        ("* out.delay=1 in.delay=1000ms", {"delay": 1.0}, {"delay": 1.0}, "* delay=1s"),
        ("[::1]:7420 delay=0", {"delay": 0.0}, {"delay": 0.0}, "[::1]:7420 delay=0s"),
    ],
)
def test_a_link_is_a_peer_with_its_faults_of_both_directions_or_of_one(
    text: str, out: dict[str, float], in_: dict[str, float], shown: str
) -> None:
    setting = parse_link_faults(text)
    assert setting == PeerFaults(text.split()[0], out, in_)
    assert format_link_faults(setting) == shown
    assert parse_link_faults(shown) == setting


def test_what_is_said_of_one_direction_wins_there_wherever_it_stands() -> None:
    first, last = parse_link_faults("bob in.delay=1s delay=2s"), parse_link_faults("bob delay=2s in.delay=1s")
    assert first == last == PeerFaults("bob", {"delay": 2.0}, {"delay": 1.0})


def test_tables_are_texts() -> None:
    tables = {"bob": {"delay": "200ms", "out": {"delay": 1, "cut": True}}, "*": {"rate": "1M"}}
    assert texts_of_tables(tables) == ["bob out.delay=1s in.delay=200ms out.cut", "* rate=1M"]


@pytest.mark.parametrize("peer", ["", "7", "a b", "a,b", "a=b", "a\nb", "x" * 301])
def test_what_cannot_stand_before_faults_is_no_peer(peer: str) -> None:
    with pytest.raises(InvalidValue, match=r"is not a valid peer \(use a name"):
        texts_of_tables({peer: {"cut": True}})
