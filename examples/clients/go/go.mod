module example.org/login

go 1.26.0

replace example.org/stand => ../stand

require (
	example.org/stand v0.0.0
	github.com/coreos/go-oidc/v3 v3.21.0
	golang.org/x/oauth2 v0.37.0
)

require github.com/go-jose/go-jose/v4 v4.1.4 // indirect
