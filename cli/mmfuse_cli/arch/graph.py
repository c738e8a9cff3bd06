"""An architecture as nodes and edges, and those as Graphviz's DOT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmfuse.architecture import Architecture
from mmfuse_runs.comparison import flattened
from mmfuse_tui.families.mfas import ACTIVATIONS


@dataclass
class Graph:
    """Nodes with what they are called, in order, and who feeds whom."""

    nodes: dict[str, str] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def add(self, node: str, label: str, *, after: Sequence[str] = ()) -> str:
        """A node that is fed by the nodes ``after``; its name."""
        self.nodes[node] = label
        self.edges += [(before, node) for before in after]
        return node

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "nodes": [{"id": node, "label": label} for node, label in self.nodes.items()],
            "edges": [{"from": before, "to": after} for before, after in self.edges],
        }

    def to_dot(self, name: str) -> str:
        """The graph from left to right in Graphviz's language."""
        lines = [f"digraph {_quoted(name)} {{", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
        lines += [f"  {_quoted(node)} [label={_quoted(label)}];" for node, label in self.nodes.items()]
        lines += [f"  {_quoted(before)} -> {_quoted(after)};" for before, after in self.edges]
        return "\n".join([*lines, "}"]) + "\n"


def graph_of(architecture: Architecture) -> Graph:
    """How data flows through the architecture: modalities, encoders, fusion, head.

    A family that is neither branches into a fusion nor a chain over taps is one node that lists its parameters.
    """
    params, graph = architecture.params, Graph()
    if isinstance(params.get("encoders"), Mapping):
        ends = [_branch(graph, name, encoder) for name, encoder in params["encoders"].items()]
        fused = graph.add("fusion", str(params.get("fusion", "concat")), after=ends)
        network = [graph.add("network", _block(params["network"]), after=[fused])] if params.get("network") else [fused]
        graph.add("head", "head", after=network)
    elif "encoder" in params and "modality" in params:
        graph.add("head", "head", after=[_branch(graph, str(params["modality"]), params["encoder"])])
    elif "layers" in params and "modalities" in params:
        _chain(graph, params)
    else:
        rows = [f"{name} = {value}" for name, value in flattened(params).items()]
        graph.add(architecture.family, "\n".join([architecture.family, *rows]))
    return graph


def _branch(graph: Graph, modality: str, encoder: Any) -> str:
    source = graph.add(modality, modality)
    return graph.add(f"{modality} encoder", _block(encoder), after=[source])


def _block(part: Any) -> str:
    """A block with its sizes, a line each."""
    if not isinstance(part, Mapping):
        return str(part)
    sizes = [f"{name} = {value}" for name, value in flattened(part).items() if name != "block"]
    return "\n".join([str(part.get("block", "encoder")), *sizes])


def _chain(graph: Graph, params: Mapping[str, Any]) -> None:
    """MFAS: every layer reads one tap of each backbone, and the layer before it."""
    names = [str(name) for name in params["modalities"]]
    for name in names:
        graph.add(name, name)
    before: list[str] = []
    for number, row in enumerate(params["layers"], start=1):
        taps = []
        for name, tap in zip(names, row[:-1], strict=True):
            known = f"{name} tap {tap}" in graph.nodes
            taps.append(graph.add(f"{name} tap {tap}", f"{name} tap {tap}", after=[] if known else [name]))
        before = [graph.add(f"layer {number}", f"layer {number}\n{ACTIVATIONS[row[-1]]}", after=[*taps, *before])]
    graph.add("head", "head", after=before)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
