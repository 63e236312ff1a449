/* The table of dead letters, and the page of one: replay and delete what the search leaves, or that one. */
$(function () {
  const element = document.getElementById('letters-table'), page = document.getElementById('letter-page');
  const {column, element: make} = interlock, buttons = $('#replay, #delete');
  const shown = count => count.toLocaleString() + (count === 1 ? ' dead letter' : ' dead letters');
  const time = seconds => new Date(seconds * 1000).toLocaleString();

  function change(button, letters, done) {
    const replay = button.id === 'replay';
    interlock.confirm((replay ? 'Replay ' : 'Delete ') + shown(letters.length) + '?',
      replay ? 'The messages go to their queues again, and workers run them; their deliveries are counted anew.' :
        'The messages are lost.',
      replay ? 'Replay' : 'Delete',
      () => interlock.post(button.dataset.url, {letters: JSON.stringify(letters)}, answer => {
        interlock.say(shown(answer.done) + ' ' + answer.did + '.', false);
        done();
      }));
  }

  if (page) {
    buttons.on('click', function () {
      change(this, [page.dataset.letter], () => buttons.prop('disabled', true));
    });
    return;
  }

  const plain = name => column(row => row[name], row => make('span', {}, String(row[name])).outerHTML);
  const table = interlock.table(element, 'dead letters', {
    order: [[3, 'desc']],
    rowId: row => 'letter-' + row.digest,
    language: {
      searchPlaceholder: 'task, argument, reason or id',
      zeroRecords: 'No dead letter matches your search.',
      emptyTable: 'No dead letters: workers could run every message. One that none can run comes here, and waits ' +
        'for a week.',
    },
    ajax: {
      url: element.dataset.url,
      dataSrc: 'data',
      error: request => interlock.say(interlock.reason(request), true),
    },
    columns: [
      plain('task'),
      plain('arguments'),
      plain('queue'),
      column(row => row.seconds, row => make('span', {class: 'number'}, time(row.seconds)).outerHTML),
      plain('deliveries'),
      plain('reason'),
      column(row => row.id, row => make('a', {href: row.url}, row.id).outerHTML),
    ],
  });
  const left = () => table.rows({search: 'applied'}).data().toArray().map(row => row.digest);
  table.on('draw', () => {
    const count = left().length;
    buttons.prop('disabled', !count);
    $('#replay').text(count ? 'Replay ' + count.toLocaleString() : 'Replay');
    $('#delete').text(count ? 'Delete ' + count.toLocaleString() : 'Delete');
  });
  buttons.on('click', function () { change(this, left(), () => table.ajax.reload(null, false)); });
  interlock.live(element, 10, () => $('#confirm').hasClass('show') || table.ajax.reload(null, false));
});
