from odradek.node.controller.image import BrokerImage, Endpoint
from odradek.node.interbroker.registration import registration_request


def test_a_broker_describes_itself() -> None:
    broker = BrokerImage(
        3, -1, b"i" * 16, {"A": Endpoint("h", 9092, "SASL_SSL")}, "r", directories=(b"d" * 16,)
    )
    request = registration_request("c", broker)
    assert (request.broker_id, request.cluster_id, request.incarnation_id) == (3, "c", b"i" * 16)
    assert (request.rack, request.log_dirs, request.previous_broker_epoch) == ("r", [b"d" * 16], -1)
    (listener,) = request.listeners
    assert (listener.name, listener.host, listener.port, listener.security_protocol) == ("A", "h", 9092, 3)
