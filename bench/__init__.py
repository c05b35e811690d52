"""Measures what the sidecar costs, side by side with what could stand in its place: ``python -m bench``."""
