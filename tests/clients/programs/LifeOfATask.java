// The life of a task, through the client that openapi-generator makes of the contract.

import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.JSON;
import org.openapitools.client.api.ChangesApi;
import org.openapitools.client.api.ListsApi;
import org.openapitools.client.api.OverviewsApi;
import org.openapitools.client.api.TasksApi;
import org.openapitools.client.model.*;

public class LifeOfATask {
  interface Request {
    void send() throws ApiException;
  }

  static void check(boolean holds, Object what) {
    if (!holds) throw new AssertionError(what);
  }

  static Problem problemOf(Request request) throws Exception {
    try {
      request.send();
    } catch (ApiException error) {
      return JSON.getDefault().getMapper().readValue(error.getResponseBody(), Problem.class);
    }
    throw new AssertionError("it succeeded");
  }

  public static void main(String[] arguments) throws Exception {
    var client = new ApiClient();
    client.updateBaseUri(arguments[0]);
    var tasks = new TasksApi(client);
    var feed = new ChangesApi(client);
    var user = UUID.randomUUID();

    Task task = tasks.createTask(user, new TaskCreate().title("Buy milk"), null, null);
    check(!task.getCompleted() && task.getDescription() == null, task);
    UUID id = task.getId();

    check(tasks.getTask(user, id, null).equals(task), task);

    ChangePage begun = feed.listChanges(user, null, null, null);
    check(begun.getChanges().size() == 1, begun);
    check(begun.getChanges().get(0).getActualInstance() instanceof TaskChange, begun);
    check(begun.getChanges().get(0).getTaskChange().getTask().equals(task), begun);

    var update = new TaskUpdate().description("Two litres").dueOn(LocalDate.of(2026, 1, 31))
        .addTagsItem("home").addTagsItem("Dairy");
    Task updated = tasks.updateTask(user, id, update, null, null);
    check(updated.getDescription().equals("Two litres"), updated);
    check(updated.getDueOn().equals(LocalDate.of(2026, 1, 31)), updated);
    Task toggled = tasks.toggleTask(user, id, null, null);
    check(toggled.getCompleted(), toggled);

    String version = '"' + toggled.getRevision().toString() + '"';
    var patch = new TaskPatch().title("Buy oat milk");
    Task patched = tasks.patchTask(user, id, patch, null, version);
    check(patched.getTitle().equals("Buy oat milk"), patched);
    Problem stale = problemOf(() -> tasks.patchTask(user, id, patch, null, version));
    check(stale.getType().toString().equals("/problems#task-changed"), stale);
    check(stale.getCurrent().equals(patched), stale);

    tasks.deleteTask(user, id, null, null);
    ChangePage following = feed.listChanges(user, begun.getNext(), null, null);
    check(following.getChanges().size() == 1, following);
    var change = following.getChanges().get(0);
    check(change.getActualInstance() instanceof TaskTombstone, change);
    check(change.getTaskTombstone().getId().equals(id), change);
    check(problemOf(() -> tasks.getTask(user, id, null)).getStatus() == 404, id);

    List<DeletedTask> trash = tasks.listTrash(user, null, null, null, "milk", true, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
    check(trash.size() == 1 && trash.get(0).getId().equals(id), trash);
    check(trash.get(0).getDeletedAt().isAfter(trash.get(0).getCreatedAt()), trash);
    var again = new TaskCreate().id(id).title("Buy oat milk");
    Problem taken = problemOf(() -> tasks.createTask(user, again, null, null));
    check(taken.getDeletedTask().equals(trash.get(0)) && taken.getCurrent() == null, taken);

    check(tasks.restoreTask(user, id, null, null).getTitle().equals("Buy oat milk"), id);

    var create = new BatchCreate().op(BatchCreate.OpEnum.CREATE).title("Buy bread");
    var toggle = new BatchToggle().op(BatchToggle.OpEnum.TOGGLE).id(id);
    var operations = List.of(new BatchOperation(create), new BatchOperation(toggle));
    BatchResults batched = tasks.batchTasks(user, new Batch().operations(operations), null);
    check(batched.getResults().get(0).getStatus() == 201, batched);
    check(batched.getResults().get(1).getTask().getId().equals(id), batched);

    TaskList list = new ListsApi(client).createList(user, new ListCreate().title("Groceries"), null, null);
    Task parent = tasks.createTask(user, new TaskCreate().title("Milk").listId(list.getId()), null, null);
    var below = new TaskCreate().title("Which milk?").parentId(parent.getId());
    Task subtask = tasks.createTask(user, below, null, null);
    check(subtask.getParentId().equals(parent.getId()), subtask);
    check(subtask.getListId().equals(list.getId()), subtask);
    var move = new TaskMove().before(parent.getId());
    Task moved = tasks.moveTask(user, subtask.getId(), move, null, null);
    check(moved.getPosition().compareTo(parent.getPosition()) < 0, moved);

    var reminder = new Reminder().before("PT1H");
    var daily = new TaskCreate().title("Water").dueOn(LocalDate.of(2026, 1, 31));
    daily.recurrence("FREQ=DAILY").reminders(new LinkedHashSet<>(List.of(reminder)));
    Task recurring = tasks.createTask(user, daily, null, null);
    check(recurring.getReminders().contains(reminder), recurring);
    tasks.toggleTask(user, recurring.getId(), null, null);
    var day = OffsetDateTime.parse("2026-02-01T00:00:00Z");
    var due = new OverviewsApi(client).listReminders(user, day, null, null, null, null);
    check(due.size() == 1 && due.get(0).getAt().isEqual(day.plusHours(8)), due);

    System.out.println("the task has lived");
  }
}
