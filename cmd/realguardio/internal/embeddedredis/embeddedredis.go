// Package embeddedredis runs a server in this process that speaks the Redis protocol, so that development needs no Redis
// and yet takes the code path that production takes: over TCP, through the same client. It forgets everything when it
// stops; nothing durable may be kept in it.
package embeddedredis

import (
	"crypto/rand"
	"fmt"
	"net/url"

	"github.com/alicebob/miniredis/v2"
)

// Server is a running server.
type Server struct {
	redis    *miniredis.Miniredis
	password string
}

// Start listens on a free port of 127.0.0.1. The password keeps other users of the machine out.
func Start() (*Server, error) {
	s := &Server{redis: miniredis.NewMiniRedis(), password: rand.Text()}
	s.redis.ClockTTL(true) // keys expire as time passes
	s.redis.RequireAuth(s.password)
	if err := s.redis.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("cannot start the embedded Redis server: %w", err)
	}
	return s, nil
}

// URL is where clients find it, password included.
func (s *Server) URL() string {
	return (&url.URL{Scheme: "redis", User: url.UserPassword("", s.password), Host: s.redis.Addr()}).String()
}

// Close stops it.
func (s *Server) Close() { s.redis.Close() }
