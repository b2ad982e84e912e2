// The task API in Gin, with pgx, which prepares every statement by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const columns = "id, user_id, title, description, completed, created_at, updated_at"

const listTasks = "SELECT " + columns + ` FROM tasks
	WHERE user_id = $1 AND ($2::boolean IS NULL OR completed = $2)
	ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4`

const getTask = "SELECT " + columns + " FROM tasks WHERE user_id = $1 AND id = $2"

const createTask = `INSERT INTO tasks (user_id, title, description, completed)
	VALUES ($1, $2, $3, $4) RETURNING ` + columns

const toggleTask = `UPDATE tasks SET completed = NOT completed, updated_at = now()
	WHERE user_id = $1 AND id = $2 RETURNING ` + columns

type task struct {
	ID          string    `json:"id"`
	UserID      string    `json:"user_id"`
	Title       string    `json:"title"`
	Description *string   `json:"description"`
	Completed   bool      `json:"completed"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type taskCreate struct {
	Title       string  `json:"title" binding:"required,min=1,max=255"`
	Description *string `json:"description" binding:"omitempty,max=2000"`
	Completed   bool    `json:"completed"`
}

type userPath struct {
	UserID string `uri:"user_id" binding:"required,uuid"`
}

type taskPath struct {
	UserID string `uri:"user_id" binding:"required,uuid"`
	TaskID string `uri:"task_id" binding:"required,uuid"`
}

type page struct {
	Offset    int   `form:"offset,default=0" binding:"min=0"`
	Limit     int   `form:"limit,default=50" binding:"min=1,max=100"`
	Completed *bool `form:"completed"`
}

type server struct{ pool *pgxpool.Pool }

func scanned(row pgx.Row) (t task, err error) {
	err = row.Scan(&t.ID, &t.UserID, &t.Title, &t.Description, &t.Completed, &t.CreatedAt, &t.UpdatedAt)
	t.CreatedAt, t.UpdatedAt = t.CreatedAt.UTC(), t.UpdatedAt.UTC()
	return t, err
}

func refuse(c *gin.Context, err error) {
	c.JSON(http.StatusUnprocessableEntity, gin.H{"detail": err.Error()})
}

func answer(c *gin.Context, status int, row pgx.Row) {
	found, err := scanned(row)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		c.JSON(http.StatusNotFound, gin.H{"detail": "This user has no such task"})
	case err != nil:
		c.JSON(http.StatusInternalServerError, gin.H{"detail": err.Error()})
	default:
		c.JSON(status, found)
	}
}

func (s server) list(c *gin.Context) {
	var path userPath
	var query page
	if err := c.ShouldBindUri(&path); err != nil {
		refuse(c, err)
		return
	}
	if err := c.ShouldBindQuery(&query); err != nil {
		refuse(c, err)
		return
	}
	rows, err := s.pool.Query(c, listTasks, path.UserID, query.Completed, query.Limit, query.Offset)
	if err != nil {
		c.JSON(http.StatusInternalServerError, gin.H{"detail": err.Error()})
		return
	}
	defer rows.Close()
	found := make([]task, 0, query.Limit)
	for rows.Next() {
		each, err := scanned(rows)
		if err != nil {
			c.JSON(http.StatusInternalServerError, gin.H{"detail": err.Error()})
			return
		}
		found = append(found, each)
	}
	c.JSON(http.StatusOK, found)
}

func (s server) create(c *gin.Context) {
	var path userPath
	var body taskCreate
	if err := c.ShouldBindUri(&path); err != nil {
		refuse(c, err)
		return
	}
	if err := c.ShouldBindJSON(&body); err != nil {
		refuse(c, err)
		return
	}
	row := s.pool.QueryRow(c, createTask, path.UserID, body.Title, body.Description, body.Completed)
	answer(c, http.StatusCreated, row)
}

func (s server) one(statement string) gin.HandlerFunc {
	return func(c *gin.Context) {
		var path taskPath
		if err := c.ShouldBindUri(&path); err != nil {
			refuse(c, err)
			return
		}
		answer(c, http.StatusOK, s.pool.QueryRow(c, statement, path.UserID, path.TaskID))
	}
}

func main() {
	// Where the database is, every driver reads in the environment: PGHOST, PGDATABASE and so on.
	connections := 8 * runtime.GOMAXPROCS(0)
	size := fmt.Sprintf("pool_min_conns=%d pool_max_conns=%d", connections, connections)
	pool, err := pgxpool.Connect(context.Background(), size)
	if err != nil {
		log.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	s, router := server{pool}, gin.New()
	router.Use(gin.Recovery())
	router.GET("/api/:user_id/tasks", s.list)
	router.POST("/api/:user_id/tasks", s.create)
	router.GET("/api/:user_id/tasks/:task_id", s.one(getTask))
	router.PATCH("/api/:user_id/tasks/:task_id/complete", s.one(toggleTask))
	log.Fatal(router.Run("127.0.0.1:" + os.Args[1]))
}
