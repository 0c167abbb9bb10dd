"""Links to programs that speak plain text over TCP."""
