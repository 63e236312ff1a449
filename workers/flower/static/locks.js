/* The table of locks: Flower's DataTables over what the server reads from Redis. */
$(function () {
  const element = document.getElementById('locks-table'), {column, element: make, party, duration} = interlock;
  const list = (tag, items, all) => {
    const made = make(tag, {}, ...items.map(item => make('li', {}, item)));
    if (all > items.length) made.append(make('li', {}, '… and ' + (all - items.length).toLocaleString() + ' more'));
    return items.length ? made.outerHTML : '';
  };
  const most = (row, value) => Math.max(0, ...row.holders.map(value));
  const text = each => [each.task, each.label, each.process, each.worker].join(' ');
  const numbers = (row, value, shown) =>
    list('ul', row.holders.map(each => make('span', {class: 'number'}, shown(value(each)))), 0);

  const table = interlock.table(element, 'locks', {
    stateSave: true,
    order: [[6, 'desc'], [0, 'asc']],
    rowId: row => 'lock-' + [row.kind, row.lock, row.name].map(encodeURIComponent).join('/'),
    language: {
      searchPlaceholder: 'name, kind, task or worker',
      zeroRecords: 'No lock matches your search.',
      emptyTable: 'Nobody holds or waits for a lock now. One that is in use shows within a second: ' +
        '<code>with interlock.Lock(name="report"): ...</code>',
    },
    ajax: {
      url: element.dataset.url,
      dataSrc: answer => {
        $('#live-dot').addClass('status-dot-live').removeClass('status-dot-error');
        $('#live-status').text('Updated ' + new Date().toLocaleTimeString());
        interlock.say(answer.known > answer.looked_at ? 'Shown of the ' + answer.looked_at.toLocaleString() +
          ' names used last; processes used ' + answer.known.toLocaleString() + '.' : '', false);
        return answer.data;
      },
      error: request => {
        $('#live-dot').addClass('status-dot-error').removeClass('status-dot-live');
        $('#live-status').text('Update failed');
        interlock.say(interlock.reason(request), true);
      },
    },
    columns: [
      column(row => row.name, row => make('span', {}, make('a', {href: row.url}, row.name),
        row.lock ? make('span', {class: 'party-worker'}, ' of the lock ' + row.lock) : null).outerHTML),
      column(row => row.kind, row => make('span', {}, row.kind +
        (row.permits > 1 ? ', ' + row.holding + ' of ' + row.permits : '')).outerHTML),
      column(row => row.holders.map(text).join(' '), row => list('ul', row.holders.map(party), row.holding)),
      column(row => most(row, each => each.token), row => numbers(row, each => each.token, String)),
      column(row => most(row, each => each.seconds), row => numbers(row, each => each.seconds, duration)),
      column(row => most(row, each => each.remaining), row => numbers(row, each => each.remaining, duration)),
      {data: 'waiting', className: 'number', render: (data, type) => type === 'display' ? data.toLocaleString() : data},
      column(row => row.waiters.map(text).join(' '), row => list('ol', row.waiters.map(each =>
        make('span', {}, party(each), make('span', {class: 'party-time'}, ', for ' + duration(each.seconds)))),
        row.waiting)),
    ],
  });
  // DataTables draws all rows anew: the link that had the focus gets it back.
  let focused = null;
  table.on('preDraw', () => { focused = interlock.focused(element); });
  table.on('draw', () => interlock.refocus(element, focused));
  interlock.live(element, 1, () => table.ajax.reload(null, false));
});
