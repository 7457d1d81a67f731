"""Whether there is an order in which all operations could have happened: cycles of writes and reads, and time.

Decides, over an `Analysis`:

    G0              a cycle of write-write edges: B's record stands behind A's in one key, A's behind B's in another
    G1c             a cycle of write-read edges (B polled what A sent), with or without write-write edges. `pure` in the
                    data says that it has none of the latter: information flowed in a circle, which no log may show
    realtime-order  a record stands before another one although the other was acknowledged, or polled, before the first
                    was asked for. One key is enough, so it is no matter of isolation
    G1c-realtime    a chain of write-read edges that ends in an operation which was over before the chain began
                    (of one process: G1c-process)

Fatal are all but G0 and the G1c that are not pure: writes of Kafka's transactions are not isolated. Nodes of the graph
are the operations of several micro-operations and the single sends that these have polled; other operations cannot be
part of a cycle, having edges in one direction only or standing in one key only. Write-write edges lead to the next
node of a key, which leaves reachability as it is.

Time needs no edges. A record's place was taken after its operation was asked for and before anybody was told of it, so
one pass from the end of a key finds what stands too early. Along write-read edges of committed transactions every
commit is later than the one before it; the latest of the invocations that lead to an operation must not be later than
its completion.

Invariants: linear in the history. Of a strongly connected component the shortest cycle through a few of its nodes is
shown; through all of them when there are no more than `_STARTS`.

Source: Tarjan, Depth-first search and linear graph algorithms (1972); Adya's phenomena, as in Elle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from odradek.jepsen.checkers.analysis import Analysis, Log, Pairs
from odradek.jepsen.checkers.anomaly import Anomaly
from odradek.jepsen.checkers.findings import Findings
from odradek.jepsen.checkers.observed import readings
from odradek.jepsen.history import NEVER, Event, Operation

KINDS: Final = ("G0", "G1c", "realtime-order", "G1c-realtime", "G1c-process")

#: So many nodes of a component are tried as the start of the shortest cycle, and so many steps of it are evidence.
_STARTS: Final = 32
_STEPS: Final = 5


class Edge(NamedTuple):
    """`kind` is ww or wr. Values: of ww the earlier and the later one; of wr the one that was read, twice."""

    source: int
    target: int
    kind: str
    key: str
    values: tuple[int, int]


Graph = dict[int, dict[int, Edge]]


@dataclass(slots=True)
class _Graphs:
    """The same nodes with either kind of edges; one edge from a node to another is enough."""

    writes: Graph = field(default_factory=dict)
    reads: Graph = field(default_factory=dict)

    def both(self) -> Graph:
        return {
            node: {**self.writes.get(node, {}), **self.reads.get(node, {})}
            for node in self.writes.keys() | self.reads.keys()
        }


def check(analysis: Analysis) -> list[Anomaly]:
    """All anomalies of `KINDS`."""
    findings = Findings()
    graphs = _graphs(analysis)
    for component in components(graphs.writes):
        _report(analysis, findings, "G0", shortest_cycle(graphs.writes, component))
    pure: set[int] = set()
    found = components(graphs.reads)
    for component in found:
        pure.update(component)
        _report(analysis, findings, "G1c", shortest_cycle(graphs.reads, component))
    both = graphs.both() if graphs.reads else {}
    for component in components(both):
        if pure.isdisjoint(component):
            _report(analysis, findings, "G1c", shortest_cycle(both, component, "wr"))
    latest = _latest(analysis, findings, graphs.reads)
    seen = _first_polls(analysis)
    for log in analysis.logs.values():
        _check_time(analysis, findings, (log, seen[log.key]), latest)
    return findings.anomalies()


def components(graph: Graph) -> list[list[int]]:
    """Strongly connected components of more than one node, by Tarjan's algorithm without recursion."""
    return [component for component in _components(graph) if len(component) > 1]


