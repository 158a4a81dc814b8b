package rest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/realguardio/realguardio/gateway/problem"
	"github.com/realguardio/realguardio/mesh"
)

// maxBody is the largest request body, in bytes.
const maxBody = 1 << 20

// body is a request body on its way through the generated code, which reads it by a decoder and loses the type of the
// decoder's errors. So the body itself brings what the decoder must add and takes away what went wrong.
type body struct {
	io.ReadCloser
	// ifMatch is the etag that the header If-Match asked for, to be put into the message.
	ifMatch string
	// path are the fields that the path holds, by their names in the proto.
	path map[string]string
	// err is what was wrong with the body. It is a refusal for the caller.
	err error
}

func newBody(w http.ResponseWriter, r *http.Request) *body {
	if r.Body == nil || r.Body == http.NoBody {
		return &body{ReadCloser: http.NoBody}
	}
	return &body{ReadCloser: http.MaxBytesReader(w, r.Body, maxBody)}
}

// marshaler is protojson with nothing left to guess: every field is always there, and what is not known is refused.
type marshaler struct{ runtime.JSONPb }

func newMarshaler() *marshaler {
	return &marshaler{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true}}}
}

// NewDecoder returns a decoder of one whole body.
func (m *marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		if _, checked := r.(*bytes.Reader); checked { // see body.check
			return m.JSONPb.NewDecoder(r).Decode(v)
		}
		b, ok := r.(*body)
		message, isMessage := v.(proto.Message)
		if !ok || !isMessage {
			return errors.New("not a request body of ours")
		}
		err := b.decode(message)
		if err != nil && !errors.Is(err, io.EOF) {
			b.err = err
		}
		return err
	})
}

// check refuses a body that cannot be the field part of a request. The generated code reads such a body twice, for what it
// says and for which fields it names, and so by readers that are not ours: it has to be right before.
func (b *body) check(part protoreflect.FieldDescriptor) error {
	raw, err := b.read()
	if err != nil {
		return err
	}
	inside := &body{path: map[string]string{}}
	for name, value := range b.path {
		if field, ok := strings.CutPrefix(name, string(part.Name())+"."); ok {
			inside.path[field] = value
		}
	}
	if err := inside.parse(raw, dynamicpb.NewMessage(part.Message())); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	b.ReadCloser = io.NopCloser(bytes.NewReader(raw))
	return nil
}

// read returns the whole body.
func (b *body) read() ([]byte, error) {
	raw, err := io.ReadAll(b.ReadCloser)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, problem.TooLarge(maxBody)
	}
	if err != nil {
		return nil, problem.Malformed
	}
	return raw, nil
}

// decode reads the body into message. An absent body is io.EOF, which the generated code takes for an empty message.
func (b *body) decode(message proto.Message) error {
	raw, err := b.read()
	if err != nil {
		return err
	}
	return b.parse(raw, message)
}

func (b *body) parse(raw []byte, message proto.Message) error {
	if len(raw) > 0 {
		if err := (protojson.UnmarshalOptions{}).Unmarshal(raw, message); err != nil {
			return mesh.InvalidFields(faultsIn(raw, message.ProtoReflect().Descriptor())...)
		}
	}
	if faults := b.contradictions(raw, message.ProtoReflect()); len(faults) > 0 {
		return mesh.InvalidFields(faults[:min(len(faults), maxFaults)]...)
	}
	if err := b.precondition(message.ProtoReflect()); err != nil {
		return err
	}
	if len(raw) == 0 {
		return io.EOF
	}
	return nil
}

// contradictions names the fields that a message must not have although it can: another value than the path's, and NUL.
func (b *body) contradictions(raw []byte, message protoreflect.Message) []mesh.FieldError {
	var faults []mesh.FieldError
	for _, name := range slices.Sorted(maps.Keys(b.path)) {
		field := fieldOf(message.Descriptor(), name)
		if field != nil && message.Has(field) && message.Get(field).String() != b.path[name] {
			faults = append(faults, mesh.FieldError{Field: field.JSONName(), Description: "differs from the one in the path"})
		}
	}
	if !bytes.Contains(raw, []byte(`\u0000`)) { // JSON has no other way to write NUL
		return faults
	}
	_ = protorange.Range(message, func(at protopath.Values) error {
		if s, ok := at.Index(-1).Value.Interface().(string); ok && !text(s) {
			faults = append(faults, mesh.FieldError{Field: fieldAt(at.Path), Description: notText})
		}
		return nil
	})
	return faults
}

// fieldAt writes a path in a message as callers know it: a.b.c, without the places in lists.
func fieldAt(path protopath.Path) string {
	var names []string
	for _, step := range path {
		if step.Kind() == protopath.FieldAccessStep {
			names = append(names, step.FieldDescriptor().JSONName())
		}
	}
	return strings.Join(names, ".")
}

// precondition puts the etag of If-Match into the message.
func (b *body) precondition(message protoreflect.Message) error {
	etag := stringField(message.Descriptor(), "etag")
	if b.ifMatch == "" || etag == nil { // the binding has refused an If-Match without one
		return nil
	}
	if given := message.Get(etag).String(); given != "" && given != b.ifMatch {
		return errTwoETags
	}
	message.Set(etag, protoreflect.ValueOfString(b.ifMatch))
	return nil
}
