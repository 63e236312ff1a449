"""A worker that includes this says it has what OTHER_VERSIONS names, as `celery=5.6.2`; `none`: it says nothing."""

import os

from workers.extensions import versions

_text = os.environ["OTHER_VERSIONS"]
_own = versions.own
if _text == "none":
    versions.Versions.info = lambda self, worker: None
else:
    _field, _, _version = _text.partition("=")
    versions.own = lambda: {**_own(), _field: _version}
