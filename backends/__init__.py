"""The client layer that every front end shares, and the services behind it."""
