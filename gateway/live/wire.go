package live

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

var serverStream = &grpc.StreamDesc{ServerStreams: true}

func newMessage(kind protoreflect.MessageDescriptor) protoreflect.Message {
	return dynamicpb.NewMessage(kind)
}

// marshal writes a message as REST does, on one line.
func marshal(message protoreflect.Message) ([]byte, error) {
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message.Interface())
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	return line.Bytes(), nil
}

// writer writes events. The answer begins with the first of them, so that a refusal before it has a status of its own.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func newWriter(w http.ResponseWriter) *writer {
	return &writer{w: w, control: http.NewResponseController(w)}
}

func (o *writer) write(text string) error {
	if !o.begun {
		o.begin()
		text = "retry: " + comeBack + "\n" + text
	}
	// The server's own limits are for answers that end.
	if err := o.control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	if _, err := io.WriteString(o.w, text); err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	if err := o.control.Flush(); err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	return nil
}

func (o *writer) begin() {
	o.begun = true
	_ = o.control.SetReadDeadline(time.Time{}) // else the server takes a silent browser for gone
	h := o.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	o.w.WriteHeader(http.StatusOK)
}
