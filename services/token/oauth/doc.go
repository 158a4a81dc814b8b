// Package oauth is the core of an OAuth 2.0 authorization server and OpenID Provider (RFC 6749, RFC 7636, RFC 9068,
// RFC 9700, OpenID Connect Core 1.0): clients, grants, codes, and the tokens that come of them.
//
// There is one pipeline for every grant (Server.Token): authenticate the client, check that it may use this grant and
// these scopes, let the grant prove in whose name it asks, issue. A grant supplies only its own step, in a file of its
// own.
//
// It leaves to others: HTTP and browsers (package web), who people are (package account), keys (package keys), and where
// things are kept (sqlstore and redisstore, behind the interfaces in store.go).
package oauth
