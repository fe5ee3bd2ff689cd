"""The client of every service: asynchronous, with a blocking wrapper."""
