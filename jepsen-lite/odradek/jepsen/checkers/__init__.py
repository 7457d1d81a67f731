"""What a history must not show: pure functions from a history to anomalies, with Jepsen's names."""
