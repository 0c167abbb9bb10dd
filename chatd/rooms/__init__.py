"""Hosted and joined rooms. No sockets, nurseries or timers."""
