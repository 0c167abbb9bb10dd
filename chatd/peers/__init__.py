"""The trio shells on the network side: listeners, handshakes, links, dialers."""
