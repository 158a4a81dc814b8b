package mesh

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// authInfo is what TLS says about a peer, with the tokens of the connection: those that a server keeps, or those that
// a client has sent.
type authInfo struct {
	credentials.TLSInfo
	// certificate is the digest of the peer's, as a token that is bound to it says.
	certificate string
	kept        *keptTokens
	sent        *sentTokens
}

// tlsOf returns what TLS says about the peer that AuthInfo is of.
func tlsOf(info credentials.AuthInfo) (credentials.TLSInfo, bool) {
	switch info := info.(type) {
	case credentials.TLSInfo:
		return info, true
	case *authInfo:
		return info.TLSInfo, true
	default:
		return credentials.TLSInfo{}, false
	}
}

// referring is transport security whose connections can refer to tokens.
type referring struct {
	credentials.TransportCredentials
}

func (r referring) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := r.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if tls, ok := info.(credentials.TLSInfo); ok && err == nil {
		info = &authInfo{TLSInfo: tls, sent: &sentTokens{tokens: newRecent[*sentToken](maxNamed)}}
	}
	return conn, info, err
}

func (r referring) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := r.TransportCredentials.ServerHandshake(raw)
	if tls, ok := info.(credentials.TLSInfo); ok && err == nil {
		info = &authInfo{TLSInfo: tls, certificate: certificateOf(tls), kept: &keptTokens{}}
	}
	return conn, info, err
}

func (r referring) Clone() credentials.TransportCredentials {
	return referring{r.TransportCredentials.Clone()}
}

// authInfoOf returns what is known of the connection that an RPC came in by, or nil.
func authInfoOf(ctx context.Context) *authInfo {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	c, _ := p.AuthInfo.(*authInfo)
	return c
}

// certificateOf is the digest of the peer's own certificate, the first that it shows; empty where it shows none.
func certificateOf(info credentials.TLSInfo) string {
	if len(info.State.PeerCertificates) == 0 {
		return ""
	}
	return Thumbprint(info.State.PeerCertificates[0])
}
