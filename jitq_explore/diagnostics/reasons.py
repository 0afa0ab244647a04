"""`Reason`: one step of an explanation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of an explanation.

    `cause` is a word ("no_qconfig", "in_loop", "no_rule", "float_input", …); `node` is the node
    that is to blame, in the graph of the stage that was asked about ("" for none), `module` the
    module.
    """

    cause: str
    text: str
    remedy: str = ""
    node: str = ""
    module: str = ""
