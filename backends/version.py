"""The version of this Tekton."""

VERSION = "0.1.0"
