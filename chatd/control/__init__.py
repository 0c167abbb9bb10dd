"""The trio tasks on the Unix control socket: sessions, requests, subscriptions."""
