"""What terminals have shown: read, played, and written to files."""
