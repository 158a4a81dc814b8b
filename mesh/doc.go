// Package mesh lets a gRPC service know who calls it, and refuses everyone else.
//
// It owns the identity of a caller, the rules written beside each RPC in its proto, the guard that holds calls to them,
// the server and the connections that carry a caller's token onward, and the errors that may leave a process.
//
// It leaves to others how a token is verified (package jwt, and package introspection by asking its issuer), which issuers
// are trusted (package issuers) and how their tokens are read (package claims), where revocations come from (package
// revocation), how a workload gets its own token (package clientcredentials), what is counted (package telemetry), and
// every decision that depends on the object asked for: that is the service's.
package mesh
