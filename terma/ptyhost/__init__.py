"""The process that holds the terminals: standard library only, and it outlives all others."""
