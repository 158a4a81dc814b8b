package mesh

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/health" // which asks, for healthCheckConfig
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/realguardio/realguardio/mesh/internal/balancing"
)

// grpc knows load balancing only by a name in a registry that is filled before anything runs.
func init() { balancer.Register(balancing.New(isFailure)) }

// isFailure reports whether an error speaks of the replica rather than of the call. One that sheds is well, and passing
// it over would only bury the others. A token that cannot be had is no replica's fault.
func isFailure(err error) bool {
	if _, ours := errors.AsType[*refusal](err); ours {
		return false
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.Internal, codes.Unknown, codes.DataLoss:
		return Reason(err) != ReasonOverloaded
	default:
		return false
	}
}

// serviceConfig is how connections behave: https://github.com/grpc/grpc/blob/master/doc/service_config.md
func serviceConfig(ignoreHealth bool) (string, error) {
	type name struct {
		Service string `json:"service"`
		Method  string `json:"method"`
	}
	var safe []name
	for method := range safeMethods() {
		safe = append(safe, name{Service: string(method.Parent().FullName()), Method: string(method.Name())})
	}
	config := map[string]any{
		"loadBalancingConfig": []any{map[string]any{balancing.Name: struct{}{}}},
		// Retries stop while more than about one call in ten fails, so that they cannot bury a peer that is in trouble.
		"retryThrottling": map[string]any{"maxTokens": 10, "tokenRatio": 0.1},
	}
	if !ignoreHealth {
		// A replica that drains, or lacks what it needs, is asked no more as soon as it says so.
		config["healthCheckConfig"] = map[string]any{"serviceName": ""}
	}
	if len(safe) > 0 {
		config["methodConfig"] = []any{map[string]any{
			"name": safe,
			"retryPolicy": map[string]any{
				"maxAttempts": 3, "initialBackoff": "0.05s", "maxBackoff": "0.5s", "backoffMultiplier": 3,
				"retryableStatusCodes": []string{"UNAVAILABLE"},
			},
		}}
	}
	out, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("mesh: write service config: %w", err)
	}
	return string(out), nil
}

// safeMethods yields the methods linked into this program that may be repeated without harm, by their declared
// idempotency_level.
func safeMethods() func(yield func(protoreflect.MethodDescriptor) bool) {
	return func(yield func(protoreflect.MethodDescriptor) bool) {
		protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
			for i := range file.Services().Len() {
				methods := file.Services().Get(i).Methods()
				for j := range methods.Len() {
					if isSafe(methods.Get(j)) && !yield(methods.Get(j)) {
						return false
					}
				}
			}
			return true
		})
	}
}

func isSafe(method protoreflect.MethodDescriptor) bool {
	options, ok := method.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}
