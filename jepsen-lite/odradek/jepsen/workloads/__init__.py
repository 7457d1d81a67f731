"""What clients do: operations, and the processes that carry them out through real clients."""
