// Package docs holds the written documentation, and the tests that hold it against the code: that imports point the way
// architecture.md draws them, that a service's SQL stays in its own schema, that the tests which acceptance.md names are
// there, and that every command of the README works as pasted.
package docs
