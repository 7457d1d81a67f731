"""Faults: what is broken, where, when, and how it is healed."""
