package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"slices"
	"strings"
	"time"
)

// failed is the verdict of a module that the suite failed, or that could not be finished.
const failed = "FAILED"

// verdicts are what the suite says of a module.
var verdicts = []string{"PASSED", "WARNING", "REVIEW", "SKIPPED", failed}

// result is what came of a module.
type result struct {
	plan, module, verdict string
	// note is the first thing that the suite found, or why the module could not be finished.
	note string
}

// runPlan makes a plan and runs its modules one after another, as they share an alias. It returns an error when the plan
// could not be made, or ctx has ended.
func runPlan(ctx context.Context, s settings, p plan, out io.Writer) ([]result, error) {
	api := newSuite(s)
	id, modules, err := api.createPlan(ctx, p)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "%s: %d modules, %splan-detail.html?plan=%s\n", p.Name, len(modules), s.suite, id)
	var results []result
	for _, m := range modules {
		r := result{plan: p.Name, module: m.Name}
		r.verdict, r.note, err = runModule(ctx, s, api, id, m)
		if err != nil {
			r.verdict, r.note = failed, err.Error()
		}
		fmt.Fprintf(out, "  %-8s %s\n", r.verdict, m.Name)
		if results = append(results, r); ctx.Err() != nil {
			return results, ctx.Err()
		}
	}
	return results, nil
}

// runModule runs one module with a browser of its own until the suite has finished it.
func runModule(ctx context.Context, s settings, api *suite, plan string, m module) (verdict, note string, err error) {
	person, err := newBrowser(s)
	if err != nil {
		return "", "", err
	}
	test, err := api.createTest(ctx, plan, m)
	if err != nil {
		return "", "", err
	}
	limited, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	verdict, err = drive(limited, api, test, person, s.pause)
	if err != nil {
		if limited.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("not finished after %s", s.patience)
		}
		_ = api.cancel(ctx, test) // it may be over by itself
		return "", "", err
	}
	if verdict == "PASSED" {
		return verdict, "", nil
	}
	return verdict, finding(ctx, api, test), nil
}

// drive does what a test waits for, until it is finished.
func drive(ctx context.Context, api *suite, test string, person *browser, pause time.Duration) (verdict string, err error) {
	for {
		now, err := api.state(ctx, test)
		if err != nil {
			return "", err
		}
		switch now.Status {
		case "FINISHED":
			if !slices.Contains(verdicts, now.Result) {
				return failed, nil
			}
			return now.Result, nil
		case "INTERRUPTED":
			return failed, nil
		case "CONFIGURED":
			err = api.start(ctx, test)
		case "WAITING":
			err = attend(ctx, api, test, person)
		}
		if err != nil {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
		}
	}
}

// attend goes where a waiting test wants a browser, or else gives it the screenshots that it waits for.
func attend(ctx context.Context, api *suite, test string, person *browser) error {
	visits, err := api.visits(ctx, test)
	if err != nil {
		return err
	}
	for _, v := range visits {
		if err := api.visited(ctx, test, v.URL); err != nil {
			return err
		}
		if _, err := person.visit(ctx, v); err != nil {
			return err
		}
	}
	if len(visits) > 0 {
		return nil
	}
	entries, err := api.log(ctx, test)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Upload == "" {
			continue
		}
		if err := api.upload(ctx, test, e.Upload, blank()); err != nil {
			return err
		}
	}
	return nil
}

// blank is an empty picture. The suite goes on once it has one, and marks the module for review by a person, who has to
// take the real one before it is submitted for certification.
func blank() string {
	picture := image.NewGray(image.Rect(0, 0, 320, 200))
	draw.Draw(picture, picture.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, picture); err != nil {
		panic(err) // a buffer takes everything
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(encoded.Bytes())
}

// finding is the first failure that the suite has logged of a test, or else the first warning.
func finding(ctx context.Context, api *suite, test string) string {
	entries, err := api.log(ctx, test)
	if err != nil && !errors.Is(err, context.Canceled) {
		return "its log could not be read: " + err.Error()
	}
	for _, kind := range []string{"FAILURE", "WARNING", "INTERRUPTED", "SKIPPED", "REVIEW"} {
		for _, e := range entries {
			if e.Result == kind {
				return strings.TrimSpace(e.Source + ": " + e.Message)
			}
		}
	}
	return ""
}
