"""What the node knows and decides. No sockets, no nurseries, no timers."""
