"""The gateway: one door to every CI and service."""
