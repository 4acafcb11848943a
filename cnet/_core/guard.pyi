from cnet._core.network import Network
from cnet._core.rules import Rule
from cnet._core.workspace import Workspace

FAULTS: tuple[str, ...]

class Guard:
    def __new__(cls, network: Network, rule: Rule, work: Workspace) -> Guard: ...
    @property
    def fault(self) -> int: ...
