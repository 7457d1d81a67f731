"""A TCP proxy that makes links slow and lossy and holds back single requests."""
