"""The trio tasks on the network side: listeners, dialer and links."""
