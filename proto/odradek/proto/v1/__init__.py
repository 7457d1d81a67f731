"""The public gRPC API and the services between nodes: *.proto, and beside each the module that
proto/tools/compile_protos.py makes of it."""
