"""Flower's templates, with our entries in its navigation and our button on its page of a task; and our own templates.

Each insertion names the text of Flower's template behind which it stands. A Flower without that text is refused when it
starts, and by the tests, rather than shown without the entry.
"""

from pathlib import Path

from tornado.template import Loader, Template

PACKAGE = Path(__file__).parent
TEMPLATES, STATIC = PACKAGE / "templates", PACKAGE / "static"

ENTRY = """
        <li class="nav-item">
          <a class="nav-link{{% if active_tab == '{page}' %}} active{{% end %}}"
            href="{{{{ reverse_url('{page}') }}}}"
            {{% if active_tab == '{page}' %}}aria-current="page"{{% end %}}>{title}</a>
        </li>"""

RETRY = """
      {% if handler.may_change and task.state in handler.RETRIED %}
      <button class="btn btn-primary" type="button" id="task-retry"
        data-url="{{ reverse_url('retry', task.uuid) }}">Retry</button>
      {% end %}
      <span id="task-retried" role="status"></span>"""

SCRIPT = """
{% block extra_scripts %}
<script src="{{ reverse_url('interlock-static', 'interlock.js') }}"></script>
<script src="{{ reverse_url('interlock-static', 'retry.js') }}"></script>
{% end %}
"""

# name of Flower's template -> (the text behind which it stands, what is inserted)
INSERTED = {
    "navbar.html": [
        (
            """{% if active_tab == 'broker' %}aria-current="page"{% end %}>Broker</a>\n        </li>""",
            ENTRY.format(page="locks", title="Locks") + ENTRY.format(page="dead-letters", title="Dead letters"),
        )
    ],
    "task.html": [('<div class="detail-actions">', RETRY), ("  </section>\n</div>\n{% end %}\n", SCRIPT)],
}


class Templates(Loader):
    """Loads our templates, and Flower's with what is inserted."""

    def _create_template(self, name: str) -> Template:
        if (TEMPLATES / name).is_file():
            return Template((TEMPLATES / name).read_text(), name=name, loader=self)
        if name not in INSERTED:
            return super()._create_template(name)
        text = (Path(self.root) / name).read_text()
        return Template(inserted(name, text), name=name, loader=self)


def inserted(name: str, text: str) -> str:
    """Return the text of one of Flower's templates with what is inserted.

    Raises:
        ValueError: the template does not have the text behind which something is to stand: this is another Flower.
    """
    for behind, added in INSERTED[name]:
        if text.count(behind) != 1:
            raise ValueError(f"Flower's {name} is not the one of Flower 2.2: it does not have {behind!r} once")
        text = text.replace(behind, behind + added)
    return text
