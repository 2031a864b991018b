"""A table of a configuration file, as it is written."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """Its keys, each with the type of its value: no others may stand there, and nothing is taken for something else."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True)
