"""THE table of methods: name, parameters, result, handler, help. A name is a verb of chatctl."""

from chatd.api import records, requests
from chatd.control.methods import (
    consumers,
    discover,
    events,
    health,
    history,
    links,
    messages,
    node,
    peers,
    pinging,
    rooms,
    saying,
    topology,
    tracing,
    waiting,
)
from chatd.control.methods.method import Method

METHODS: dict[str, Method] = {
    "send": Method(
        requests.Send,
        records.Sent,
        messages.send,
        "Send a text to a peer; answered when it is on disk",
        messages.send_many,
    ),
    "reply": Method(requests.Reply, records.Sent, messages.reply, "Answer a message, by its id"),
    "ask": Method(requests.Ask, records.Answer, messages.ask, "Send a text, and wait for the reply to exactly it"),
    "msg": Method(requests.ById, records.Found, messages.msg, "One message, with the state it has now", writes=False),
    "trace": Method(
        requests.Trace, records.Traced, tracing.trace, "The life of a message, with times at both ends", writes=False
    ),
    "tally": Method(
        requests.Tally,
        records.Tallied,
        tracing.tally,
        "How many messages of a range a peer has, as it counts them",
        writes=False,
    ),
    "cancel": Method(requests.ById, records.Cancelled, messages.cancel, "Take back a message that is not delivered"),
    "history": Method(
        requests.History, records.HistoryPage, history.history, "Read past events, oldest first", writes=False
    ),
    "connect": Method(
        requests.Connect, records.PeerResult, peers.connect, "Connect to a peer; native peers stay wished"
    ),
    "terminate": Method(
        requests.ByPeer, records.Terminated, peers.terminate, "Deliver what waits, then end a connection"
    ),
    "list": Method(requests.List, records.PeerList, peers.list_peers, "All peers, in slot order", writes=False),
    "peer.accept": Method(requests.ByPeer, records.PeerResult, peers.accept, "Let a peer talk to this node"),
    "peer.deny": Method(requests.ByPeer, records.PeerResult, peers.deny, "Keep a peer out, and cut its link"),
    "peer.forget": Method(requests.ByPeer, records.PeerResult, peers.forget, "End the name, slot and wish of a peer"),
    "peer.rename": Method(requests.Rename, records.PeerResult, peers.rename, "Give a peer another name, for good"),
    "room.host": Method(requests.RoomHost, records.RoomResult, rooms.host, "Have a room here, and be in it"),
    "room.join": Method(requests.Join, records.RoomResult, rooms.join, "Be in a room, once its host agrees"),
    "room.leave": Method(requests.ByRoom, records.RoomResult, rooms.leave, "Be in a room no longer"),
    "room.say": Method(
        requests.RoomSay,
        records.Sent,
        saying.say,
        "Say something in a room, or to one who is in it; answered when it is on disk",
        saying.say_many,
    ),
    "room.users": Method(
        requests.RoomUsers, records.UserList, rooms.users, "Who is in a room, in the order they came", writes=False
    ),
    "room.topic": Method(
        requests.Topic,
        records.RoomResult,
        rooms.topic,
        "Tell the topic of a room, or set it",
        writes=lambda params: params.text is not None,
    ),
    "room.kick": Method(requests.RoomMember, records.RoomResult, rooms.kick, "Have somebody leave a room of this node"),
    "room.ban": Method(requests.RoomMember, records.RoomResult, rooms.ban, "Kick somebody, and do not let them back"),
    "room.unban": Method(requests.RoomMember, records.RoomResult, rooms.unban, "Let somebody back who was banned"),
    "room.list": Method(
        requests.Nothing, records.RoomList, rooms.list_rooms, "All rooms here and elsewhere, by name", writes=False
    ),
    "room.close": Method(requests.ByRoom, records.RoomResult, rooms.close, "End a room of this node"),
    "subscribe": Method(
        requests.Subscribe,
        records.Subscribed,
        events.subscribe,
        "Get events, from a start on",
        writes=lambda params: params.as_ is not None,
    ),
    "unsubscribe": Method(requests.Unsubscribe, records.Empty, events.unsubscribe, "End a subscription", writes=False),
    "ack": Method(requests.Ack, records.Acked, consumers.ack, "A consumer has done everything up to a position"),
    "consumers": Method(
        requests.Nothing, records.ConsumerList, consumers.consumers, "All named consumers, by name", writes=False
    ),
    "consumer.remove": Method(
        requests.ByConsumer, records.Acked, consumers.remove, "Forget a consumer and its position"
    ),
    "wait": Method(
        requests.Wait,
        records.Waited,
        waiting.wait,
        "Wait until it is so: a peer is up, a message delivered, …",
        writes=False,
    ),
    "ping": Method(
        requests.Ping, records.Pinged, pinging.ping, "Ask the daemon of a native peer for an answer", writes=False
    ),
    "topo": Method(
        requests.Topo, records.Topology, topology.topo, "Who is connected with whom, all over the network", writes=False
    ),
    "link": Method(
        requests.Link, records.LinkList, links.link, "What links suffer on purpose: show it, or change it", writes=False
    ),
    "status": Method(requests.Nothing, records.Status, node.status, "All about this node", writes=False),
    "whoami": Method(requests.Nothing, records.Whoami, node.whoami, "Name and node id", writes=False),
    "myip": Method(
        requests.Nothing, records.MyIp, node.myip, "The address at which others reach this node", writes=False
    ),
    "myport": Method(requests.Nothing, records.MyPort, node.myport, "The port of the first listener", writes=False),
    "health": Method(
        requests.Nothing, records.Health, health.health, "Whether this node can do its work", writes=False
    ),
    "shutdown": Method(
        requests.Nothing, records.Empty, node.shutdown, "Close all connections and end the daemon", writes=False
    ),
    "rpc.discover": Method(
        requests.Nothing, discover.Discovery, discover.discover, "This list, with schemas (OpenRPC)", writes=False
    ),
}
