// Command conformance drives a running OpenID Foundation conformance suite against a running identity provider: it makes
// the plans whose configurations are kept in plans/, walks through the browser's steps of each module, and prints what the
// suite says of every one.
//
// It runs no suite and no identity provider, and judges nothing by itself: what passes is the suite's word. Where to find
// both is told by environment variables; settings.go names them. Without CONFORMANCE_SUITE_URL there is nothing to drive, and it says
// so and succeeds.
package main
