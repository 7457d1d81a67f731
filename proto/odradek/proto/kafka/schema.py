"""The notation in which Kafka's messages are declared: one class per message, for all its versions.

A message is a class deriving from `Message`; every structure inside it is a `Struct` nested directly in
that class. A field is a class attribute with a type annotation, for mypy and the reader, and a specifier,
for the codec: `acks: int = int16("0+")`. The specifier says in which versions the field exists, in which it
may be null, whether it is tagged, and its default. Nothing is compiled here: `codec` reads `FIELDS` and
`INFO` when a version is first used.

Invariants: constructors take keyword arguments only and every argument is optional; instances have slots and
no dictionary; a default that is itself a structure of plain values is one shared object that refuses
assignment, so that structures nobody fills in cost nothing. Creating a class costs a few tens of microseconds
(there are about five hundred), which is why constructors are compiled when first called.

Does not decide: how bytes look (`codec`), which classes exist (`messages`). Source: the format of Apache
Kafka's message definitions, KIP-482 (tagged fields), KIP-893 (nullable structures).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, cast, dataclass_transform, overload

Buffer: TypeAlias = bytes | bytearray | memoryview
"""What a records field may hold, and what the codec reads from and returns."""

ZERO_UUID: Final = bytes(16)
NO_VERSION: Final = 1 << 15
"""Larger than any version: the first version of something that never happens."""

_MISSING: Final[Any] = object()


class VersionRange(NamedTuple):
    """An inclusive range of versions; empty when `first > last`."""

    first: int
    last: int

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.first <= version <= self.last


NEVER: Final = VersionRange(NO_VERSION, -1)


def parse_versions(text: str | None) -> VersionRange:
    """Reads `3`, `3-7`, `3+` or `none` (as None does)."""
    if text is None or text == "none":
        return NEVER
    if text.endswith("+"):
        return VersionRange(int(text[:-1]), NO_VERSION)
    first, _, last = text.partition("-")
    return VersionRange(int(first), int(last or first))


class Field:
    """One declared field. `name` is filled in when its class is created.

    `kind` is a scalar type name, `array` or `struct`. For arrays `element` is the type of an element, for
    structs the type itself: a scalar type name, a `Struct` class, or the name of a structure nested in the
    same message. Version texts stay text until the codec asks.
    """

    __slots__ = ("default", "element", "flexible", "kind", "name", "nullable", "tag", "tagged", "versions")

    def __init__(
        self,
        kind: str,
        versions: str,
        default: Any,
        *,
        nullable: str | None = None,
        tag: int | None = None,
        element: str | type[Struct] | None = None,
        flexible: str | None = None,
    ) -> None:
        self.name = ""
        self.kind = kind
        self.versions = versions
        self.default = default
        self.nullable = nullable
        self.tag = tag
        self.element = element
        self.flexible = flexible

    def __repr__(self) -> str:
        return f"Field({self.name}: {self.kind} {self.versions})"


class MessageInfo(NamedTuple):
    """What is known of a message as a whole. `flexible_from` is `NO_VERSION` if no version is flexible."""

    name: str
    key: int | None
    versions: VersionRange
    flexible_from: int
    latest_unstable: bool


# The specifiers. They return a Field and are declared as returning the value that the field holds: mypy then
# checks the annotation beside them. (They are deliberately not listed as PEP 681 field specifiers: a
# checker would take every field without an explicit default for a required argument.)


def int8(versions: str, *, default: int = 0, tag: int | None = None) -> int:
    return cast(int, Field("int8", versions, default, tag=tag))


def int16(versions: str, *, default: int = 0, tag: int | None = None) -> int:
    return cast(int, Field("int16", versions, default, tag=tag))


def uint16(versions: str, *, default: int = 0, tag: int | None = None) -> int:
    return cast(int, Field("uint16", versions, default, tag=tag))


def int32(versions: str, *, default: int = 0, tag: int | None = None) -> int:
    return cast(int, Field("int32", versions, default, tag=tag))


def int64(versions: str, *, default: int = 0, tag: int | None = None) -> int:
    return cast(int, Field("int64", versions, default, tag=tag))


def float64(versions: str, *, default: float = 0.0, tag: int | None = None) -> float:
    return cast(float, Field("float64", versions, default, tag=tag))


def boolean(versions: str, *, default: bool = False, tag: int | None = None) -> bool:
    return cast(bool, Field("boolean", versions, default, tag=tag))


def uuid(versions: str, *, default: bytes = ZERO_UUID, tag: int | None = None) -> bytes:
    """Sixteen raw bytes."""
    return cast(bytes, Field("uuid", versions, default, tag=tag))


@overload
def string(
    versions: str, *, default: str = "", tag: int | None = None, flexible: str | None = None
) -> str: ...
@overload
def string(
    versions: str,
    *,
    nullable: str,
    default: str | None = "",
    tag: int | None = None,
    flexible: str | None = None,
) -> str | None: ...
def string(
    versions: str,
    *,
    nullable: str | None = None,
    default: str | None = "",
    tag: int | None = None,
    flexible: str | None = None,
) -> str | None:
    """`flexible="none"` keeps the int16 length in flexible versions too (client id of the request header)."""
    return cast(str, Field("string", versions, default, nullable=nullable, tag=tag, flexible=flexible))


@overload
def octets(versions: str, *, default: bytes = b"", tag: int | None = None) -> bytes: ...
@overload
def octets(
    versions: str, *, nullable: str, default: bytes | None = b"", tag: int | None = None
) -> bytes | None: ...
def octets(
    versions: str, *, nullable: str | None = None, default: bytes | None = b"", tag: int | None = None
) -> bytes | None:
    """The guide's BYTES: copied on decode."""
    return cast(bytes, Field("octets", versions, default, nullable=nullable, tag=tag))


