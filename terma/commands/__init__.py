"""The verbs of `terma`, a module each, loaded only when used."""
