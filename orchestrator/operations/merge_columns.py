"""Merge several columns into one, by an expression over them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from orchestrator.operations.base import ColumnField
from orchestrator.operations.converting import Converting, Expression, MadeColumn
from orchestrator.words import kebab, listed


class MergeColumns(Converting):
    """Several columns become one; old and new ones work until contract."""

    example: ClassVar[str] = (
        "addresses --columns street --columns number"
        """ --into "line text = concat_ws(' ', street, number)\""""
        """ --reverse "street = regexp_replace(line, ' [^ ]*$', '')\""""
        """ --reverse "number = substring(line from ' ([^ ]*)$')\""""
    )
    kind: Literal["merge_columns"] = "merge_columns"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    columns: Annotated[
        tuple[ColumnField, ...],
        Field(min_length=1, description="A column that is merged, and goes at contract"),
    ]
    into: Annotated[
        MadeColumn, Field(description="The new column: {column: …, type: …, using: expression, not_null: true}")
    ]
    reverse: Annotated[
        dict[ColumnField, Expression],
        Field(description="The old columns' values, over the new one: {column: expression, …}"),
    ] = {}  # noqa: RUF012 - pydantic copies it

    @override
    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @model_validator(mode="after")
    def _has_a_way_back(self) -> "MergeColumns":
        if unknown := self.reverse.keys() - set(self.sources):
            raise ValueError(f"reverse names {listed(sorted(unknown))}, which is not among columns")
        self._refuse_silent_loss()
        return self

    @property
    @override
    def summary(self) -> str:
        become = "becomes" if len(self.sources) == 1 else "become"
        return f"{listed(self.sources)} of {self.target} {become} {self.into.column}"

    @property
    @override
    def slug(self) -> str:
        return f"merge-{kebab(self.into.column)}"

    @property
    @override
    def sources(self) -> tuple[str, ...]:
        return self.columns

    @property
    @override
    def results(self) -> tuple[MadeColumn, ...]:
        return (self.into,)

    @override
    def back(self, column: str) -> Expression | None:
        return self.reverse.get(column)
