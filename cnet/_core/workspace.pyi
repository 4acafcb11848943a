class Workspace:
    def __new__(
        cls,
        widths: tuple[int, ...],
        single: frozenset[int],
        itemsize: int,
        capacity: int,
        training: bool,
        shared: dict[int, int],
        spare: int,
    ) -> Workspace: ...
    @property
    def capacity(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
