"""The public gRPC API, as generated from the .proto files beside this one."""