def _components(graph: Graph) -> list[list[int]]:
    """All components; each comes after those that it leads to."""
    found: list[list[int]] = []
    low: dict[int, int] = {}
    order: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in graph:
        if root in order:
            continue
        work = [(root, iter(graph[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in order:
                    order[target] = low[target] = len(order)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(graph.get(target, ()))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], order[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    component: list[int] = []
                    while not component or component[-1] != node:
                        component.append(stack.pop())
                    on_stack.difference_update(component)
                    found.append(component)
    return found


def shortest_cycle(graph: Graph, component: Sequence[int], kind: str | None = None) -> list[Edge]:
    """A shortest cycle inside a component; with `kind`, one that has an edge of it. Empty when there is none."""
    inside = set(component)
    best: list[Edge] = []
    starts = 0
    for node in sorted(component):
        first = [
            edge
            for edge in graph.get(node, {}).values()
            if edge.target in inside and (kind is None or edge.kind == kind)
        ]
        if not first:
            continue
        starts += 1
        if starts > _STARTS:
            break
        cycle = _cycle_from(graph, inside, node, first)
        if cycle and (not best or len(cycle) < len(best)):
            best = cycle
        if len(best) == 2:
            break
    return best


def _cycle_from(graph: Graph, inside: set[int], start: int, first: Iterable[Edge]) -> list[Edge]:
    """Breadth first, from the given edges of a node back to it."""
    came_by: dict[int, Edge] = {edge.target: edge for edge in first}
    queue = deque(came_by)
    while queue:
        node = queue.popleft()
        for edge in graph.get(node, {}).values():
            if edge.target == start:
                path = [edge]
                while path[-1].source != start:
                    path.append(came_by[path[-1].source])
                return path[::-1]
            if edge.target in inside and edge.target not in came_by:
                came_by[edge.target] = edge
                queue.append(edge.target)
    return []


def _graphs(analysis: Analysis) -> _Graphs:
    graphs = _Graphs()
    nodes = {number for number in analysis.several if analysis.operations[number].type != "fail"}
    if not nodes:
        return graphs
    for number in sorted(nodes):
        if not analysis.committed[number]:
            continue
        for key, pairs in readings(analysis.operations[number].completion):
            writer = analysis.logs[key].writer
            for _, value in pairs:
                source = writer.get(value)
                if source is not None and source != number:
                    edge = Edge(source, number, "wr", key, (value, value))
                    graphs.reads.setdefault(source, {}).setdefault(number, edge)
    nodes.update(graphs.reads)
    for log in analysis.logs.values():
        _add_writes(graphs.writes, log, nodes)
    return graphs


def _add_writes(writes: Graph, log: Log, nodes: set[int]) -> None:
    last: tuple[int, int] | None = None
    for value in log.values:
        number = log.writer.get(value)
        if number is None or number not in nodes or value in log.again:
            continue
        if last is not None and last[0] != number:
            edge = Edge(last[0], number, "ww", log.key, (last[1], value))
            writes.setdefault(last[0], {}).setdefault(number, edge)
        last = (number, value)


def _report(analysis: Analysis, findings: Findings, kind: str, cycle: list[Edge]) -> None:
    if not cycle:
        return
    pure = all(edge.kind == "wr" for edge in cycle)
    steps = [_step(analysis, edge) for edge in cycle]
    said = "; ".join(str(step["text"]) for step in steps[:_STEPS]) + ("; ..." if len(steps) > _STEPS else "")
    data = {"pure": pure, "edges": steps[:50], "length": len(cycle)}
    evidence = [analysis.operations[edge.source] for edge in cycle[:_STEPS]]
    findings.add(kind, f"a cycle of {len(cycle)} operations: {said}", evidence, data)


def _step(analysis: Analysis, edge: Edge) -> dict[str, object]:
    source, target = (analysis.operations[number].invoke for number in (edge.source, edge.target))
    names = (f"{source.process}:{source.op}", f"{target.process}:{target.op}")
    if edge.kind == "ww":
        text = f"{names[0]} wrote {edge.values[0]} to {edge.key}, and {names[1]} {edge.values[1]} behind it"
    else:
        text = f"{names[1]} polled {edge.values[0]} of {edge.key}, which {names[0]} wrote"
    return {
        "kind": edge.kind,
        "from": [source.process, source.op],
        "to": [target.process, target.op],
        "key": edge.key,
        "values": list(edge.values),
        "text": text,
    }


def _latest(analysis: Analysis, findings: Findings, reads: Graph) -> dict[int, tuple[int, int]]:
    """By node: the latest invocation that leads to it along write-read edges, and whose it is.

    Reports those that are later than the node's completion, unless the node polled from there without a detour.
    """
    operations = analysis.operations
    latest: dict[int, tuple[int, int]] = {}
    for component in reversed(_components(reads)):
        for node in component if len(component) == 1 else ():
            own = (operations[node].invoke.time, node)
            mine = latest[node] = max(latest.get(node, own), own)
            if operations[node].completion.time < mine[0] and node not in reads.get(mine[1], ()):
                _report_time(analysis, findings, (mine[1], node), None)
            for target in reads.get(node, ()):
                latest[target] = max(latest.get(target, mine), mine)
    return latest


def _report_time(
    analysis: Analysis, findings: Findings, ends: tuple[int, int], read: tuple[str, int] | None
) -> None:
    first, last = (analysis.operations[number] for number in ends)
    kind = "G1c-process" if first.invoke.process == last.invoke.process else "G1c-realtime"
    if not findings.wants(kind):
        findings.counts[kind] += 1
        return
    what = "what it led to" if read is None else f"{read[1]} of {read[0]}"
    names = [f"{operation.invoke.process}:{operation.invoke.op}" for operation in (first, last)]
    detail = f"{names[1]} was over before {names[0]} began, and had polled {what}"
    data = {
        "pure": True,
        "from": [first.invoke.process, first.invoke.op],
        "to": [last.invoke.process, last.invoke.op],
        "key": read and read[0],
        "value": read and read[1],
    }
    findings.add(kind, detail, [first, last], data)


class _Seen(NamedTuple):
    """By index of a key: when the first poll that saw the record was over, and which operation that was."""

    times: list[int]
    by: list[int]


def _first_polls(analysis: Analysis) -> Mapping[str, _Seen]:
    seen = {
        key: _Seen([NEVER] * len(log.offsets), [-1] * len(log.offsets)) for key, log in analysis.logs.items()
    }
    for number, operation in enumerate(analysis.operations):
        if operation.invoke.f not in ("poll", "txn"):
            continue
        time = operation.completion.time
        for key, pairs in readings(operation.completion):
            if pairs:
                _see(analysis.logs[key], seen[key], pairs, (time, number))
    return seen


def _see(log: Log, seen: _Seen, pairs: Pairs, now: tuple[int, int]) -> None:
    time, number = now
    start = log.place(pairs[0][0])
    end = (start or 0) + len(pairs)
    places: Iterable[int | None] = range(end - len(pairs), end)
    if start is None or log.offsets[start:end] != [offset for offset, _ in pairs]:
        places = [log.place(offset) for offset, _ in pairs]
    else:
        known = seen.times[start:end]
        if max(known) <= time:
            return
        if min(known) > time:
            seen.times[start:end] = [time] * len(pairs)
            seen.by[start:end] = [number] * len(pairs)
            return
    for place in places:
        if place is not None and time < seen.times[place]:
            seen.times[place] = time
            seen.by[place] = number


def _check_time(
    analysis: Analysis,
    findings: Findings,
    of_key: tuple[Log, _Seen],
    latest: Mapping[int, tuple[int, int]],
) -> None:
    """From the end of a log: what of all that stands behind was known first, against each record's invocation."""
    log, seen = of_key
    operations = analysis.operations
    known, knower = NEVER, -1
    for place in range(len(log.values) - 1, -1, -1):
        value = log.values[place]
        number = log.writer.get(value)
        if number is None or value in log.again:
            continue
        invoke, completion = operations[number]
        time = seen.times[place]
        if time < invoke.time:
            _report_time(analysis, findings, (number, seen.by[place]), (log.key, value))
        elif time < latest.get(number, (0, 0))[0] and seen.by[place] not in latest:
            _report_time(analysis, findings, (latest[number][1], seen.by[place]), (log.key, value))
        if invoke.time > known:
            _report_order(analysis, findings, of_key, (place, knower))
        if completion.time < time and (completion.type == "ok" or value in log.told):
            time = completion.time
        if time < known:
            known, knower = time, place


def _report_order(
    analysis: Analysis, findings: Findings, of_key: tuple[Log, _Seen], places: tuple[int, int]
) -> None:
    if not findings.wants("realtime-order"):
        findings.counts["realtime-order"] += 1
        return
    log, seen = of_key
    early, late = (log.values[place] for place in places)
    offsets = [log.offsets[place] for place in places]
    writer = log.writer[late]
    evidence: list[Event | Operation] = [analysis.operations[writer], analysis.operations[log.writer[early]]]
    by = "acknowledged"
    if seen.times[places[1]] < analysis.operations[writer].completion.time:
        by = "polled"
        evidence.append(analysis.operations[seen.by[places[1]]].completion)
    detail = (
        f"{late} at offset {offsets[1]} of {log.key} was {by} before {early} was sent, "
        f"which stands at offset {offsets[0]}"
    )
    data = {"key": log.key, "values": [early, late], "offsets": offsets, "by": by}
    findings.add("realtime-order", detail, evidence, data)
