"""A person's own terminal, joined to a named one."""
