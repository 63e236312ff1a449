/* How far the tasks have come that run, in Flower's table of tasks: one request for all rows that are shown. */
$(function () {
  const element = document.getElementById('tasks-table'), url = document.getElementById('tasks-progress').dataset.url;
  const table = $(element).DataTable(), known = new Map(); // id -> [done, total]
  const state = Math.max(0, table.columns().dataSrc().toArray().indexOf('state'));
  const running = () => table.rows({page: 'current'}).indexes().toArray()
    .filter(index => table.row(index).data().state === 'STARTED');

  /* Flower draws all rows anew every two seconds: what is known is there at once, so no bar flickers. */
  function draw(indexes) {
    for (const index of indexes) {
      const {uuid, name} = table.row(index).data(), cell = table.cell(index, state).node(), told = known.get(uuid);
      if (!cell) continue;
      let bar = cell.querySelector('progress');
      if (!told) { // none yet, or it runs again
        if (bar) bar.remove();
        continue;
      }
      if (!bar) cell.append(bar = interlock.element('progress', {class: 'task-progress'}));
      cell.classList.add('has-progress');
      interlock.fill(bar, ...told);
      bar.title = interlock.amounts(...told);
      bar.setAttribute('aria-label', 'Progress of ' + (name || uuid) + ': ' + bar.title);
    }
  }

  let asks = false;
  function ask() {
    const ids = running().map(index => table.row(index).data().uuid);
    for (const id of known.keys()) if (!ids.includes(id)) known.delete(id);
    draw(running());
    if (asks || document.hidden || !ids.length) return;
    asks = true;
    $.ajax({url: url, dataType: 'json', traditional: true, data: {id: ids.slice(0, 100)},
      complete: () => { asks = false; },
      success: answer => {
        known.clear();
        for (const [id, told] of Object.entries(answer)) known.set(id, told);
        draw(running());
      }}); // if that fails, the table says so itself
  }
  table.on('draw.dt', ask);
  ask();
});