def record_batches(versions: str, *, nullable: str | None = None) -> Buffer | None:
    """The guide's RECORDS, never copied: decoded as a memoryview of the input, encoded as a buffer by
    itself."""
    return cast(bytes, Field("records", versions, None, nullable=nullable))


Element: TypeAlias = "str | type[Struct] | Callable[..., Any]"


def array(
    element: Element,
    versions: str,
    *,
    nullable: str | None = None,
    default: tuple[()] | None = (),
    tag: int | None = None,
) -> Any:
    """A list. `element` is a specifier (`int32`), a `Struct` class, or the name of one nested in the message.

    `default=None` makes null the default; otherwise it is a new empty list.
    """
    return Field("array", versions, default, nullable=nullable, tag=tag, element=_element(element))


def struct(
    element: str | type[Struct],
    versions: str,
    *,
    nullable: str | None = None,
    default: tuple[()] | None = (),
    tag: int | None = None,
) -> Any:
    """One structure. `default=None` makes null the default; otherwise it is the structure with its
    defaults."""
    return Field("struct", versions, default, nullable=nullable, tag=tag, element=element)


_SCALARS: Final = {
    int8: "int8", int16: "int16", uint16: "uint16", int32: "int32", int64: "int64", float64: "float64",
    boolean: "boolean", uuid: "uuid", string: "string", octets: "octets",
}  # fmt: skip


def _element(element: Element) -> str | type[Struct]:
    if isinstance(element, (str, type)):
        return element
    return _SCALARS[element]


