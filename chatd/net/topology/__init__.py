"""Who is connected with whom across the network."""
