"""Split a column into several, each a part of it by an expression."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from orchestrator.operations.base import ColumnField
from orchestrator.operations.converting import Converting, Expression, MadeColumn
from orchestrator.words import kebab, listed


class SplitColumn(Converting):
    """A column becomes several; old and new ones work until contract."""

    example: ClassVar[str] = (
        "users full_name"
        """ --into "first_name text = split_part(full_name, ' ', 1)\""""
        """ --into "last_name text = split_part(full_name, ' ', 2)\""""
        """ --reverse "concat_ws(' ', first_name, last_name)\""""
    )
    kind: Literal["split_column"] = "split_column"  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    column: Annotated[ColumnField, Field(description="The column that is split, and goes at contract")]
    into: Annotated[
        tuple[MadeColumn, ...],
        Field(
            min_length=1, description="The new columns: [{column: …, type: …, using: expression, not_null: true}, …]"
        ),
    ]
    reverse: Annotated[
        Expression | None, Field(description="The old column's value, an expression over the new columns")
    ] = None

    @model_validator(mode="after")
    def _has_a_way_back(self) -> "SplitColumn":
        self._refuse_silent_loss()
        return self

    @property
    @override
    def summary(self) -> str:
        return f"{self.target}.{self.column} is split into {listed(self.made())}"

    @property
    @override
    def slug(self) -> str:
        return f"split-{kebab(self.column)}"

    @property
    @override
    def sources(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    @override
    def results(self) -> tuple[MadeColumn, ...]:
        return self.into

    @override
    def back(self, column: str) -> Expression | None:
        return self.reverse
