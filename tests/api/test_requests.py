from typing import Any

import msgspec
import pytest

from chatd.api import requests


def read(text: str, kind: Any) -> Any:
    return msgspec.json.decode(text.encode(), type=kind)


def test_python_words_are_spelled_as_flags() -> None:
    assert read('{"from":"start"}', requests.Subscribe).from_ == "start"
    assert read('{"from":{"last":3}}', requests.History).from_ == requests.From(last=3)
    assert read('{"for":"ready"}', requests.Wait) == requests.Wait("ready")


def test_a_peer_is_a_slot_or_a_text() -> None:
    assert read('{"peer":0,"text":"hi"}', requests.Send) == requests.Send(0, "hi")
    assert read('{"peer":"bob"}', requests.ByPeer) == requests.ByPeer("bob")


def test_what_is_left_out_has_the_value_of_the_flag() -> None:
    assert read('{"host":"bob"}', requests.Connect) == requests.Connect("bob", 7420, False, False, None)
    assert read("{}", requests.Subscribe) == requests.Subscribe("now", None)
    assert read("{}", requests.History) == requests.History(None, None, 100, None)
    assert read("{}", requests.List) == requests.List(False)


def test_unknown_fields_are_ignored_but_not_where_they_would_change_what_is_read() -> None:
    assert read('{"peer":1,"later":2}', requests.ByPeer) == requests.ByPeer(1)
    assert read('{"x":1}', requests.Nothing) == requests.Nothing()
    for kind in (requests.From, requests.Filter):
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            read('{"later":1}', kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"peer":1.5,"text":"hi"}', requests.Send),
        ('{"peer":null}', requests.ByPeer),
        ('{"peer":true}', requests.ByPeer),
        ('{"text":"hi"}', requests.Send),
        ('{"peer":1,"text":7}', requests.Send),
        ('{"host":"bob","port":"7420"}', requests.Connect),
        ('{"from":7}', requests.Subscribe),
        ("[]", requests.Nothing),
    ],
)
def test_parameters_of_another_type_are_refused(text: str, kind: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(text, kind)
