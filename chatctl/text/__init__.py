"""Input and output text: printing, escaping, formats, and values such as durations and rates."""
