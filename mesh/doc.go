// Package mesh lets a gRPC service know who calls it, and refuses everyone else.
//
// It owns the identity of a caller, the rules written beside each RPC in its proto, the guard that holds calls to them,
// the server and the connections that carry a caller's token onward, and the errors that may leave a process.
//
// It leaves to others how a token is verified (package jwt, and package introspection by asking its issuer), which issuers
// are trusted (package issuers) and how their tokens are read (package claims), where revocations come from (package
// revocation), how a workload gets its own token (package clientcredentials) or one for another's (packages tokenservice and
// tokenexchange), how a proof of possession is checked (package dpop), where certificates and addresses come from besides
// files and DNS (packages spiffe and xds), what is counted and traced (packages telemetry and tracing), and every decision that
// depends on the object asked for: that is the service's. Package member puts the most of it together.
//
// What grpc's package peer calls AuthInfo is, on the connections of this package, a type of its own and not credentials.TLSInfo:
// ask [PeerCertificate] for the peer's certificate.
package mesh
