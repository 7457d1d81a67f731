from odradek.proto.kafka.source import Source


def test_blocks_indent_and_are_never_empty() -> None:
    source = Source({})
    with source.block("def add(x):"):
        with source.block("if x:"):
            pass
        source.emit("return x + 1")
    assert source.lines == ["def add(x):", "    if x:", "        pass", "    return x + 1"]
    assert source.build("add", "a test")(2) == 3


def test_one_object_has_one_name() -> None:
    source = Source({})
    first, second = object(), object()
    names = [source.constant("c", first), source.constant("c", second), source.constant("c", first)]
    assert names[0] == names[2] != names[1]
    assert source.scope == {names[0]: first, names[1]: second}
