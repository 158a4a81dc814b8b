package mesh

import (
	"bytes"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that lenient asks
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// lenient is the codec of protocol buffers for a server. It lets through what cannot be read, marked, so that it is
// refused like everything else: after the guard, before the handler, by an error of ours. grpc by itself answers with
// INTERNAL and the parser's text as soon as it has read, whatever the handler says then.
type lenient struct{ encoding.CodecV2 }

func newLenient() lenient { return lenient{encoding.GetCodecV2("proto")} }

// unreadable is what stands in the unknown fields of a message that could not be read. No message that was read can have
// it: there is no field 0.
var unreadable = []byte{0}

func (l lenient) Unmarshal(data mem.BufferSlice, into any) error {
	err := l.CodecV2.Unmarshal(data, into)
	if m, ok := into.(proto.Message); err != nil && ok {
		proto.Reset(m)
		m.ProtoReflect().SetUnknown(unreadable)
		return nil
	}
	return err
}

// isUnreadable reports whether m is a message that could not be read.
func isUnreadable(m proto.Message) bool {
	return bytes.Equal(m.ProtoReflect().GetUnknown(), unreadable)
}

func malformed() error {
	return refuse(codes.InvalidArgument, ReasonMalformedMessage, "the message cannot be read", nil)
}
