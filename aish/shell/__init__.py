"""The user's own shell with every CI as a command in it: one integration for each kind of shell."""