@dataclass_transform(kw_only_default=True, eq_default=True)
class StructType(type):
    """Collects the fields of a class body into `FIELDS` and gives the class one slot per field."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        key: int | None = None,
        versions: str | None = None,
        flexible: str | None = None,
        latest_unstable: bool = False,
    ) -> StructType:
        fields = tuple([value for value in namespace.values() if type(value) is Field])
        nested = []
        for attribute, value in list(namespace.items()):
            if type(value) is Field:
                value.name = attribute
                del namespace[attribute]
            elif isinstance(value, StructType):
                nested.append(value)
        namespace["__slots__"] = tuple([field.name for field in fields])
        cls = super().__new__(mcls, name, bases, namespace)
        structure = cast("type[Struct]", cls)
        if bases and not fields and structure.FIELDS:
            return cls  # a subclass that adds nothing: the frozen default of a structure
        structure.FIELDS = fields
        structure.OWNER = structure
        structure.DECODERS = {}
        structure.ENCODERS = {}
        for inner in nested:
            cast("type[Struct]", inner).OWNER = structure
        if versions is not None:
            flexible_from = parse_versions(flexible).first
            cast("type[Message]", cls).INFO = MessageInfo(
                name, key, parse_versions(versions), flexible_from, latest_unstable
            )
        return cls

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any) -> None:
        super().__init__(name, bases, namespace)


class Struct(metaclass=StructType):
    """A structure. Compares by value and type; not hashable."""

    FIELDS: ClassVar[tuple[Field, ...]] = ()
    OWNER: ClassVar[type[Struct]]
    """The message in which names of structures are looked up."""
    DECODERS: ClassVar[dict[int, Any]]
    ENCODERS: ClassVar[dict[int, Any]]

    def __init__(self, **values: Any) -> None:
        _compile_constructor(_declared(type(self)))(self, **values)

    def __eq__(self, other: object) -> bool:
        mine = _declared(type(self))
        if not isinstance(other, Struct) or mine is not _declared(type(other)):
            return NotImplemented
        names = [field.name for field in mine.FIELDS]
        return not names or bool((get := attrgetter(*names))(self) == get(other))

    def __repr__(self) -> str:
        cls = _declared(type(self))
        shown = [f"{field.name}={_show(getattr(self, field.name))}" for field in cls.FIELDS]
        return f"{cls.__name__}({', '.join(shown)})"


class Message(Struct):
    """A structure that travels alone: an API's request or response, or a record of a log of ours.

    Class arguments: `versions` ("3-13"), `flexible` ("9+", default none), `key` (the API key, for messages of
    Kafka's protocol), `latest_unstable` (the newest version may still change and is not advertised).
    """

    INFO: ClassVar[MessageInfo]


class _FrozenDefault:
    """Mixed into a structure to make its shared default refuse assignment."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"this {type(self).__name__} is a shared default: assign a new one to the field")


def _declared(cls: type[Struct]) -> type[Struct]:
    """The class as written: the frozen default of a structure is an instance of a subclass."""
    return cls.__bases__[1] if cls.__bases__[0] is _FrozenDefault else cls


def _show(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) > 64:
        return f"<{len(value)} bytes>"
    return repr(value)


def resolve(owner: type[Struct], field: Field) -> type[Struct] | str:
    """The element type of an array or struct field: a `Struct` class or the name of a scalar type."""
    element = field.element
    assert element is not None, field
    if isinstance(element, type):
        return element
    found = getattr(owner.OWNER, element, None)
    if isinstance(found, StructType):
        return cast("type[Struct]", found)
    if element in _SCALARS.values():
        return element
    raise LookupError(f"{owner.OWNER.__name__} declares no structure {element!r} (field {field.name})")


_shared_defaults: dict[type[Struct], Struct] = {}


def shared_default(cls: type[Struct]) -> Struct | None:
    """The one default object of a structure of plain values; None if it holds lists or structures."""
    if any(field.kind in ("array", "struct") for field in cls.FIELDS):
        return None
    default = _shared_defaults.get(cls)
    if default is None:
        frozen = cast("type[Struct]", StructType(cls.__name__, (_FrozenDefault, cls), {"__slots__": ()}))
        default = object.__new__(frozen)
        for field in cls.FIELDS:
            object.__setattr__(default, field.name, field.default)
        _shared_defaults[cls] = default
    return default


def default_source(cls: type[Struct], field: Field, scope: dict[str, Any]) -> str:
    """A Python expression for the default of `field`, whose free names it adds to `scope`."""
    if field.default is None:
        return "None"
    if field.kind == "array":
        return "[]"
    if field.kind == "struct":
        element = resolve(cls, field)
        assert isinstance(element, type), field
        shared = shared_default(element)
        name = f"{'D' if shared is not None else 'C'}_{element.__name__}"
        scope[name] = element if shared is None else shared
        return name if shared is not None else f"{name}()"
    if field.kind == "uuid":
        scope["ZERO_UUID"] = ZERO_UUID
        return "ZERO_UUID" if field.default == ZERO_UUID else repr(field.default)
    return repr(field.default)


def _compile_constructor(cls: type[Struct]) -> Callable[..., None]:
    """Writes, compiles and installs `cls.__init__`. Called once per class, by its first construction."""
    scope: dict[str, Any] = {"MISSING": _MISSING}
    arguments = []
    body = []
    for field in cls.FIELDS:
        value = default_source(cls, field, scope)
        if value.endswith(("[]", "()")):
            arguments.append(f"{field.name}=MISSING")
            body.append(f"self.{field.name} = {value} if {field.name} is MISSING else {field.name}")
        else:
            arguments.append(f"{field.name}={value}")
            body.append(f"self.{field.name} = {field.name}")
    signature = ", ".join(["self", "*", *arguments] if arguments else ["self"])
    source = f"def __init__({signature}):\n    " + "\n    ".join(body or ["pass"])
    exec(compile(source, f"<constructor of {cls.__qualname__}>", "exec"), scope)
    constructor: Callable[..., None] = scope["__init__"]
    type.__setattr__(cls, "__init__", constructor)
    return constructor
