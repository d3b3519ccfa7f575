"""What a job class may set its options to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prokerja.errors import BadOption, CatalogError
from prokerja.model.declaration import SHELL
from prokerja.on_failure import ALLOWED, is_command
from prokerja.terms import NAME, TERMS, WAIT, Rule
from prokerja.text import brief, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prokerja.model.flow import FlowTerms

JOB_NAME = Rule(lambda value: NAME.fits(value) and value != SHELL, f"{NAME.allowed}, not {SHELL}")
"""The name of a job of one's own."""
KEEP = Rule(
    lambda value: value is None or WAIT.fits(value),
    "False, seconds up to 100 years, or a timedelta",
)
"""For how long completed ones are kept."""
ON_FAILURE = Rule(lambda value: value is None or is_command(value), ALLOWED)
RULES = {"name": JOB_NAME, **{term.name: term.rule for term in TERMS}, "keep": KEEP}
RULES |= {"on_failure": ON_FAILURE}


def seconds_kept(keep: Any) -> Any:
    """What a class says for `keep`, in seconds; what makes no sense there is left as it is."""
    if keep is False:
        return 0.0
    return keep.total_seconds() if hasattr(keep, "total_seconds") else keep


def check(cls: str, values: Mapping[str, Any]) -> None:
    """Raise CatalogError if the class of that name sets an option to what it cannot be."""
    for key, value in values.items():
        if not RULES[key].fits(value):
            raise CatalogError(
                f"{brief(cls)}.{key} is {shown(value)}; make it {RULES[key].allowed}"
            )


def flow_terms(cls: str, values: Mapping[str, Any]) -> FlowTerms | None:
    """What the class of that name says by these options; raises CatalogError."""
    said = {name: value for name, value in values.items() if value is not None}
    if not said:
        return None
    from prokerja.flow.terms import NOTHING, terms_of

    try:
        terms = terms_of(said, f"{brief(cls)}.")
    except BadOption as error:
        raise CatalogError(str(error)) from None
    terms = terms._replace(needs=terms.needs or None)
    return None if terms == NOTHING else terms
