"""The consensus core: plain classes, no clock, no disk, no socket, no randomness of its own.
 Read in this order: `types`, `messages`, `quorum`, `log_view`, `progress`, `election`, `replication`,
`ready`, `raft`.
"""
