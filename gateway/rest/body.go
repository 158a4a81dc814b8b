package rest

import (
	"errors"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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

// decode reads the body into message. An absent body is io.EOF, which the generated code takes for an empty message.
func (b *body) decode(message proto.Message) error {
	raw, err := io.ReadAll(b.ReadCloser)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem.TooLarge
	}
	if err != nil {
		return problem.Malformed
	}
	if len(raw) > 0 {
		if err := (protojson.UnmarshalOptions{}).Unmarshal(raw, message); err != nil {
			return mesh.InvalidFields(faultsIn(raw, message.ProtoReflect().Descriptor())...)
		}
	}
	if err := b.precondition(message.ProtoReflect()); err != nil {
		return err
	}
	if len(raw) == 0 {
		return io.EOF
	}
	return nil
}

// precondition puts the etag of If-Match into the message.
func (b *body) precondition(message protoreflect.Message) error {
	if b.ifMatch == "" {
		return nil
	}
	etag := stringField(message.Descriptor(), "etag")
	if etag == nil {
		return errNoPrecondition
	}
	if given := message.Get(etag).String(); given != "" && given != b.ifMatch {
		return mesh.InvalidField("etag", "differs from the header If-Match")
	}
	message.Set(etag, protoreflect.ValueOfString(b.ifMatch))
	return nil
}
