"""A job with what its declaration is to ask for."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from prokerja.options import Options


class ConfiguredJob(NamedTuple):
    """What `Job.options` gives: declared in the place of the job, with these options."""

    job: Any
    terms: Options

    def overridden(self, keywords: Mapping[str, Any]) -> "ConfiguredJob":
        """The same job, where what the keywords say, unless that is None, goes before."""
        given = {name: value for name, value in keywords.items() if value is not None}
        if "at" in given or "delay" in given:
            given = {"at": None, "delay": None, **given}
        if "lock" in given:
            given = {"limit_key": None, "limit": None, **given}
        return ConfiguredJob(self.job, self.terms._replace(**given))
