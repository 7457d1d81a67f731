"""The cluster under test: namespaces, file systems on loop devices, processes; Odradek or Apache Kafka."""
