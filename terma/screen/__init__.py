"""Screens: what a terminal shows, worked out from its output in disposable processes."""
