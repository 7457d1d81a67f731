"""Consensus: a pure core (`core/`) and the shell that gives it a disk, a transport and a loop (`host`,
`group`, `wal`)."""
