// The life of a task, through the client that openapi-generator makes of the contract.
package main

import (
	"context"
	"errand"
	"fmt"
	"os"
	"reflect"
	"time"
)

func check(holds bool, what ...any) {
	if !holds {
		panic(fmt.Sprintln(what...))
	}
}

func main() {
	configuration := errand.NewConfiguration()
	configuration.Servers = errand.ServerConfigurations{{URL: os.Args[1]}}
	client := errand.NewAPIClient(configuration)
	ctx, tasks, feed, user := context.Background(), client.TasksAPI, client.ChangesAPI, os.Args[2]
	lists, overviews := client.ListsAPI, client.OverviewsAPI

	task, _, err := tasks.CreateTask(ctx, user).TaskCreate(*errand.NewTaskCreate("Buy milk")).Execute()
	check(err == nil, err)
	check(!task.Completed && task.Description.Get() == nil, task)

	got, _, err := tasks.GetTask(ctx, user, task.Id).Execute()
	check(err == nil && reflect.DeepEqual(got, task), got, err)
	listed, _, err := tasks.ListTasks(ctx, user).Limit(10).Completed(false).Execute()
	check(err == nil && len(listed) == 1 && reflect.DeepEqual(listed[0], *task), listed, err)

	found, _, err := tasks.ListTasks(ctx, user).Q("\"buy milk\" OR bread -oat").Execute()
	check(err == nil && len(found) == 1 && found[0].Id == task.Id, found, err)

	begun, _, err := feed.ListChanges(ctx, user).Execute()
	check(err == nil && len(begun.Changes) == 1, begun, err)
	check(begun.Changes[0].TaskTombstone == nil, begun)
	check(reflect.DeepEqual(begun.Changes[0].TaskChange.Task, *task), begun)

	update := errand.NewTaskUpdate()
	update.SetDescription("Two litres")
	update.SetTags([]string{"home", "Dairy"})
	update.SetDueOn("2026-01-31")
	updated, _, err := tasks.UpdateTask(ctx, user, task.Id).TaskUpdate(*update).Execute()
	check(err == nil && *updated.Description.Get() == "Two litres", updated, err)
	check(*updated.DueOn.Get() == "2026-01-31" && updated.DueAt.Get() == nil, updated)
	toggled, response, err := tasks.ToggleTask(ctx, user, task.Id).Execute()
	check(err == nil && toggled.Completed, toggled, err)

	version := response.Header.Get("ETag")
	patch := errand.NewTaskPatch()
	patch.SetDescriptionNil()
	patched, _, err := tasks.PatchTask(ctx, user, task.Id).TaskPatch(*patch).IfMatch(version).Execute()
	check(err == nil && patched.Description.Get() == nil, patched, err)
	_, _, err = tasks.PatchTask(ctx, user, task.Id).TaskPatch(*patch).IfMatch(version).Execute()
	problem := problemOf(err)
	check(problem.Status == 412 && problem.Type == "/problems#task-changed", problem)
	check(reflect.DeepEqual(problem.Current, patched), problem)

	_, err = tasks.DeleteTask(ctx, user, task.Id).Execute()
	check(err == nil, err)
	following, _, err := feed.ListChanges(ctx, user).Since(begun.Next).Execute()
	check(err == nil && len(following.Changes) == 1, following, err)
	check(following.Changes[0].TaskChange == nil, following)
	check(following.Changes[0].TaskTombstone.Id == task.Id, following)
	_, _, err = tasks.GetTask(ctx, user, task.Id).Execute()
	check(problemOf(err).Status == 404, err)

	trash, _, err := tasks.ListTrash(ctx, user).Completed(true).Execute()
	check(err == nil && len(trash) == 1, trash, err)
	var inTrash errand.DeletedTask = trash[0]
	check(inTrash.Id == task.Id && inTrash.DeletedAt.After(inTrash.CreatedAt), inTrash)
	again := errand.NewTaskCreate("Buy milk")
	again.SetId(task.Id)
	_, _, err = tasks.CreateTask(ctx, user).TaskCreate(*again).Execute()
	taken := problemOf(err)
	check(taken.Current == nil && reflect.DeepEqual(*taken.DeletedTask, inTrash), taken)

	restored, _, err := tasks.RestoreTask(ctx, user, task.Id).Execute()
	check(err == nil && restored.Title == "Buy milk", restored, err)

	batch := errand.NewBatch([]errand.BatchOperation{
		errand.BatchCreateAsBatchOperation(errand.NewBatchCreate("create", "Buy bread")),
		errand.BatchToggleAsBatchOperation(errand.NewBatchToggle("toggle", task.Id)),
	})
	batched, _, err := tasks.BatchTasks(ctx, user).Batch(*batch).Execute()
	check(err == nil && len(batched.Results) == 2, batched, err)
	check(batched.Results[0].Status == 201 && batched.Results[0].Task.Title == "Buy bread", batched)

	list, _, err := lists.CreateList(ctx, user).ListCreate(*errand.NewListCreate("Groceries")).Execute()
	check(err == nil, err)
	inside := errand.NewTaskCreate("Milk")
	inside.SetListId(list.Id)
	parent, _, err := tasks.CreateTask(ctx, user).TaskCreate(*inside).Execute()
	check(err == nil && *parent.ListId.Get() == list.Id, parent, err)
	below := errand.NewTaskCreate("Which milk?")
	below.SetParentId(parent.Id)
	subtask, _, err := tasks.CreateTask(ctx, user).TaskCreate(*below).Execute()
	check(err == nil && *subtask.ParentId.Get() == parent.Id, subtask, err)
	check(*subtask.ListId.Get() == list.Id, subtask)

	move := errand.NewTaskMove()
	move.SetBefore(parent.Id)
	moved, _, err := tasks.MoveTask(ctx, user, subtask.Id).TaskMove(*move).Execute()
	check(err == nil && moved.Position < parent.Position, moved, err)
	ordered, _, err := tasks.ListTasks(ctx, user).ListId(list.Id).Sort(errand.SORT_POSITION).Execute()
	check(err == nil && len(ordered) == 2, ordered, err)
	check(reflect.DeepEqual(ordered, []errand.Task{*moved, *parent}), ordered)

	daily := errand.NewTaskCreate("Water")
	daily.SetDueOn("2026-01-31")
	daily.SetRecurrence("FREQ=DAILY")
	reminder := errand.NewReminder()
	reminder.SetBefore("PT1H")
	daily.SetReminders([]errand.Reminder{*reminder})
	recurring, _, err := tasks.CreateTask(ctx, user).TaskCreate(*daily).Execute()
	check(err == nil && *recurring.Reminders[0].Before == "PT1H", recurring, err)
	_, _, err = tasks.ToggleTask(ctx, user, recurring.Id).Execute()
	check(err == nil, err)
	day := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	due, _, err := overviews.ListReminders(ctx, user).From(day).Execute()
	check(err == nil && len(due) == 1 && due[0].At.Equal(day.Add(8*time.Hour)), due, err)

	fmt.Println("the task has lived")
}

func problemOf(err error) errand.Problem {
	problem, is := err.(*errand.GenericOpenAPIError).Model().(errand.Problem)
	check(is, err)
	return problem
}
