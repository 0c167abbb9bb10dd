"""Links to other chatd nodes: TLS, frames in both directions."""
