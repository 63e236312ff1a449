/* The page of one lock: its holders and its queue, read again each second, and the button that breaks it. */
$(function () {
  const page = document.getElementById('lock-page'), {element: make, party, duration} = interlock;
  const {url, name, lock} = page.dataset, breaks = document.getElementById('break');
  const rows = (id, drawn, none, all) => {
    const body = document.getElementById(id);
    const line = text => drawn.push(make('tr', {}, make('td', {colspan: 4}, text)));
    if (all > drawn.length) line('… and ' + (all - drawn.length).toLocaleString() + ' more');
    if (!drawn.length) line(none);
    body.replaceChildren(...drawn);
  };
  const number = text => make('td', {class: 'number'}, text);

  function show(seen) {
    $('#lock-kind').text(!seen ? '—' : seen.kind + (seen.permits > 1 ? ' of ' + seen.permits + ' permits' : '') +
      (seen.lock ? ' of the lock ' + seen.lock : ''));
    $('#lock-state').text(!seen ? 'Redis knows nothing of this name: nobody has used it for a day.' :
      seen.holding ? 'held by ' + seen.holding.toLocaleString() + ', ' + seen.waiting.toLocaleString() + ' waiting' :
      seen.waiting ? seen.waiting.toLocaleString() + ' waiting' : 'free');
    rows('holders', (seen ? seen.holders : []).map(each => make('tr', {}, make('td', {}, party(each)),
      number(String(each.token)), number(duration(each.seconds)), number(duration(each.remaining)))),
      'Nobody holds it.', seen ? seen.holding : 0);
    rows('waiters', (seen ? seen.waiters : []).map((each, place) => make('tr', {}, number(String(place + 1)),
      make('td', {}, party(each)), number(duration(each.seconds)))), 'Nobody waits.', seen ? seen.waiting : 0);
    if (breaks) breaks.hidden = !seen || !seen.breakable;
  }

  let failed = false;
  const load = () => $.ajax({url: url, dataType: 'json', data: {name: name, lock: lock},
    success: answer => {
      if (failed) interlock.say('', false);
      failed = false;
      const focused = interlock.focused(page);
      show(answer.lock);
      interlock.refocus(page, focused);
    },
    error: request => { failed = true; interlock.say(interlock.reason(request), true); }});

  if (breaks) breaks.addEventListener('click', () => interlock.confirm('Break ' + name + '?',
    'All holders lose it, and the first waiter gets it. A holder learns of it with its next renewal or release: what ' +
    'it writes under the lock from now on is refused.', 'Break it',
    () => interlock.post(page.dataset.break, {name: name}, answer => {
      interlock.say(answer.ended ? 'Broken: ' + answer.ended + (answer.ended === 1 ? ' lease' : ' leases') + ' ended.' :
        'Nobody held it any more.', false);
      load();
    })));
  load();
  interlock.live(page, 1, load);
});
