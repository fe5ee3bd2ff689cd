"""Named terminals that outlive everything: they host programs, and take messages."""
