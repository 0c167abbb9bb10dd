import inspect
from types import ModuleType

import msgspec
import pytest

from chatd.api import network, params, results

# What clients rely on: fields are only ever added.
CONTRACT = {
    "PeerRef": "slot name kind node",
    "PeerRecord": "slot name kind node address direction state since reason rtt_ms queued received sent desired trust "
    "dialect faults cloned",
    "PeerList": "peers",
    "PeerResult": "peer",
    "Terminated": "peer queued",
    "Sent": "id state peer room",
    "Found": "message",
    "Cancelled": "id state",
    "Answer": "id answer",
    "ConsumerRecord": "name position lag held last_seen filter",
    "ConsumerList": "consumers",
    "Acked": "consumer position",
    "RoomRecord": "room host hosted nick topic users state",
    "RoomList": "rooms",
    "RoomResult": "room",
    "UserRecord": "nick kind node here address",
    "UserList": "room topic users fresh",
    "PeerCounts": "up dialing down pending",
    "JournalStatus": "path synchronous schema position bytes full oldest owed owed_bytes",
    "Status": "node name epoch version pid listen socket state uptime_s security trust plain peers rooms room_ports "
    "sessions journal faults",
    "Whoami": "name node",
    "MyIp": "ip all",
    "MyPort": "port",
    "Health": "healthy problems warnings",
    "Waited": "peers",
    "Subscribed": "subscription position after snapshot",
    "Empty": "",
    "HistoryPage": "events next",
    "TopologyLink": "node name state rtt_ms",
    "TopologyNode": "node name status hops plain links",
    "Topology": "nodes complete elapsed_ms",
    "Impairment": "delay jitter loss rate cut flap",
    "LinkFaults": "out in until",
    "FaultsStatus": "allowed peers",
    "Measured": "bytes segments resent delay_s rate",
    "LinkRecord": "peer state faults out in",
    "LinkList": "allowed default links",
    "Pinged": "peer rtt_ms clock_ms",
    "Step": "step node here done at at_here consumer after_ms",
    "Traced": "id direction peer room steps clock_ms clock_error_ms silent room_position",
    "Tallied": "peer messages distinct",
}


def structs(module: ModuleType) -> dict[str, type[msgspec.Struct]]:
    found = inspect.getmembers(module, lambda each: inspect.isclass(each) and issubclass(each, msgspec.Struct))
    return {name: each for name, each in found if each.__module__ == module.__name__}


RECORDS = structs(results) | structs(network)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_record_has_the_fields_of_the_contract(name: str) -> None:
    encoded = RECORDS[name].__struct_encode_fields__
    assert set(CONTRACT[name].split()) <= set(encoded)


def test_every_record_is_in_the_contract() -> None:
    assert RECORDS.keys() == CONTRACT.keys()


def test_records_and_requests_cannot_be_changed() -> None:
    for each in [*RECORDS.values(), *structs(params).values()]:
        assert each.__struct_config__.frozen, each


def test_every_record_and_request_says_what_it_is() -> None:
    for each in [*RECORDS.values(), *structs(params).values()]:
        assert each.__doc__, each
