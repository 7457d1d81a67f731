"""A run from its command to its verdict: set-up, faults over load, healing, reading everything back, checking."""
