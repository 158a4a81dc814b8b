// Command rulebook writes what the protos say about who may call what where people and tools look for it: as a page, and
// into the OpenAPI document. `make generate` runs it.
//
//	go run ./cmd/rulebook DESCRIPTORS PAGE OPENAPI
//
// It reads descriptors from a file instead of linking generated code, so that it runs while a service does not compile.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/realguardio/realguardio/mesh/rulebook"
)

//go:embed intro.md
var intro string

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: rulebook DESCRIPTORS PAGE OPENAPI")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "rulebook:", err)
		os.Exit(1)
	}
}

func run(descriptors, page, openAPI string) error {
	entries, err := read(descriptors)
	if err != nil {
		return err
	}
	if err := os.WriteFile(page, []byte(intro+rulebook.Markdown(entries)), 0o644); err != nil { //nolint:gosec // documentation
		return err
	}
	document, err := os.ReadFile(openAPI)
	if err != nil {
		return err
	}
	if document, err = annotate(document, entries); err != nil {
		return fmt.Errorf("%s: %w", openAPI, err)
	}
	return os.WriteFile(openAPI, document, 0o644) //nolint:gosec // documentation
}

// read returns the rules of all our services in a file descriptor set.
func read(path string) ([]rulebook.Entry, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var services []protoreflect.ServiceDescriptor
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(file.Package()), "realguardio.") {
			for i := range file.Services().Len() {
				services = append(services, file.Services().Get(i))
			}
		}
		return true
	})
	return rulebook.Read(services...)
}
