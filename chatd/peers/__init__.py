"""Who the peers are: identity, registry, trust, outboxes. No sockets, nurseries or timers."""
