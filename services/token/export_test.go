package token

import "github.com/realguardio/realguardio/services/token/oauth"

// OAuth is the core behind the service, for tests of what no wire asks for by itself.
func (s *Service) OAuth() *oauth.Server { return s.oauth }
