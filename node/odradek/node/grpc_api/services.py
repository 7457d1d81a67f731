"""Every servicer of the gRPC door, in one list: what this node serves there."""

from __future__ import annotations

from odradek.node.config import NodeConfig
from odradek.node.grpc_api.log_service import LogServicer
from odradek.node.grpc_api.methods import Servicer
from odradek.node.services import Services


def servicers(services: Services, config: NodeConfig) -> list[Servicer]:
    return [
        LogServicer(
            services.produce,
            services.fetch,
            services.list_offsets,
            services.metadata,
            services.cluster,
            services.producer_ids,
        ),
    ]
