// Command thirdparty writes the .proto files of other projects that ours import into a folder, from the descriptors
// inside their Go modules. Versions are those of go.mod, so that nothing has to be downloaded from a schema registry or
// copied into this repository.
//
//	go run ./thirdparty OUT_DIR
package main

import (
	"fmt"
	"os"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2/options"
	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// files are the roots; what they import beyond google/protobuf follows them.
var files = []protoreflect.FileDescriptor{
	annotations.File_google_api_annotations_proto,
	annotations.File_google_api_http_proto,
	annotations.File_google_api_field_behavior_proto,
	options.File_protoc_gen_openapiv2_options_annotations_proto,
	options.File_protoc_gen_openapiv2_options_openapiv2_proto,
	validate.File_buf_validate_validate_proto,
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: thirdparty OUT_DIR")
		os.Exit(2)
	}
	printer := protoprint.Printer{}
	if err := printer.PrintProtosToFileSystem(files, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "thirdparty:", err)
		os.Exit(1)
	}
}
