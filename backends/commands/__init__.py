"""The commands of `tekton`, one module for each thing that they are about."""
