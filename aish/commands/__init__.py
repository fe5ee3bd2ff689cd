"""One module for each verb of aish, loaded when it is used, and the prompt, which has none."""
