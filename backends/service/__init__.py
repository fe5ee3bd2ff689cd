"""The one pattern that every service follows."""
