from typing import Any

import msgspec
import pytest

from chatd.api import params


def read(text: str, kind: Any) -> Any:
    return msgspec.json.decode(text.encode(), type=kind)


def test_python_words_are_spelled_as_flags() -> None:
    assert read('{"from":"start"}', params.Subscribe).from_ == "start"
    assert read('{"from":{"last":3}}', params.History).from_ == params.From(last=3)
    assert read('{"for":"ready"}', params.Wait) == params.Wait("ready")


def test_a_peer_is_a_slot_or_a_text() -> None:
    assert read('{"peer":0,"text":"hi"}', params.Send) == params.Send(0, "hi")
    assert read('{"peer":"bob"}', params.ByPeer) == params.ByPeer("bob")


def test_what_is_left_out_has_the_value_of_the_flag() -> None:
    assert read('{"host":"bob"}', params.Connect) == params.Connect("bob", 7420, False, False, None)
    assert read("{}", params.Subscribe) == params.Subscribe("now", None)
    assert read("{}", params.History) == params.History(None, None, 100, None)
    assert read("{}", params.List) == params.List(False)


def test_unknown_fields_are_ignored_but_not_where_they_would_change_what_is_read() -> None:
    assert read('{"peer":1,"later":2}', params.ByPeer) == params.ByPeer(1)
    assert read('{"x":1}', params.Nothing) == params.Nothing()
    for kind in (params.From, params.Filter):
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            read('{"later":1}', kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"peer":1.5,"text":"hi"}', params.Send),
        ('{"peer":null}', params.ByPeer),
        ('{"peer":true}', params.ByPeer),
        ('{"text":"hi"}', params.Send),
        ('{"peer":1,"text":7}', params.Send),
        ('{"host":"bob","port":"7420"}', params.Connect),
        ('{"from":7}', params.Subscribe),
        ("[]", params.Nothing),
    ],
)
def test_parameters_of_another_type_are_refused(text: str, kind: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(text, kind)
