"""A broker's own description as Kafka's registration request. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from odradek.node.controller.image import BrokerImage
from odradek.proto.kafka.messages.controller import BrokerRegistrationRequest

SECURITY_PROTOCOLS: Final[Mapping[str, int]] = {"PLAINTEXT": 0, "SSL": 1, "SASL_PLAINTEXT": 2, "SASL_SSL": 3}


def registration_request(cluster_id: str, broker: BrokerImage) -> BrokerRegistrationRequest:
    """`broker.epoch` of an earlier life, or -1, is sent as the previous one."""
    return BrokerRegistrationRequest(
        broker_id=broker.broker_id,
        cluster_id=cluster_id,
        incarnation_id=broker.incarnation_id,
        listeners=[
            BrokerRegistrationRequest.Listener(
                name=name,
                host=endpoint.host,
                port=endpoint.port,
                security_protocol=SECURITY_PROTOCOLS[endpoint.security_protocol],
            )
            for name, endpoint in broker.endpoints.items()
        ],
        rack=broker.rack,
        log_dirs=list(broker.directories),
        previous_broker_epoch=broker.epoch,
    )
