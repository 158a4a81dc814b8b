// Package token is the identity provider: it knows accounts and clients, lets people sign in, issues the tokens that every
// other part verifies, and tells all of them which tokens have ended before their time.
//
// This package composes the service. What it is made of:
//
//	oauth       the rules of OAuth 2.0 and OpenID Connect; no HTTP, no SQL
//	account     who people are, how they prove it, and what becomes of their accounts
//	upstream    signing in at OpenID Providers of others
//	password    Argon2id, and which passwords are too weak; breached: those that leaked
//	keys        signing keys, JWTs, the published key set
//	revocation  the log of ended tokens, served to verifiers
//	backchannel telling clients of logouts
//	letters     mails to people about their accounts
//	usage       when keys were last used
//	web, pages  HTTP endpoints, and what people see
//	rpc         AdminService and AccountService
//	sqlstore    what must not be lost
//	redisstore  what lives for minutes
package token
