/* What the scripts of our pages share. Texts that others chose reach a page by textContent alone. */
const interlock = {
  /* Return an element. Attributes that are undefined are left out; children are elements or texts. */
  element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {}))
      if (value !== undefined && value !== '') made.setAttribute(name, value);
    made.append(...children.filter(child => child !== null && child !== undefined));
    return made;
  },

  /* Return a length of time for people. */
  duration(seconds) {
    if (seconds === null || seconds === undefined) return '—';
    if (seconds < 60) return seconds.toFixed(1) + ' s';
    const whole = Math.round(seconds), two = number => String(number).padStart(2, '0');
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return hours ? hours + ' h ' + two(minutes) + ' m' : minutes + ' m ' + two(whole % 60) + ' s';
  },

  /* Return how far something has come. */
  amounts(done, total) {
    return done.toLocaleString() + ' of ' + total.toLocaleString() +
      (total ? ' (' + Math.floor(100 * done / total) + ' %)' : '');
  },

  /* Set a bar. 0 of 0 is all. */
  fill(bar, done, total) {
    bar.max = total || 1;
    bar.value = total ? done : 1;
  },

  /* Return what a holder or a waiter is: its task and worker, with links, or its process. */
  party(party) {
    const made = interlock.element('span', {class: 'party'});
    if (party.task) {
      const name = party.label.replace(/\[[^\[\]]*\]( to write)?$/, '$1') + ' ' + party.task.slice(0, 8);
      made.append(party.task_url ? interlock.element('a', {href: party.task_url, title: party.task}, name) : name);
    } else {
      made.append(party.label ? party.process + ' ' + party.label : party.process);
    }
    if (party.worker)
      made.append(interlock.element('span', {class: 'party-worker'}, ' on ',
        interlock.element('a', {href: party.worker_url}, party.worker)));
    else if (party.task)
      made.append(interlock.element('span', {class: 'party-worker'}, ' in ' + party.process));
    if (party.lingers)
      made.append(' ', interlock.element('span', {class: 'badge text-bg-secondary',
        title: 'Its process keeps the lock after a release, until another process asks for it'}, 'lingers'));
    return made;
  },

  /* Say something above the page's content; an error in red. */
  say(text, failed) {
    const said = document.getElementById('said');
    said.classList.toggle('text-danger', Boolean(failed));
    if (said.textContent !== text) said.replaceChildren(text);
    return said;
  },

  /* Return what to say of a request that failed. */
  reason(request) {
    const line = (request.responseText || '').trim();
    if (request.status === 0) return 'Flower does not answer.';
    return line && line.length < 600 && !line.startsWith('<') ? line : 'Flower answered ' + request.status + '.';
  },

  /* Ask before something is changed; call `change` if the answer is yes. */
  confirm(title, text, verb, change) {
    const modal = bootstrap.Modal.getOrCreateInstance(document.getElementById('confirm'));
    document.getElementById('confirm-title').textContent = title;
    document.getElementById('confirm-text').textContent = text;
    const button = document.getElementById('confirm-do');
    button.textContent = verb;
    button.onclick = () => { modal.hide(); change(); };
    modal.show();
  },

  /* Send a change. Flower's own script adds the token against cross-site requests. */
  post(url, data, done) {
    $.ajax({type: 'POST', url: url, dataType: 'json', data: data, success: done,
      error: request => interlock.say(interlock.reason(request), true)});
  },

  /* Call `reload` again and again, but not while nobody looks, or while somebody is about to click or selects text. */
  live(element, seconds, reload) {
    let pressed = false;
    element.addEventListener('pointerdown', () => { pressed = true; });
    window.addEventListener('pointerup', () => { pressed = false; });
    window.addEventListener('pointercancel', () => { pressed = false; });
    const selects = () => {
      const selection = window.getSelection();
      return !selection.isCollapsed && element.contains(selection.anchorNode);
    };
    setInterval(() => document.hidden || pressed || selects() || reload(), seconds * 1000);
  },

  /* After each drawing of a table, say to a screen reader what DataTables 1.13 writes in an attribute of a wrong
     name. */
  mend(table) {
    const name = () => table.table().container().querySelectorAll('[aria-role]').forEach(each => {
      each.setAttribute('role', each.getAttribute('aria-role'));
      each.removeAttribute('aria-role');
    });
    table.on('draw', name);
    name();
  },

  /* Return the target of the link in an element that has the keyboard's focus, or null. */
  focused(element) {
    return element.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
  },

  /* Give the focus back to the link with that target, after the element's content was drawn anew. */
  refocus(element, href) {
    if (href && !element.contains(document.activeElement))
      for (const link of element.querySelectorAll('a'))
        if (link.getAttribute('href') === href) { link.focus({preventScroll: true}); break; }
  },

  /* Return a column of a table: what it is sorted and searched by, and what is displayed. */
  column(sorted, displayed) {
    return {data: null, render: (_, type, row) => type === 'display' ? displayed(row) : sorted(row)};
  },

  /* Return one of Flower's tables over what `ajax` gets. `things` are what it lists; the texts of `language` and the
     other options are the page's. */
  table(element, things, {language, ...options}) {
    $.fn.dataTable.ext.errMode = 'none';
    const table = $(element).DataTable({
      dom: "frt<'dt-footer'lip>",
      lengthMenu: [15, 30, 50, 100],
      pageLength: 15,
      deferRender: true,
      autoWidth: false,
      language: {
        lengthMenu: '_MENU_',
        info: 'Showing _START_ to _END_ of _TOTAL_ ' + things,
        infoEmpty: 'No ' + things + ' to show',
        infoFiltered: '(filtered from _MAX_ ' + things + ')',
        search: '<span class="visually-hidden">Search ' + things + '</span>',
        loadingRecords: 'Loading',
        ...language,
      },
      initComplete: () => $('#' + element.id + '_length select').attr('aria-label',
        things[0].toUpperCase() + things.slice(1) + ' per page'),
      ...options,
    });
    interlock.mend(table);
    return table;
  },
};
