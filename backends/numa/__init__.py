"""The resource monitor: answers from live facts."""
