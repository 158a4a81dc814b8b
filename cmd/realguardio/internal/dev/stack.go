package dev

import (
	"context"
	"errors"
	"slices"
)

// stack runs tasks that are ended in reverse order, so that each still finds those it depends on.
type stack struct {
	// failing ends when the outer context does, or when a task ended by itself.
	failing context.Context
	fail    context.CancelFunc
	tasks   []*running
}

type running struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func newStack(ctx context.Context) *stack {
	failing, fail := context.WithCancel(ctx)
	return &stack{failing: failing, fail: fail}
}

// push starts a task that runs until its context ends.
func (s *stack) push(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.failing))
	r := &running{cancel: cancel, done: make(chan struct{})}
	s.tasks = append(s.tasks, r)
	go func() {
		defer close(r.done)
		r.err = run(ctx)
		s.fail()
	}()
}

// stop ends all tasks, the last first, and returns their errors. A task that had ended before pulls all others down.
func (s *stack) stop() error {
	defer s.fail()
	var all error
	for _, r := range slices.Backward(s.tasks) {
		r.cancel()
		<-r.done
		all = errors.Join(all, r.err)
	}
	return all
}
