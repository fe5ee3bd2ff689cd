"""One generic CI and the personas it can be."""
