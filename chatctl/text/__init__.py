"""Text in and out: printing, escaping, formats, and values as users write them."""
