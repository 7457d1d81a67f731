"""Derived from kafka-clients-4.4.0 by `proto/tools/derive_messages.py`: the index.

What `odradek.proto.kafka.api` must know of a message without importing its module. Do not edit.
"""

from enum import IntEnum

from odradek.proto.kafka.schema import NO_VERSION


class ApiKey(IntEnum):
    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    ALTER_REPLICA_LOG_DIRS = 34
    DESCRIBE_LOG_DIRS = 35
    SASL_AUTHENTICATE = 36
    CREATE_PARTITIONS = 37
    CREATE_DELEGATION_TOKEN = 38
    RENEW_DELEGATION_TOKEN = 39
    EXPIRE_DELEGATION_TOKEN = 40
    DESCRIBE_DELEGATION_TOKEN = 41
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    OFFSET_DELETE = 47
    DESCRIBE_CLIENT_QUOTAS = 48
    ALTER_CLIENT_QUOTAS = 49
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50
    ALTER_USER_SCRAM_CREDENTIALS = 51
    VOTE = 52
    BEGIN_QUORUM_EPOCH = 53
    END_QUORUM_EPOCH = 54
    DESCRIBE_QUORUM = 55
    ALTER_PARTITION = 56
    UPDATE_FEATURES = 57
    ENVELOPE = 58
    FETCH_SNAPSHOT = 59
    DESCRIBE_CLUSTER = 60
    DESCRIBE_PRODUCERS = 61
    BROKER_REGISTRATION = 62
    BROKER_HEARTBEAT = 63
    UNREGISTER_BROKER = 64
    DESCRIBE_TRANSACTIONS = 65
    LIST_TRANSACTIONS = 66
    ALLOCATE_PRODUCER_IDS = 67
    CONSUMER_GROUP_HEARTBEAT = 68
    CONSUMER_GROUP_DESCRIBE = 69
    CONTROLLER_REGISTRATION = 70
    GET_TELEMETRY_SUBSCRIPTIONS = 71
    PUSH_TELEMETRY = 72
    ASSIGN_REPLICAS_TO_DIRS = 73
    LIST_CONFIG_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75
    SHARE_GROUP_HEARTBEAT = 76
    SHARE_GROUP_DESCRIBE = 77
    SHARE_FETCH = 78
    SHARE_ACKNOWLEDGE = 79
    ADD_RAFT_VOTER = 80
    REMOVE_RAFT_VOTER = 81
    UPDATE_RAFT_VOTER = 82
    INITIALIZE_SHARE_GROUP_STATE = 83
    READ_SHARE_GROUP_STATE = 84
    WRITE_SHARE_GROUP_STATE = 85
    DELETE_SHARE_GROUP_STATE = 86
    READ_SHARE_GROUP_STATE_SUMMARY = 87
    STREAMS_GROUP_HEARTBEAT = 88
    STREAMS_GROUP_DESCRIBE = 89
    DESCRIBE_SHARE_GROUP_OFFSETS = 90
    ALTER_SHARE_GROUP_OFFSETS = 91
    DELETE_SHARE_GROUP_OFFSETS = 92
    STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE = 93
    UNREGISTER_CONTROLLER = 94


