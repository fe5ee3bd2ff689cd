"""One module for each revision; a published one never changes."""
