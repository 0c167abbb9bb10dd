"""Faults made on purpose: delay, loss, rate limits and cuts of links."""
