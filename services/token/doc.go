// Package token is the identity provider: it knows accounts and clients, lets people sign in, issues the tokens that every
// other part verifies, and tells all of them which tokens have ended before their time.
//
// This package composes the service and implements its RPCs. What it is made of:
//
//	oauth       the rules of OAuth 2.0 and OpenID Connect; no HTTP, no SQL
//	account     who people are and how they prove it
//	upstream    signing in at OpenID Providers of others
//	password    Argon2id
//	backchannel telling clients of logouts
//	keys        signing keys, JWTs, the published key set
//	revocation  the log of ended tokens, served to verifiers
//	web, pages  HTTP endpoints, and what people see
//	sqlstore    what must not be lost
//	redisstore  what lives for minutes
package token
