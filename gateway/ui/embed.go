// Package ui holds the built web application and serves it.
//
// The sources beside this file are TypeScript; `make ui` builds them into dist, which is not committed. Without a build
// there is a page that says so, and everything else of the gateway works.
package ui

import (
	"embed"
	"io/fs"
)

// The dot-file keeps the pattern valid while nothing is built.
//
//go:embed all:dist
var dist embed.FS

//go:embed src/theme.css
var theme string

//go:embed src/base.css
var base string

// Style is the application's palette, type and buttons as CSS, for pages beside it that are to look like it. It is there
// without a build.
func Style() string { return theme + base }

// FS is the built application: index.html and what it loads.
func FS() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil { // only for an invalid name
		panic(err)
	}
	return sub
}
