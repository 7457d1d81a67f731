from odradek.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OffsetReset(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFSET_RESET_UNSPECIFIED: _ClassVar[OffsetReset]
    OFFSET_RESET_EARLIEST: _ClassVar[OffsetReset]
    OFFSET_RESET_LATEST: _ClassVar[OffsetReset]
    OFFSET_RESET_NONE: _ClassVar[OffsetReset]
OFFSET_RESET_UNSPECIFIED: OffsetReset
OFFSET_RESET_EARLIEST: OffsetReset
OFFSET_RESET_LATEST: OffsetReset
OFFSET_RESET_NONE: OffsetReset

class PublishRequest(_message.Message):
    __slots__ = ("topic", "records", "producer_name", "sequence", "acks")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_NAME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    producer_name: str
    sequence: int
    acks: _record_pb2.Acks
    def __init__(self, topic: _Optional[str] = ..., records: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ..., producer_name: _Optional[str] = ..., sequence: _Optional[int] = ..., acks: _Optional[_Union[_record_pb2.Acks, str]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("partitions", "offsets")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedScalarFieldContainer[int]
    offsets: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, partitions: _Optional[_Iterable[int]] = ..., offsets: _Optional[_Iterable[int]] = ...) -> None: ...

class PublishStreamRequest(_message.Message):
    __slots__ = ("topic", "records", "producer_name", "sequence", "acks")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_NAME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    producer_name: str
    sequence: int
    acks: _record_pb2.Acks
    def __init__(self, topic: _Optional[str] = ..., records: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ..., producer_name: _Optional[str] = ..., sequence: _Optional[int] = ..., acks: _Optional[_Union[_record_pb2.Acks, str]] = ...) -> None: ...

class PublishStreamResponse(_message.Message):
    __slots__ = ("record_count", "ranges")
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    record_count: int
    ranges: _containers.RepeatedCompositeFieldContainer[PublishedRange]
    def __init__(self, record_count: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[PublishedRange, _Mapping]]] = ...) -> None: ...

class PublishedRange(_message.Message):
    __slots__ = ("partition", "first_offset", "last_offset", "record_count")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    partition: int
    first_offset: int
    last_offset: int
    record_count: int
    def __init__(self, partition: _Optional[int] = ..., first_offset: _Optional[int] = ..., last_offset: _Optional[int] = ..., record_count: _Optional[int] = ...) -> None: ...

