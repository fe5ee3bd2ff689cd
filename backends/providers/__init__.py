"""Model providers: each turns a prompt into a stream of text."""
