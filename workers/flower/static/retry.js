/* The button on Flower's page of a task: enqueues the task again. */
$(function () {
  $('#task-retry').on('click', function () {
    const button = this, said = document.getElementById('task-retried');
    button.disabled = true;
    $.ajax({type: 'POST', url: button.dataset.url, dataType: 'json',
      success: answer => said.replaceChildren('Enqueued again: ',
        interlock.element('a', {href: answer.url}, answer.id)),
      error: request => { button.disabled = false; said.replaceChildren(interlock.reason(request)); }});
  });
});
