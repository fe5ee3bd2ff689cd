"""A conversation with one CI or several at a terminal."""
