"""The documentation of the API as a page without scripts, from its OpenAPI description."""

import json
from functools import partial

from jinja2 import Environment

_ENVIRONMENT = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_ENVIRONMENT.filters["json"] = partial(json.dumps, indent=1, ensure_ascii=False)
PAGE = _ENVIRONMENT.from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ api.info.title }}: API</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: .875rem/1.4 ui-monospace, monospace; overflow: auto; }
pre { max-height: 20rem; border: 1px solid #8886; padding: .5rem; }
summary { cursor: pointer; padding: .25rem 0; }
dt { font-weight: bold; }
</style>
<h1>{{ api.info.title }} {{ api.info.version }}: API</h1>
<p>The same for programs: <a href="/openapi.json">openapi.json</a>. Errors are
<code>application/problem+json</code> with title, status and detail.</p>
{% for path, methods in api.paths.items() %}
{% for method, operation in methods.items() %}
<details>
<summary><code>{{ method.upper() }} {{ path }}</code> {{ operation.summary }}</summary>
<p>{{ operation.description }}</p>
{% if operation.parameters %}
<dl>
{% for one in operation.parameters %}
<dt><code>{{ one.name }}</code> ({{ one.in }})</dt><dd><code>{{ one.schema | json }}</code></dd>
{% endfor %}
</dl>
{% endif %}
{% for kind, content in (operation.requestBody or {}).get("content", {}).items() %}
<h4>Body: <code>{{ kind }}</code></h4>
<pre>{{ content.schema | json }}</pre>
{% endfor %}
{% for status, answer in operation.responses.items() %}
<h4>Answer {{ status }}: {{ answer.description }}</h4>
{% for kind, content in (answer.content or {}).items() %}
<pre>{{ content.schema | json }}</pre>
{% endfor %}
{% endfor %}
</details>
{% endfor %}
{% endfor %}
{% if api.components %}
<h2>Types</h2>
{% for name, schema in api.components.schemas.items() %}
<details><summary><code>{{ name }}</code></summary><pre>{{ schema | json }}</pre></details>
{% endfor %}
{% endif %}
</html>
""")