class ConsumeRequest(_message.Message):
    __slots__ = ("subscribe", "assign", "acknowledge", "commit", "seek", "pause", "resume", "credit")
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    SEEK_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    subscribe: Subscribe
    assign: Assign
    acknowledge: Acknowledge
    commit: Commit
    seek: Seek
    pause: Pause
    resume: Resume
    credit: int
    def __init__(self, subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., assign: _Optional[_Union[Assign, _Mapping]] = ..., acknowledge: _Optional[_Union[Acknowledge, _Mapping]] = ..., commit: _Optional[_Union[Commit, _Mapping]] = ..., seek: _Optional[_Union[Seek, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., credit: _Optional[int] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("topics", "topic_pattern", "group_id", "instance_id", "offset_reset", "session_timeout_ms", "rebalance_timeout_ms", "commit_interval_ms", "isolation_level")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_PATTERN_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_RESET_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedScalarFieldContainer[str]
    topic_pattern: str
    group_id: str
    instance_id: str
    offset_reset: OffsetReset
    session_timeout_ms: int
    rebalance_timeout_ms: int
    commit_interval_ms: int
    isolation_level: _record_pb2.IsolationLevel
    def __init__(self, topics: _Optional[_Iterable[str]] = ..., topic_pattern: _Optional[str] = ..., group_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., offset_reset: _Optional[_Union[OffsetReset, str]] = ..., session_timeout_ms: _Optional[int] = ..., rebalance_timeout_ms: _Optional[int] = ..., commit_interval_ms: _Optional[int] = ..., isolation_level: _Optional[_Union[_record_pb2.IsolationLevel, str]] = ...) -> None: ...

class Assign(_message.Message):
    __slots__ = ("partitions", "group_id", "offset_reset", "commit_interval_ms", "isolation_level")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_RESET_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[AssignedStart]
    group_id: str
    offset_reset: OffsetReset
    commit_interval_ms: int
    isolation_level: _record_pb2.IsolationLevel
    def __init__(self, partitions: _Optional[_Iterable[_Union[AssignedStart, _Mapping]]] = ..., group_id: _Optional[str] = ..., offset_reset: _Optional[_Union[OffsetReset, str]] = ..., commit_interval_ms: _Optional[int] = ..., isolation_level: _Optional[_Union[_record_pb2.IsolationLevel, str]] = ...) -> None: ...

class AssignedStart(_message.Message):
    __slots__ = ("topic", "partition", "position")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    position: _record_pb2.Position
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., position: _Optional[_Union[_record_pb2.Position, _Mapping]] = ...) -> None: ...

class Acknowledge(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.TopicPartitionOffset]
    def __init__(self, records: _Optional[_Iterable[_Union[_record_pb2.TopicPartitionOffset, _Mapping]]] = ...) -> None: ...

class Commit(_message.Message):
    __slots__ = ("offsets", "request_id")
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    offsets: _containers.RepeatedCompositeFieldContainer[CommitOffset]
    request_id: int
    def __init__(self, offsets: _Optional[_Iterable[_Union[CommitOffset, _Mapping]]] = ..., request_id: _Optional[int] = ...) -> None: ...

class CommitOffset(_message.Message):
    __slots__ = ("topic", "partition", "offset", "metadata")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    offset: int
    metadata: str
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., metadata: _Optional[str] = ...) -> None: ...

class Seek(_message.Message):
    __slots__ = ("topic", "partition", "position", "request_id")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    position: _record_pb2.Position
    request_id: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., position: _Optional[_Union[_record_pb2.Position, _Mapping]] = ..., request_id: _Optional[int] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[_record_pb2.TopicPartition]
    def __init__(self, partitions: _Optional[_Iterable[_Union[_record_pb2.TopicPartition, _Mapping]]] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[_record_pb2.TopicPartition]
    def __init__(self, partitions: _Optional[_Iterable[_Union[_record_pb2.TopicPartition, _Mapping]]] = ...) -> None: ...

class ConsumeResponse(_message.Message):
    __slots__ = ("records", "assigned", "revoking", "committed", "seeked", "reset")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    REVOKING_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    SEEKED_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    records: Records
    assigned: Assigned
    revoking: Revoking
    committed: Committed
    seeked: Seeked
    reset: Reset
    def __init__(self, records: _Optional[_Union[Records, _Mapping]] = ..., assigned: _Optional[_Union[Assigned, _Mapping]] = ..., revoking: _Optional[_Union[Revoking, _Mapping]] = ..., committed: _Optional[_Union[Committed, _Mapping]] = ..., seeked: _Optional[_Union[Seeked, _Mapping]] = ..., reset: _Optional[_Union[Reset, _Mapping]] = ...) -> None: ...

class Records(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionRecords]
    def __init__(self, partitions: _Optional[_Iterable[_Union[PartitionRecords, _Mapping]]] = ...) -> None: ...

class PartitionRecords(_message.Message):
    __slots__ = ("topic", "partition", "high_watermark", "records")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    high_watermark: int
    records: _containers.RepeatedCompositeFieldContainer[_record_pb2.ConsumedRecord]
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., high_watermark: _Optional[int] = ..., records: _Optional[_Iterable[_Union[_record_pb2.ConsumedRecord, _Mapping]]] = ...) -> None: ...

class Assigned(_message.Message):
    __slots__ = ("partitions", "member_id", "generation")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[_record_pb2.TopicPartitionOffset]
    member_id: str
    generation: int
    def __init__(self, partitions: _Optional[_Iterable[_Union[_record_pb2.TopicPartitionOffset, _Mapping]]] = ..., member_id: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class Revoking(_message.Message):
    __slots__ = ("wait_ms",)
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    wait_ms: int
    def __init__(self, wait_ms: _Optional[int] = ...) -> None: ...

class Committed(_message.Message):
    __slots__ = ("request_id", "partitions")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    partitions: _containers.RepeatedCompositeFieldContainer[CommittedPartition]
    def __init__(self, request_id: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[CommittedPartition, _Mapping]]] = ...) -> None: ...

class CommittedPartition(_message.Message):
    __slots__ = ("topic", "partition", "reason")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    reason: str
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Seeked(_message.Message):
    __slots__ = ("request_id", "topic", "partition", "offset")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    topic: str
    partition: int
    offset: int
    def __init__(self, request_id: _Optional[int] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class Reset(_message.Message):
    __slots__ = ("topic", "partition", "offset")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    offset: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...
