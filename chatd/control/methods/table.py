"""METHODS, the table of all methods: name, parameters, result, handler, help. The names are the verbs of chatctl."""

from chatd.api import network, params, results
from chatd.control.methods import (
    consumers,
    discover,
    events,
    health,
    history,
    link_faults,
    messages,
    node,
    peers,
    ping,
    room_say,
    rooms,
    topology,
    trace,
    wait,
)
from chatd.control.methods.method import Method

METHODS: dict[str, Method] = {
    "send": Method(
        params.Send,
        results.Sent,
        messages.send,
        "Send a text to a peer; answered when it is on disk",
        messages.send_many,
    ),
    "reply": Method(params.Reply, results.Sent, messages.reply, "Answer a message, by its id"),
    "ask": Method(params.Ask, results.Answer, messages.ask, "Send a text, and wait for the reply to exactly it"),
    "msg": Method(params.ById, results.Found, messages.msg, "One message, with the state it has now", writes=False),
    "trace": Method(
        params.Trace, network.Traced, trace.trace, "The life of a message, with times at both ends", writes=False
    ),
    "tally": Method(
        params.Tally,
        network.Tallied,
        trace.tally,
        "How many messages of a range a peer has, as it counts them",
        writes=False,
    ),
    "cancel": Method(params.ById, results.Cancelled, messages.cancel, "Take back a message that is not delivered"),
    "history": Method(
        params.History, results.HistoryPage, history.history, "Read past events, oldest first", writes=False
    ),
    "connect": Method(params.Connect, results.PeerResult, peers.connect, "Connect to a peer; native peers stay wished"),
    "terminate": Method(
        params.ByPeer, results.Terminated, peers.terminate, "Deliver what waits, then end a connection"
    ),
    "list": Method(params.List, results.PeerList, peers.list_peers, "All peers, in slot order", writes=False),
    "peer.accept": Method(params.ByPeer, results.PeerResult, peers.accept, "Let a peer talk to this node"),
    "peer.deny": Method(params.ByPeer, results.PeerResult, peers.deny, "Keep a peer out, and cut its link"),
    "peer.forget": Method(params.ByPeer, results.PeerResult, peers.forget, "End the name, slot and wish of a peer"),
    "peer.rename": Method(params.Rename, results.PeerResult, peers.rename, "Give a peer another name, for good"),
    "room.host": Method(params.RoomHost, results.RoomResult, rooms.host, "Have a room here, and be in it"),
    "room.join": Method(params.Join, results.RoomResult, rooms.join, "Be in a room, once its host agrees"),
    "room.leave": Method(params.ByRoom, results.RoomResult, rooms.leave, "Be in a room no longer"),
    "room.say": Method(
        params.RoomSay,
        results.Sent,
        room_say.say,
        "Say something in a room, or to one who is in it; answered when it is on disk",
        room_say.say_many,
    ),
    "room.users": Method(
        params.RoomUsers, results.UserList, rooms.users, "Who is in a room, in the order they came", writes=False
    ),
    "room.topic": Method(
        params.Topic,
        results.RoomResult,
        rooms.topic,
        "Tell the topic of a room, or set it",
        writes=lambda params: params.text is not None,
    ),
    "room.kick": Method(params.RoomMember, results.RoomResult, rooms.kick, "Have somebody leave a room of this node"),
    "room.ban": Method(params.RoomMember, results.RoomResult, rooms.ban, "Kick somebody, and do not let them back"),
    "room.unban": Method(params.RoomMember, results.RoomResult, rooms.unban, "Let somebody back who was banned"),
    "room.list": Method(
        params.Nothing, results.RoomList, rooms.list_rooms, "All rooms here and elsewhere, by name", writes=False
    ),
    "room.close": Method(params.ByRoom, results.RoomResult, rooms.close, "End a room of this node"),
    "subscribe": Method(
        params.Subscribe,
        results.Subscribed,
        events.subscribe,
        "Get events, from a start on",
        writes=lambda params: params.as_ is not None,
    ),
    "unsubscribe": Method(params.Unsubscribe, results.Empty, events.unsubscribe, "End a subscription", writes=False),
    "ack": Method(params.Ack, results.Acked, consumers.ack, "A consumer has done everything up to a position"),
    "consumers": Method(
        params.Nothing, results.ConsumerList, consumers.consumers, "All named consumers, by name", writes=False
    ),
    "consumer.remove": Method(params.ByConsumer, results.Acked, consumers.remove, "Forget a consumer and its position"),
    "wait": Method(
        params.Wait,
        results.Waited,
        wait.wait,
        "Wait until it is so: a peer is up, a message delivered, …",
        writes=False,
    ),
    "ping": Method(
        params.Ping, network.Pinged, ping.ping, "Ask the daemon of a native peer for an answer", writes=False
    ),
    "topo": Method(
        params.Topo, network.Topology, topology.topo, "Who is connected with whom, all over the network", writes=False
    ),
    "link": Method(
        params.Link,
        network.LinkList,
        link_faults.link,
        "What links suffer on purpose: show it, or change it",
        writes=False,
    ),
    "status": Method(params.Nothing, results.Status, node.status, "All about this node", writes=False),
    "whoami": Method(params.Nothing, results.Whoami, node.whoami, "Name and node id", writes=False),
    "myip": Method(
        params.Nothing, results.MyIp, node.myip, "The address at which others reach this node", writes=False
    ),
    "myport": Method(params.Nothing, results.MyPort, node.myport, "The port of the first listener", writes=False),
    "health": Method(params.Nothing, results.Health, health.health, "Whether this node can do its work", writes=False),
    "shutdown": Method(
        params.Nothing, results.Empty, node.shutdown, "Close all connections and end the daemon", writes=False
    ),
    "rpc.discover": Method(
        params.Nothing, discover.Discovery, discover.discover, "This list, with schemas (OpenRPC)", writes=False
    ),
}
