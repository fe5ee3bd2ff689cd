"""The AI shell: prompts to Companion Intelligences (CIs) from a shell or a script."""