# key: name, family module, first version, last version, first flexible version, last one unstable
INDEX: dict[int, tuple[str, str, int, int, int, bool]] = {
    0: ("Produce", "produce", 3, 13, 9, False),
    1: ("Fetch", "fetch", 4, 18, 12, False),
    2: ("ListOffsets", "list_offsets", 1, 11, 6, False),
    3: ("Metadata", "metadata", 0, 13, 9, False),
    8: ("OffsetCommit", "offsets", 2, 10, 8, False),
    9: ("OffsetFetch", "offsets", 1, 10, 6, False),
    10: ("FindCoordinator", "coordinator", 0, 6, 3, False),
    11: ("JoinGroup", "classic_group", 0, 9, 6, False),
    12: ("Heartbeat", "classic_group", 0, 4, 4, False),
    13: ("LeaveGroup", "classic_group", 0, 5, 4, False),
    14: ("SyncGroup", "classic_group", 0, 5, 4, False),
    15: ("DescribeGroups", "classic_group", 0, 6, 5, False),
    16: ("ListGroups", "classic_group", 0, 5, 3, False),
    17: ("SaslHandshake", "sasl", 0, 1, NO_VERSION, False),
    18: ("ApiVersions", "api_versions", 0, 5, 3, False),
    19: ("CreateTopics", "topics", 2, 7, 5, False),
    20: ("DeleteTopics", "topics", 1, 6, 4, False),
    21: ("DeleteRecords", "topics", 0, 2, 2, False),
    22: ("InitProducerId", "transactions", 0, 6, 2, True),
    23: ("OffsetForLeaderEpoch", "list_offsets", 2, 4, 4, False),
    24: ("AddPartitionsToTxn", "transactions", 0, 5, 3, False),
    25: ("AddOffsetsToTxn", "transactions", 0, 4, 3, False),
    26: ("EndTxn", "transactions", 0, 5, 3, False),
    27: ("WriteTxnMarkers", "transactions", 1, 2, 1, False),
    28: ("TxnOffsetCommit", "transactions", 0, 6, 3, False),
    29: ("DescribeAcls", "acls", 1, 3, 2, False),
    30: ("CreateAcls", "acls", 1, 3, 2, False),
    31: ("DeleteAcls", "acls", 1, 3, 2, False),
    32: ("DescribeConfigs", "configs", 1, 4, 4, False),
    33: ("AlterConfigs", "configs", 0, 2, 2, False),
    34: ("AlterReplicaLogDirs", "log_dirs", 1, 2, 2, False),
    35: ("DescribeLogDirs", "log_dirs", 1, 5, 2, False),
    36: ("SaslAuthenticate", "sasl", 0, 2, 2, False),
    37: ("CreatePartitions", "topics", 0, 3, 2, False),
    38: ("CreateDelegationToken", "delegation_tokens", 1, 3, 2, False),
    39: ("RenewDelegationToken", "delegation_tokens", 1, 2, 2, False),
    40: ("ExpireDelegationToken", "delegation_tokens", 1, 2, 2, False),
    41: ("DescribeDelegationToken", "delegation_tokens", 1, 3, 2, False),
    42: ("DeleteGroups", "classic_group", 0, 3, 2, False),
    43: ("ElectLeaders", "reassignment", 0, 2, 2, False),
    44: ("IncrementalAlterConfigs", "configs", 0, 1, 1, False),
    45: ("AlterPartitionReassignments", "reassignment", 0, 1, 0, False),
    46: ("ListPartitionReassignments", "reassignment", 0, 0, 0, False),
    47: ("OffsetDelete", "offsets", 0, 0, NO_VERSION, False),
    48: ("DescribeClientQuotas", "quotas", 0, 1, 1, False),
    49: ("AlterClientQuotas", "quotas", 0, 1, 1, False),
    50: ("DescribeUserScramCredentials", "scram", 0, 0, 0, False),
    51: ("AlterUserScramCredentials", "scram", 0, 0, 0, False),
    52: ("Vote", "raft", 0, 2, 0, False),
    53: ("BeginQuorumEpoch", "raft", 0, 1, 1, False),
    54: ("EndQuorumEpoch", "raft", 0, 1, 1, False),
    55: ("DescribeQuorum", "raft", 0, 2, 0, False),
    56: ("AlterPartition", "controller", 2, 3, 0, False),
    57: ("UpdateFeatures", "cluster", 0, 2, 0, False),
    58: ("Envelope", "controller", 0, 0, 0, False),
    59: ("FetchSnapshot", "raft", 0, 1, 0, False),
    60: ("DescribeCluster", "cluster", 0, 2, 0, False),
    61: ("DescribeProducers", "transactions", 0, 0, 0, False),
    62: ("BrokerRegistration", "controller", 0, 4, 0, False),
    63: ("BrokerHeartbeat", "controller", 0, 2, 0, False),
    64: ("UnregisterBroker", "cluster", 0, 0, 0, False),
    65: ("DescribeTransactions", "transactions", 0, 0, 0, False),
    66: ("ListTransactions", "transactions", 0, 2, 0, False),
    67: ("AllocateProducerIds", "controller", 0, 0, 0, False),
    68: ("ConsumerGroupHeartbeat", "consumer_group", 0, 1, 0, False),
    69: ("ConsumerGroupDescribe", "consumer_group", 0, 1, 0, False),
    70: ("ControllerRegistration", "controller", 0, 0, 0, False),
    71: ("GetTelemetrySubscriptions", "telemetry", 0, 0, 0, False),
    72: ("PushTelemetry", "telemetry", 0, 0, 0, False),
    73: ("AssignReplicasToDirs", "log_dirs", 0, 0, 0, False),
    74: ("ListConfigResources", "configs", 0, 1, 0, False),
    75: ("DescribeTopicPartitions", "metadata", 0, 0, 0, False),
    76: ("ShareGroupHeartbeat", "share", 1, 1, 0, False),
    77: ("ShareGroupDescribe", "share", 1, 1, 0, False),
    78: ("ShareFetch", "share", 1, 2, 0, False),
    79: ("ShareAcknowledge", "share", 1, 2, 0, False),
    80: ("AddRaftVoter", "raft", 0, 1, 0, False),
    81: ("RemoveRaftVoter", "raft", 0, 0, 0, False),
    82: ("UpdateRaftVoter", "raft", 0, 0, 0, False),
    83: ("InitializeShareGroupState", "share_state", 0, 0, 0, False),
    84: ("ReadShareGroupState", "share_state", 0, 0, 0, False),
    85: ("WriteShareGroupState", "share_state", 0, 1, 0, False),
    86: ("DeleteShareGroupState", "share_state", 0, 0, 0, False),
    87: ("ReadShareGroupStateSummary", "share_state", 0, 1, 0, False),
    88: ("StreamsGroupHeartbeat", "streams", 0, 1, 0, False),
    89: ("StreamsGroupDescribe", "streams", 0, 1, 0, False),
    90: ("DescribeShareGroupOffsets", "share", 0, 1, 0, False),
    91: ("AlterShareGroupOffsets", "share", 0, 0, 0, False),
    92: ("DeleteShareGroupOffsets", "share", 0, 0, 0, False),
    93: ("StreamsGroupTopologyDescriptionUpdate", "streams", 0, 0, 0, False),
    94: ("UnregisterController", "cluster", 0, 0, 0, False),
}
