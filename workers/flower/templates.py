"""Flower's templates, with what we add to its navigation and to its pages of tasks; and our own templates.

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

LIVE = """
  <link href="{{ reverse_url('interlock-static', 'interlock.css') }}" rel="stylesheet">
  <section id="task-live" class="detail-card" aria-label="What it does" hidden
    data-url="{{ reverse_url('task-live', task.uuid) }}"
    data-ended="{{ 'true' if task.state in handler.RETRIED else 'false' }}">
    <p id="live-said" class="small" role="status"></p>
    <dl class="detail-list">
      <div class="detail-row" id="live-progress" hidden><dt>Progress</dt>
        <dd><progress class="task-progress" aria-labelledby="live-amounts" max="1" value="0"></progress>
          <span id="live-amounts" class="number"></span></dd></div>
      <div class="detail-row detail-row-code" id="live-lines" hidden><dt>Printed</dt>
        <dd><pre class="detail-code" tabindex="0" aria-label="Printed lines"><code></code></pre></dd></div>
      <div class="detail-row" id="live-holds" hidden><dt>Holds</dt><dd></dd></div>
      <div class="detail-row" id="live-waits" hidden><dt>Waits for</dt><dd></dd></div>
      <div class="detail-row" id="live-returns" hidden><dt>Deliveries before</dt><dd></dd></div>
    </dl>
  </section>"""

SCRIPTS = """
{{% block extra_scripts %}}
<script src="{{{{ reverse_url('interlock-static', 'interlock.js') }}}}"></script>
{0}
{{% end %}}
"""
SCRIPT = """<script src="{{{{ reverse_url('interlock-static', '{0}') }}}}"></script>"""
OF_TASK = SCRIPTS.format(SCRIPT.format("retry.js") + SCRIPT.format("task.js"))
OF_TASKS = SCRIPTS.format(SCRIPT.format("tasks.js"))
PROGRESS_BARS = """
<link href="{{ reverse_url('interlock-static', 'interlock.css') }}" rel="stylesheet">
<div id="tasks-progress" data-url="{{ reverse_url('tasks-progress') }}" hidden></div>"""
END = "  </section>\n</div>\n{% end %}\n"  # of the block with the page's content

# name of Flower's template -> (the text behind which it stands, what is inserted)
INSERTED = {
    "navbar.html": [
        (
            """{% if active_tab == 'broker' %}aria-current="page"{% end %}>Broker</a>\n        </li>""",
            ENTRY.format(page="locks", title="Locks") + ENTRY.format(page="dead-letters", title="Dead letters"),
        )
    ],
    "task.html": [('<div class="detail-actions">', RETRY), ("  </header>", LIVE), (END, OF_TASK)],
    "tasks.html": [("{% block container %}", PROGRESS_BARS), (END, OF_TASKS)],
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
