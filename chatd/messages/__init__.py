"""Every decision about a message. No sockets, nurseries or timers."""
