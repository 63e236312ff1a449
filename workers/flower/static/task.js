/* What a task does right now, above Flower's details of it: read again each second, until the task has ended. */
$(function () {
  const section = document.getElementById('task-live'), {element: make, duration} = interlock;
  const row = name => document.getElementById('live-' + name), value = name => row(name).querySelector('dd');
  const bar = section.querySelector('progress'), amounts = document.getElementById('live-amounts');
  const code = section.querySelector('code'), said = document.getElementById('live-said');

  /* Show a row from when there first is something. It stays, so that nothing below it jumps when there is nothing. */
  function show(name, something) {
    if (something) row(name).hidden = section.hidden = false;
    return !row(name).hidden;
  }

  function draw(live) {
    if (show('progress', live.progress)) {
      const told = live.progress, text = told ? interlock.amounts(...told) : 'nothing now'; // when it runs again
      interlock.fill(bar, ...(told || [0, 1]));
      if (amounts.textContent !== text) amounts.textContent = text;
    }
    if (show('lines', live.lines.length)) {
      const before = live.lines_before ? '… ' + live.lines_before.toLocaleString() + ' before\n' : '';
      const text = before + live.lines.join('\n'), pane = code.parentElement;
      if (code.textContent !== text) {
        const atEnd = pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 4;
        code.textContent = text;
        if (atEnd) pane.scrollTop = pane.scrollHeight;
      }
    }
    for (const name of ['holds', 'waits'])
      if (show(name, live[name].length))
        value(name).replaceChildren(live[name].length ? make('ul', {}, ...live[name].map(use)) : 'nothing now');
    if (show('returns', live.returns.length))
      value('returns').replaceChildren(make('ul', {}, ...live.returns.map(each => make('li', {},
        each.consumer + ' took the message at ' + time(each.taken) + ' and no longer renewed it; it went back at ' +
        time(each.returned)))));
  }

  const time = seconds => new Date(seconds * 1000).toLocaleTimeString();
  const use = each => make('li', {}, make('a', {href: each.url}, each.name), ' ' + each.kind +
    (each.place ? ', place ' + each.place + ' of ' + each.waiting : '') +
    (each.seconds === null ? '' : ', for ' + duration(each.seconds)) + (each.lingers ? ', lingers' : ''));

  let ended = section.dataset.ended === 'true', failed = false, asks = false;
  const load = () => {
    if (asks) return;
    asks = true;
    $.ajax({url: section.dataset.url, dataType: 'json', complete: () => { asks = false; },
      success: live => {
        const focused = interlock.focused(section);
        draw(live);
        interlock.refocus(section, focused);
        if (failed) said.replaceChildren();
        failed = false;
        if (live.ended && !ended)
          said.replaceChildren('The task has ended: ', make('a', {href: location.href}, 'show its result'));
        ended = live.ended;
      },
      error: request => {
        failed = true;
        section.hidden = false;
        said.replaceChildren(interlock.reason(request));
      }});
  };
  load();
  interlock.live(section, 1, () => ended || load());
});
