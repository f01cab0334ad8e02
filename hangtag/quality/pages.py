"""The HTML pages that hangtag writes, from templates."""

from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """Render a template of hangtag/templates. A variable missing in `values` raises."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hangtag"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)
