"""The control socket as chatctl uses it: sessions, subscriptions, pages."""
