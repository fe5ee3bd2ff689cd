"""The directory of what is up, and the event bus."""
