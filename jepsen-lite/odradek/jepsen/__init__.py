"""jepsen-lite: real processes, real sockets, real disks, real faults; histories, checkers and a verdict."""
