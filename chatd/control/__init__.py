"""The trio shells on the Unix socket: sessions, requests, subscriptions."""
